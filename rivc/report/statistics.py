r"""What few seeds say about an algorithm: interquartile means with intervals, and pairs of them.

A set of scores is one array a task, with one normalised score a seed. Tasks count alike: where one
has fewer seeds, each of them counts for more. With as many seeds everywhere, every definition here
is that of Agarwal et al.

Intervals are percentile intervals of a stratified bootstrap: seeds are drawn anew within each task,
never across tasks. Equal arguments and generators give equal numbers.

Reference:
    Agarwal, Schwarzer, Castro, Courville, Bellemare (2021), Deep reinforcement learning at the edge
    of the statistical precipice, NeurIPS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rivc.errors import UsageError

RESAMPLES: Final = 10_000
LEVEL: Final = 0.95
TRIMMED: Final = 0.25  # share of scores that an interquartile mean leaves out, at either end
_CHUNK: Final = 1 << 24  # numbers in memory at a time, where each meets all seeds of a task

Array = NDArray[np.float64]
Scores = Sequence[Array]
"""One array a task; the last axis is seeds, any axis before it is carried along."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic and its interval; arrays where the statistic is one.

    Attributes:
        value: of the scores themselves.
        low: lower end.
        high: upper end.
        is_one_seed: a side has one seed of every task, whose luck the ends say nothing of.
        has_one_seed: a side has one seed of some task, so that the ends lie too close.
    """

    value: Any
    low: Any
    high: Any
    is_one_seed: bool = False
    has_one_seed: bool = False

    @property
    def luck(self) -> str:
        """What the ends do not tell of, to be put behind them; empty where there is nothing."""
        return ", one seed of some tasks" if self.has_one_seed and not self.is_one_seed else ""


def iqm(scores: Scores) -> Array:
    r"""Return the mean of the middle half of all scores.

    With n scores in ascending order and :math:`c = \lfloor n / 4 \rfloor`:

    .. math:: IQM = \frac{1}{n - 2c} \sum_{i = c + 1}^{n - c} x_{(i)}

    A score of a task with fewer seeds counts as often as makes all tasks have as many.

    Args:
        scores: one array a task, [..., seeds].

    Returns:
        [...].

    Raises:
        UsageError: if a task has no score.

    Example:
        >>> float(iqm([np.array([0.0, 1.0, 2.0, 9.0])]))
        1.5
    """
    pooled, often = np.concatenate(_checked(scores), axis=-1), _often(scores)
    order, count = np.argsort(pooled, axis=-1), often.sum()
    cut = np.floor(TRIMMED * count)
    ends = np.clip(np.cumsum(often[order], axis=-1), cut, count - cut)
    kept = np.diff(ends, prepend=cut, axis=-1)  # how often each counts in the middle
    values = np.take_along_axis(pooled, order, axis=-1)
    return np.asarray((values * kept).sum(-1) / (count - 2 * cut))


def mean(scores: Scores) -> Array:
    """Return the mean over tasks of the mean over seeds, [...]."""
    return np.asarray(np.mean([task.mean(-1) for task in _checked(scores)], axis=0))


def exceeding(scores: Scores, thresholds: Array) -> Array:
    r"""Return the performance profile: the share of scores above each threshold.

    .. math:: F(\tau) = \frac{1}{M} \sum_m \frac{1}{N_m} \sum_n [x_{m,n} > \tau]

    Args:
        scores: one array a task, [..., seeds].
        thresholds: tau, [T].

    Returns:
        [..., T].
    """
    shares = [(task[..., None, :] > thresholds[:, None]).mean(-1) for task in _checked(scores)]
    return np.asarray(np.mean(shares, axis=0))


def improvement(x: Scores, y: Scores) -> Array:
    r"""Return the probability that x does better than y on a task drawn at random.

    .. math:: P(X > Y) = \frac{1}{M} \sum_m \frac{1}{N_m K_m}
              \sum_{n, k} \big([x_{m,n} > y_{m,k}] + \tfrac12 [x_{m,n} = y_{m,k}]\big)

    Args:
        x: one array a task, [..., seeds].
        y: the same tasks, in the same order, [..., seeds].

    Returns:
        [...].
    """
    return np.asarray(np.mean([_above(a, b) for a, b in _paired(x, y)], axis=0))


def interval(
    statistic: Callable[[Scores], Array],
    scores: Scores,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return a statistic of one set of scores with its 95 % interval.

    Args:
        statistic: from scores, [..., seeds], to [...] or more.
        scores: one array a task, [..., seeds]; all that lies before the last axis is of the same
            seeds and drawn with them, as the points of a curve are.
        rng: of the resamples.
        resamples: how many.
    """
    return _estimate(lambda drawn: statistic(drawn[0]), [_checked(scores)], rng, resamples, False)


