"""What changes along an axis: returns over env steps, flips over gap / error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.report.statistics import LEVEL, Estimate, interval, iqm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rivc.report.statistics import Array

RESAMPLES: Final = 2_000
FEWEST: Final = 30  # states in a bin that is shown


def held(curve: Array, grid: Array) -> Array:
    """Return a run's last evaluation at each place, [G]; before the first, the first.

    Args:
        curve: env steps and return of each evaluation, [P, 2].
        grid: env steps, [G].

    Example:
        >>> held(np.array([[100.0, 1.0], [200.0, 5.0]]), np.array([50.0, 150.0, 200.0])).tolist()
        [1.0, 1.0, 5.0]
    """
    at = np.searchsorted(curve[:, 0], grid, side="right") - 1
    return np.asarray(curve[np.maximum(at, 0), 1])


def efficiency(
    curves: Sequence[Sequence[Array]], grids: Sequence[Array], resamples: int = RESAMPLES
) -> Estimate:
    """Return the interquartile mean over tasks and seeds at each place, with its band, [G].

    Args:
        curves: of each task, one a seed, [P, 2].
        grids: of each task, env steps, [G]: the places that stand for one another.
        resamples: of the bootstrap, in which all places of a seed are drawn together.
    """
    scores = [
        np.stack([held(curve, grid) for curve in task], axis=-1)
        for task, grid in zip(curves, grids, strict=True)
    ]
    return interval(iqm, scores, np.random.default_rng(0), resamples)


def flip_curve(
    counts: NDArray[np.int64], flips: NDArray[np.int64], resamples: int = RESAMPLES
) -> Estimate:
    r"""Return the share of flipped actions in each bin over all runs, [bins].

    .. math:: \frac{\sum_j flips_{j,b}}{\sum_j counts_{j,b}}

    States of one run are alike, so runs are drawn anew, not states. A bin of fewer than `FEWEST`
    states is nan.

    Args:
        counts: states by run and bin, [J, bins].
        flips: flipped ones among them, [J, bins].
        resamples: of the bootstrap.
    """
    rng = np.random.default_rng(0)
    runs = len(counts)
    weights = rng.multinomial(runs, np.full(runs, 1 / runs), size=resamples)
    tail = 100 * (1 - LEVEL) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = (weights @ flips) / (weights @ counts)
        value = flips.sum(0) / counts.sum(0)
    shown = counts.sum(0) >= FEWEST
    ends: Any = np.full((2, counts.shape[1]), np.nan)
    ends[:, shown] = np.nanpercentile(drawn[:, shown], [tail, 100 - tail], axis=0)
    return Estimate(np.where(shown, value, np.nan), ends[0], ends[1])
