"""Calibrated bounds: the level is exact, and refused where the states cannot give it."""

from __future__ import annotations

import numpy as np
import pytest

from rivc.errors import ConfigError
from rivc.snn_convert.certify.conformal import calibrate


def test_the_bound_is_the_smallest_that_reaches_the_level() -> None:
    drops = np.arange(1, 1000.0)  # n + 1 = 1000
    found = calibrate(np.random.default_rng(0).permutation(drops), 0.005)
    assert (found.bound, found.level, found.states) == (995.0, 0.995, 999)


def test_the_share_that_exceeds_it_is_as_promised() -> None:
    rng = np.random.default_rng(0)
    exceeded = [
        rng.standard_normal() > calibrate(rng.standard_normal(199), 0.1).bound for _ in range(4000)
    ]
    assert 0.08 < np.mean(exceeded) < 0.12


def test_a_gain_is_no_negative_drop() -> None:
    assert calibrate(np.full(99, -3.0), 0.1).bound == 0.0


@pytest.mark.parametrize(("delta", "needed"), [(0.005, 199), (0.1, 9), (0.3, 3)])
def test_too_few_states_are_refused_and_the_number_is_named(delta: float, needed: int) -> None:
    assert calibrate(np.zeros(needed), delta).level >= 1 - delta
    with pytest.raises(ConfigError, match=f"give {needed} "):
        calibrate(np.zeros(needed - 1), delta)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0, float("nan")])
def test_a_delta_out_of_range_is_refused(delta: float) -> None:
    with pytest.raises(ConfigError, match="outside"):
        calibrate(np.zeros(100), delta)
