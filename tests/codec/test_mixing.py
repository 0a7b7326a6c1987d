"""Context mixing: smaller than tables, and the same bytes without numba."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from rivc.codec import FeatureCodec
from tests.codec.frames import features

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
if sys.argv[1] == "plain": sys.modules["numba"] = None
from rivc.codec import FeatureCodec
from tests.codec.frames import features
codes = features(3, (2, 3, 3))
codec = FeatureCodec.fit(codes[:2], profiles=["max", "rans"])
packets = [codec.encode(codes[2], before, profile=family)
           for family in ("max", "rans") for before in (None, codes[1])]
print(codec.descriptor.sha256, [packet.hex() for packet in packets])
for packet in packets: assert (codec.decode(packet, codes[1]) == codes[2]).all()
"""


def test_mixing_takes_fewer_bytes_than_tables() -> None:
    codes = features(40, (8, 16, 16))
    codec = FeatureCodec.fit(codes[:30], profiles=["max", "rans"])
    for before in (None, codes[30]):
        mixed, tables = (len(codec.encode(codes[31], before, profile=p)) for p in ("max", "rans"))
        assert mixed < 0.97 * tables
        packet = codec.encode(codes[31], before, profile="max")
        np.testing.assert_array_equal(codec.decode(packet, before), codes[31])


def test_fits_and_packets_are_the_same_without_numba() -> None:
    answers = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, how],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for how in ("compiled", "plain")
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) > 200
