"""Frames for the codec: drawn, silent, saturated, and made up ones that look like features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from rivc.codec import FeatureCodec

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn
    from numpy.typing import NDArray


def features(
    frames: int = 24, shape: tuple[int, int, int] = (6, 7, 5), bit_width: int = 4, seed: int = 0
) -> NDArray[np.uint8]:
    """Return frames whose channels, points and frames resemble each other, [T, C, H, W]."""
    rng = np.random.default_rng(seed)
    top = (1 << bit_width) - 1
    common = rng.normal(0, 1, (1, 1, *shape[1:])).cumsum(2).cumsum(3)
    drift = rng.normal(0, 0.3, (frames, 1, *shape[1:])).cumsum(0)
    gain = rng.uniform(-1, 1, (1, shape[0], 1, 1))
    noise = rng.normal(0, 0.2, (frames, *shape))
    return np.clip(np.rint((gain * (common + drift) + noise) * top / 6), 0, top).astype(np.uint8)


def fitted(bit_width: int = 4, shape: tuple[int, int, int] = (6, 7, 5)) -> FeatureCodec:
    """Return a codec fitted to `features`."""
    return FeatureCodec.fit(features(shape=shape, bit_width=bit_width), bit_width)


@st.composite
def recordings(draw: DrawFn) -> tuple[int, NDArray[np.uint8]]:
    """A bit width and a few frames of any small shape."""
    bit_width = draw(st.integers(1, 8))
    shape = tuple(draw(st.tuples(st.integers(2, 3), *[st.integers(1, 7)] * 3)))
    top, rng = (1 << bit_width) - 1, np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = {
        "drawn": rng.integers(0, top + 1, shape),
        "sparse": rng.binomial(top, 0.05, shape),
        "silent": np.zeros(shape),
        "saturated": np.full(shape, top),
        "one loud channel": np.zeros(shape) + top * (np.arange(shape[1])[:, None, None] == 0),
    }
    return bit_width, kinds[draw(st.sampled_from(list(kinds)))].astype(np.uint8)
