"""Returns over env steps, and flips over gap / error."""

from __future__ import annotations

import numpy as np
import pytest

from rivc.report.curves import FEWEST, efficiency, flip_curve, held
from rivc.report.statistics import iqm


def test_a_run_is_worth_its_last_evaluation() -> None:
    curve = np.array([[100.0, 1.0], [200.0, 3.0], [400.0, 2.0]])
    grid = np.array([0.0, 99.0, 100.0, 199.0, 200.0, 399.0, 400.0, 900.0])
    assert held(curve, grid).tolist() == [1, 1, 1, 1, 3, 3, 2, 2]


def test_efficiency_is_the_interquartile_mean_at_each_place() -> None:
    rng = np.random.default_rng(0)
    runs = [np.stack([np.arange(1.0, 4), rng.random(3)], 1) for _ in range(5)]
    found = efficiency([runs], [np.arange(1.0, 4)], resamples=100)
    for i in range(3):
        assert found.value[i] == iqm([np.array([run[i, 1] for run in runs])])
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()


def test_places_of_tasks_stand_for_one_another() -> None:
    short = [np.array([[10.0, 0.0], [20.0, 1.0]])]
    long = [np.array([[100.0, 0.0], [200.0, 1.0]])]
    grids = [np.array([10.0, 20.0]), np.array([100.0, 200.0])]
    assert efficiency([short, long], grids, 10).value.tolist() == [0.0, 1.0]


def test_flips_are_shares_of_all_runs_together() -> None:
    counts, flips = np.array([[90, 10], [10, 90]]), np.array([[9, 0], [1, 45]])
    found = flip_curve(counts, flips, resamples=200)
    assert found.value.tolist() == [0.1, 0.45]
    assert found.low[1] <= 0.45 <= found.high[1]
    assert (found.low[0], found.high[0]) == pytest.approx((0.1, 0.1))


def test_a_bin_of_few_states_is_not_shown() -> None:
    found = flip_curve(np.array([[FEWEST - 1, FEWEST, 0]]), np.array([[1, 3, 0]]), resamples=20)
    assert np.isnan(found.value).tolist() == [True, False, True]
    assert np.isnan(found.low).tolist() == [True, False, True]
