"""The golden packets: a codec, frames, and what each profile makes of them.

``codec2`` has 2-bit frames and every model, ``codec4`` 4-bit frames and the tables of ``rans``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.codec import FeatureCodec, Recording, Stamp
from tests.codec.frames import features

if TYPE_CHECKING:
    from pathlib import Path

CODECS: Final = {"codec2": (2, ("packed", "rans", "max")), "codec4": (4, ("packed", "rans"))}
FRAMES: Final = 4


def stream(codec: FeatureCodec, recording: Recording, profiles: tuple[str, ...]) -> bytes:
    """Return the packets of all frames in each profile, one after the other."""
    return b"".join(
        codec.encode(
            recording.codes[i],
            recording.previous(i),
            profile=profile,
            stamp=Stamp(sequence=i, captured_us=20_000 * i, point=3),
        )
        for profile in profiles
        for i in range(len(recording.codes))
    )


def write_codecs(folder: Path) -> None:
    """Write NAME.npz, the codec, NAME.frames.npz and NAME.rvf, the packets, for every codec."""
    for name, (bit_width, profiles) in CODECS.items():
        codes = features(24, (5, 4, 3), bit_width)
        codec = FeatureCodec.fit(
            codes[:-FRAMES], bit_width, profiles=[p for p in profiles if p != "packed"]
        )
        codec.save(folder / f"{name}.npz")
        recording = Recording(codes[-FRAMES:], np.arange(FRAMES) == 0, bit_width)
        recording.save(folder / f"{name}.frames.npz")
        (folder / f"{name}.rvf").write_bytes(stream(codec, recording, profiles))
