"""Codecs of earlier days load, and their packets are written and read as they were, bit for bit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from rivc.codec import FeatureCodec, Recording, packets
from rivc.codec.crc import crc32c
from tests.golden.codec import CODECS, FRAMES, stream
from tests.golden.make import FOLDER

PAGE = Path(__file__).parents[2] / "docs" / "bitstream.md"


@pytest.fixture(params=sorted(CODECS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def golden(name: str) -> tuple[FeatureCodec, Recording, bytes]:
    recording = Recording.load(FOLDER / f"{name}.frames.npz")
    return (
        FeatureCodec.load(FOLDER / f"{name}.npz"),
        recording,
        (FOLDER / f"{name}.rvf").read_bytes(),
    )


def test_golden_packets_give_the_golden_frames(name: str) -> None:
    codec, recording, written = golden(name)
    found = list(packets(written))
    assert len(found) == FRAMES * len(CODECS[name][1])
    for i, packet in enumerate(found):
        frame = codec.decode(packet, recording.previous(i % FRAMES))
        np.testing.assert_array_equal(frame, recording.codes[i % FRAMES])


def test_golden_frames_give_the_golden_packets(name: str) -> None:
    codec, recording, written = golden(name)
    assert stream(codec, recording, CODECS[name][1]) == written


def test_the_packet_in_the_docs_is_the_first_delta_of_the_golden_ones() -> None:
    [block] = re.findall(r"```hex\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown = bytes.fromhex("".join(line.partition("#")[0] for line in block.splitlines()))
    _, _, written = golden("codec2")
    assert shown == list(packets(written))[FRAMES + 1]
    assert crc32c(shown[:-4]) == int.from_bytes(shown[-4:], "little")
