"""VecNormalize's statistics folded into an encoding."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rivc.quant.encoding import InputEncoding
from rivc.sb3.normalize import folded


@given(mean=st.floats(-100, 100), std=st.floats(0.01, 100), bit_width=st.sampled_from([1, 4, 7, 8]))
def test_raw_and_normalized_observations_become_the_same_counts(
    mean: float, std: float, bit_width: int
) -> None:
    """Off the roundings: values in the middle of a count, and beyond the ends."""
    normalized = InputEncoding.over_range([-3.0], [2.0], bit_width=bit_width)
    steps = np.arange(-2, normalized.levels + 3)[:, None] + 0.2
    z = np.array(normalized.low) + steps * np.array(normalized.step)
    raw = folded(normalized, np.array([mean]), np.array([std]))
    assert np.array_equal(raw.encode(mean + std * z), normalized.encode(z))