def difference(
    x: Scores,
    y: Scores,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    statistic: Callable[[Scores], Array] = iqm,
) -> Estimate:
    """Return how much the interquartile mean, or another, of x is above that of y, seed by seed.

    The n-th score of both belongs to the same seed, so both are drawn together.

    Raises:
        UsageError: if a task has other seeds in x than in y.
    """
    for a, b in _paired(x, y):
        if a.shape != b.shape:
            raise UsageError(f"pairs need as many seeds, not {a.shape[-1]} and {b.shape[-1]}")
    return _estimate(lambda s: statistic(s[0]) - statistic(s[1]), [x, y], rng, resamples, True)


def improvement_interval(
    x: Scores, y: Scores, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Estimate:
    """Return the probability of improvement with its interval; both sides are drawn apart."""
    return _estimate(
        lambda s: improvement(s[0], s[1]), [_checked(x), _checked(y)], rng, resamples, False
    )


def _estimate(
    statistic: Callable[[list[Scores]], Array],
    sides: list[Scores],
    rng: np.random.Generator,
    resamples: int,
    together: bool,
) -> Estimate:
    """The statistic, and its percentiles over resamples of the seeds."""
    tasks = [task for side in sides for task in side]
    size = sum(task.size for task in tasks) * max(task.shape[-1] for task in tasks)
    chunk = max(1, min(resamples, _CHUNK // size))
    drawn = []
    for start in range(0, resamples, chunk):
        count = min(chunk, resamples - start)
        drawn.append(statistic(_resampled(sides, rng, count, together)))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(np.concatenate(drawn), [tail, 100 - tail], axis=0)
    alone = [[task.shape[-1] == 1 for task in side] for side in sides]
    return Estimate(statistic(sides), low, high, any(map(all, alone)), any(map(any, alone)))


def _resampled(
    sides: list[Scores], rng: np.random.Generator, count: int, together: bool
) -> list[Scores]:
    """Draw the seeds of every task `count` times; a new first axis holds the draws."""
    places = [_places(side, rng, count) for side in (sides[:1] if together else sides)]
    return [
        [_take(task, at) for task, at in zip(side, drawn, strict=True)]
        for side, drawn in zip(sides, cycle(places), strict=False)
    ]


def _places(side: Scores, rng: np.random.Generator, count: int) -> list[NDArray[np.int64]]:
    """Draw seeds of every task with replacement, [count, seeds]."""
    return [rng.integers(n, size=(count, n)) for n in (task.shape[-1] for task in side)]


def _take(task: Array, at: NDArray[np.int64]) -> Array:
    """[..., seeds] and [R, seeds] to [R, ..., seeds]."""
    return np.moveaxis(task[..., at], -2, 0)


def _above(a: Array, b: Array) -> Array:
    above, equal = a[..., :, None] > b[..., None, :], a[..., :, None] == b[..., None, :]
    return np.asarray((above + equal / 2).mean((-2, -1)))


def _often(scores: Scores) -> Array:
    """How often each score counts, so that all tasks have as many: whole numbers, [N]."""
    counts = [task.shape[-1] for task in scores]
    most = math.lcm(*counts)
    return np.concatenate([np.full(n, most // n, np.float64) for n in counts])


def _checked(scores: Scores) -> Scores:
    if not scores or not all(task.shape[-1] for task in scores):
        raise UsageError("there is no score to take a statistic of")
    return scores


def _paired(x: Scores, y: Scores) -> list[tuple[Array, Array]]:
    if len(x) != len(y):
        raise UsageError(f"both sides need the same tasks, not {len(x)} and {len(y)}")
    return list(zip(_checked(x), _checked(y), strict=True))
