"""Whatever bytes arrive, the decoder answers with a typed error or a frame of the right kind."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.codec import PROFILES, DecodeError, FeatureCodec, baseline
from rivc.codec.crc import crc32c
from rivc.codec.profiles import FAMILIES
from tests.codec.frames import features

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CODES = features(shape=(5, 6, 7))
CODEC = FeatureCodec.fit(CODES, profiles=list(FAMILIES))
PACKETS = [
    CODEC.encode(CODES[9], CODES[8] if row.refers else None, profile=name)
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


def check(packet: bytes) -> NDArray[np.uint8] | None:
    try:
        frame = CODEC.decode(packet, CODES[8])
    except DecodeError:
        return None
    assert frame.shape == CODES[0].shape
    assert frame.dtype == np.uint8
    assert frame.max() <= 15
    return frame


def run(count: int, seed: int) -> None:
    for packet in mutations(count, seed):
        frame = check(packet)
        if packet not in PACKETS:
            assert frame is None, "a packet that fails its checksum was decoded"
        check(repaired(packet))


def test_two_thousand_mutated_packets() -> None:
    run(2000, seed=1)


@pytest.mark.slow
def test_a_million_mutated_packets() -> None:
    run(1_000_000, seed=2)


def test_every_flipped_bit_is_found() -> None:
    for packet in PACKETS:
        for i in range(8 * len(packet)):
            data = bytearray(packet)
            data[i // 8] ^= 1 << i % 8
            assert check(bytes(data)) is None


def test_a_picture_that_claims_to_be_vast_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would take 8 bytes for each of 2^28 points before anybody sees the size."""
    packet = CODEC.encode(CODES[9], profile="image")
    payload = bytearray(packet[24:-4])
    payload[21:25] = b"\xff\xff\xff\x0f"
    monkeypatch.setattr(baseline, "_pillow", lambda: pytest.fail("the picture was opened"))
    assert check(repaired(packet[:24] + bytes(payload) + packet[-4:])) is None
