"""Gaps, errors and flips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rivc.nets import build_network
from rivc.snn_convert import convert, reference
from rivc.train.margins import EDGES, fpnn_steps, gaps, margins

STEPS = hnp.arrays(np.int64, (7, 2, 3), elements=st.integers(-9, 9))


def naive(steps: np.ndarray, readout: np.ndarray) -> tuple[list[float], list[float], list[bool]]:
    """Group by group, with sorting and Python's own maximum."""
    gaps, errors, flips = [], [], []
    for q, r in zip(steps.reshape(-1, 3), readout.reshape(-1, 3), strict=True):
        best, second, _ = sorted(q, reverse=True)
        gaps.append(best - second)
        errors.append(max(abs(a - b) for a, b in zip(q, r, strict=True)))
        flips.append(list(q).index(max(q)) != list(r).index(max(r)))
    return gaps, errors, flips


@given(STEPS, STEPS)
def test_what_is_counted_is_the_naive_count(steps: np.ndarray, change: np.ndarray) -> None:
    found = margins(steps.astype(float), steps + change)
    gaps, errors, flips = naive(steps, steps + change)
    assert found.gap_steps == pytest.approx(np.mean(gaps))
    assert found.error_steps == pytest.approx(np.mean(errors))
    assert found.flip_rate == pytest.approx(np.mean(flips))
    assert sum(found.ratio_counts) == len(gaps)
    assert sum(found.ratio_flips) == sum(flips)
    assert all(f <= n for f, n in zip(found.ratio_flips, found.ratio_counts, strict=True))


@given(STEPS, STEPS)
def test_an_error_flips_nothing_that_leads_by_more_than_twice_as_much(
    steps: np.ndarray, change: np.ndarray
) -> None:
    found = margins(steps.astype(float), steps + change)
    first = int(np.searchsorted(EDGES, 2.0)) + 1  # a ratio of exactly 2 may be a tie
    assert sum(found.ratio_flips[first + 1 :]) == 0


def test_no_error_is_the_last_bin() -> None:
    steps = np.array([[[5.0, 1.0]], [[2.0, 2.0]]])
    found = margins(steps, steps.astype(np.int64))
    assert found.ratio_counts[-1] == 2
    assert (found.error_steps, found.flip_rate) == (0.0, 0.0)


def test_an_action_that_is_alone_leads_by_more_than_any_error() -> None:
    steps = np.array([[[0.0]], [[-2.0]], [[3.0]]])
    assert np.array_equal(gaps(steps), np.full((3, 1), np.inf))
    found = margins(steps, steps.astype(np.int64) + 1)
    assert (found.gap_steps, found.flip_rate, found.ratio_counts[-1]) == (np.inf, 0.0, 3)


def test_a_ratio_falls_between_its_edges() -> None:
    found = margins(np.array([[[3.0, 0.0]]]), np.array([[[1, 0]]]))  # 3 / 2
    at = found.ratio_counts.index(1)
    assert EDGES[at - 1] <= 1.5 < EDGES[at]


@pytest.mark.parametrize("quantized", [True, False])
def test_the_fpnn_is_measured_in_readout_steps(quantized: bool) -> None:
    net = build_network("mlp", input_shape=(4,), action_layout=(2, 3), hidden=(8,), seed=1)
    net.quantized = quantized
    counts = np.random.default_rng(0).integers(0, 256, (9, 4), dtype=np.uint8)
    steps, program = fpnn_steps(net, counts), convert(net)
    exact = reference.run(program, counts)
    assert steps.shape == exact.shape == (9, 2, 3)
    if quantized:
        assert np.array_equal(steps, exact)
    else:
        assert not np.array_equal(steps, np.rint(steps))
        assert np.abs(steps - exact).mean() < np.abs(exact).mean()
