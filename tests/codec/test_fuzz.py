"""Whatever bytes arrive, the decoder answers with a typed error or a frame of the right kind."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest

from rivc.codec import PROFILES, DecodeError, FeatureCodec, Stamp, baseline
from rivc.codec.crc import crc32c
from rivc.codec.profiles import FAMILIES
from rivc.errors import DecodeErrorKind
from tests.codec.frames import features

if TYPE_CHECKING:
    from collections.abc import Iterator


CODES = features(shape=(5, 6, 7))
CODEC = FeatureCodec.fit(CODES, profiles=list(FAMILIES))
SEQUENCE, FRAME = 1000, "frame"
PACKETS = [
    CODEC.encode(
        CODES[9], CODES[8] if row.refers else None, profile=name, stamp=Stamp(sequence=SEQUENCE)
    )
    for name, row in PROFILES.items()
]


def mutations(count: int, seed: int) -> Iterator[bytes]:
    """Packets with bits flipped, bytes replaced, cut out, repeated, or made up altogether."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        data = bytearray(PACKETS[rng.integers(len(PACKETS))])
        for _ in range(rng.integers(1, 4)):
            at, n = int(rng.integers(len(data) + 1)), int(rng.integers(1, 9))
            kind = rng.integers(5)
            if kind == 0 and at < len(data):
                data[at] ^= 1 << int(rng.integers(8))
            elif kind == 1:
                data[at : at + n] = rng.bytes(n)
            elif kind == 2:
                del data[at : at + n]
            elif kind == 3:
                data[at:at] = data[at : at + n]
            else:
                data[24:] = rng.bytes(len(data) - 24 if len(data) > 24 else 9)
        yield bytes(data)


def repaired(data: bytes) -> bytes:
    """Give a packet the lengths and the checksum that let it pass for one."""
    body = data[: max(24, len(data) - 4)].ljust(24, b"\0")
    body = body[:20] + struct.pack("<HH", 0, len(body) - 24) + body[24:]
    return body + struct.pack("<I", crc32c(body))


def check(packet: bytes) -> str:
    """What comes of a packet: the kind of the error, or a frame of the right kind."""
    try:
        frame = CODEC.decode(packet, CODES[8], newest=SEQUENCE - 1)
    except DecodeError as error:
        return error.kind
    assert frame.shape == CODES[0].shape
    assert frame.dtype == np.uint8
    assert frame.max() <= 15
    return FRAME


def run(count: int, seed: int) -> Counter[str]:
    """Decode so many mutated packets, as they are and repaired; return what came of the latter."""
    outcomes = Counter[str]()
    for packet in mutations(count, seed):
        if packet not in PACKETS:
            assert check(packet) != FRAME, "a packet that fails its checksum was decoded"
        outcomes[check(repaired(packet))] += 1
    return outcomes


def test_two_thousand_mutated_packets_show_every_kind_of_error() -> None:
    outcomes = run(2000, seed=1)
    assert set(outcomes) == {FRAME, *get_args(DecodeErrorKind)}


@pytest.mark.slow
def test_a_million_mutated_packets() -> None:
    outcomes, early = run(100_000, seed=2), resident_mib()
    outcomes += run(900_000, seed=3)
    growth = resident_mib() - early
    print(f"repaired: {dict(outcomes)}, {growth:+.1f} MiB")  # noqa: T201
    assert growth < 4


def resident_mib(pid: int | str = "self") -> float:
    """The memory of a process, where the system tells."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def test_every_flipped_bit_is_found() -> None:
    for packet in PACKETS:
        for i in range(8 * len(packet)):
            data = bytearray(packet)
            data[i // 8] ^= 1 << i % 8
            assert check(bytes(data)) != FRAME


def test_a_picture_that_claims_to_be_vast_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would take 8 bytes for each of 2^28 points before anybody sees the size."""
    packet = CODEC.encode(CODES[9], profile="image")
    payload = bytearray(packet[24:-4])
    payload[21:25] = b"\xff\xff\xff\x0f"
    monkeypatch.setattr(baseline, "_pillow", lambda: pytest.fail("the picture was opened"))
    assert check(repaired(packet[:24] + bytes(payload) + packet[-4:])) != FRAME
