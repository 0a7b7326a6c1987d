"""Statistics over seeds, against numbers worked by hand and against loops that cannot be wrong."""

from __future__ import annotations

import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.errors import UsageError
from rivc.report.statistics import (
    Scores,
    difference,
    exceeding,
    improvement,
    improvement_interval,
    interval,
    iqm,
    mean,
)

values = st.integers(-8, 8).map(float)


@st.composite
def scores(draw: st.DrawFn, tasks: int | None = None, seeds: int | None = None) -> Scores:
    count = tasks or draw(st.integers(1, 4))
    sizes = [seeds or draw(st.integers(1, 6)) for _ in range(count)]
    return [np.array(draw(st.lists(values, min_size=n, max_size=n))) for n in sizes]


def naive_iqm(x: Scores) -> float:
    """Sort every score, drop a quarter at each end, add up what is left."""
    longest = int(np.lcm.reduce([len(task) for task in x]))
    pool = sorted(v for task in x for v in task for _ in range(longest // len(task)))
    for _ in range(len(pool) // 4):
        pool = pool[1:]
    for _ in range(sum(longest for _ in x) // 4):
        pool = pool[:-1]
    return sum(pool) / len(pool)


def naive_improvement(x: Scores, y: Scores) -> float:
    """Count wins and half the ties, task by task."""
    shares = []
    for a, b in zip(x, y, strict=True):
        wins = sum(1.0 if i > j else 0.5 if i == j else 0.0 for i in a for j in b)
        shares.append(wins / (len(a) * len(b)))
    return sum(shares) / len(shares)


def naive_interval(x: Scores, rng: np.random.Generator, resamples: int) -> tuple[float, float]:
    """Draw, resample by resample, in the order in which the fast version draws."""
    at = [rng.integers(len(task), size=(resamples, len(task))) for task in x]
    drawn = sorted(
        naive_iqm([np.array([task[i] for i in at[m][r]]) for m, task in enumerate(x)])
        for r in range(resamples)
    )

    def percentile(share: float) -> float:
        place = share * (resamples - 1)
        below = int(place)
        above = min(below + 1, resamples - 1)
        return drawn[below] + (place - below) * (drawn[above] - drawn[below])

    return percentile(0.025), percentile(0.975)


def test_the_middle_half_is_what_counts() -> None:
    assert iqm([np.array([9.0, 1.0, 2.0, 0.0])]) == 1.5
    assert iqm([np.arange(8.0)]) == np.mean([2, 3, 4, 5])
    # 6 scores: a quarter is 1.5, so one at each end is left out
    assert iqm([np.array([0.0, 1, 2]), np.array([3.0, 4, 100])]) == np.mean([1, 2, 3, 4])
    assert iqm([np.array([5.0])]) == 5.0


def test_a_task_with_fewer_seeds_counts_as_much() -> None:
    few, many = np.array([0.0]), np.array([1.0, 1, 1, 1])
    assert iqm([few, many]) == 0.5
    assert mean([few, many]) == 0.5
    assert exceeding([few, many], np.array([0.5])).tolist() == [0.5]


@given(scores())
def test_the_interquartile_mean_is_the_naive_one(x: Scores) -> None:
    assert iqm(x) == pytest.approx(naive_iqm(x), abs=1e-12)


@given(scores(tasks=2), scores(tasks=2))
def test_the_probability_of_improvement_is_the_naive_one(x: Scores, y: Scores) -> None:
    assert improvement(x, y) == pytest.approx(naive_improvement(x, y), abs=1e-12)
    assert improvement(x, y) + improvement(y, x) == pytest.approx(1.0)


def test_a_tie_is_half_a_win() -> None:
    x, y = [np.array([1.0, 2.0])], [np.array([1.0, 0.0])]
    assert improvement(x, y) == (0.5 + 1 + 1 + 1) / 4
    assert improvement(x, x) == 0.5


@given(scores())
def test_a_profile_falls_from_one_to_zero(x: Scores) -> None:
    profile = exceeding(x, np.linspace(-9, 9, 19))
    assert profile[0] == 1.0
    assert profile[-1] == 0.0
    assert (np.diff(profile) <= 0).all()


def test_a_profile_is_the_share_strictly_above() -> None:
    x = [np.array([0.0, 0.5, 1.0, 1.0]), np.array([0.5, 0.5, 0.5, 2.0])]
    assert exceeding(x, np.array([-1, 0.0, 0.5, 1.0])).tolist() == [1.0, 7 / 8, 3 / 8, 1 / 8]


def test_the_interval_is_the_naive_one() -> None:
    x = [np.array([0.0, 0.3, 0.9, 1.0]), np.array([0.2, 0.4, 0.4]), np.array([0.7, 0.1])]
    found = interval(iqm, x, np.random.default_rng(5), resamples=200)
    low, high = naive_interval(x, np.random.default_rng(5), 200)
    often = np.lcm.reduce([*range(17, 21)])
    pool = np.sort(np.concatenate([np.repeat(task, often // len(task)) for task in x]))
    assert found.value == pytest.approx(pool[len(pool) // 4 : -(len(pool) // 4)].mean())
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_an_interval_of_two_seeds_is_known_by_hand() -> None:
    """The mean of two draws is 0, 1/2 or 1 with odds 1:2:1, so 95 % reaches from 0 to 1."""
    found = interval(iqm, [np.array([0.0, 1.0])], np.random.default_rng(0))
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_equal_seeds_have_no_interval() -> None:
    found = interval(iqm, [np.full(5, 0.25), np.full(3, 0.25)], np.random.default_rng(0), 100)
    assert (found.low, found.value, found.high) == (0.25, 0.25, 0.25)


def test_one_seed_is_told_of_all_tasks_and_of_some() -> None:
    one, many, rng = np.ones(1), np.ones(3), np.random.default_rng(0)
    for tasks, (all_of_them, some) in (
        ([many, many], (False, False)),
        ([many, one], (False, True)),
        ([one, one], (True, True)),
    ):
        found = interval(iqm, tasks, rng, 10)
        assert (found.is_one_seed, found.has_one_seed) == (all_of_them, some)
    assert improvement_interval([many], [one], rng, 10).is_one_seed


def test_seeds_are_drawn_within_their_task() -> None:
    """Drawn across tasks, a mean of two constant tasks would vary."""
    found = interval(mean, [np.zeros(4), np.ones(4)], np.random.default_rng(0), 500)
    assert (found.low, found.high) == (0.5, 0.5)


def test_equal_generators_give_equal_intervals_whatever_the_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = [np.random.default_rng(1).random(5)]
    whole = interval(iqm, x, np.random.default_rng(3), 1000)
    assert whole == interval(iqm, x, np.random.default_rng(3), 1000)
    monkeypatch.setattr("rivc.report.statistics._CHUNK", 500)
    assert whole == interval(iqm, x, np.random.default_rng(3), 1000)  # one task: the same stream


def test_seed_counts_without_a_common_divisor_cost_no_memory() -> None:
    """As after a few failed jobs; 232,560 numbers a resample if scores were repeated."""
    x = [np.random.default_rng(n).random(n) for n in (20, 19, 18, 17)]
    tracemalloc.start()
    found = interval(iqm, x, np.random.default_rng(0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    often = np.lcm.reduce([*range(17, 21)])
    pool = np.sort(np.concatenate([np.repeat(task, often // len(task)) for task in x]))
    assert found.value == pytest.approx(pool[len(pool) // 4 : -(len(pool) // 4)].mean())


def test_many_seeds_of_both_sides_are_compared_in_bounded_memory() -> None:
    x = [np.random.default_rng(n).random(300) for n in range(2)]
    tracemalloc.start()
    improvement_interval(x, x, np.random.default_rng(0), 2000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500e6


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        found = interval(mean, [rng.normal(size=20), rng.normal(size=20)], rng, 400)
        hits += bool(found.low <= 0 <= found.high)
    assert 0.88 <= hits / 200 <= 0.99


def test_a_curve_is_drawn_seed_by_seed() -> None:
    """Points of one seed stay together: a constant offset between two points never varies."""
    seeds = np.random.default_rng(0).random(6)
    curve = np.stack([seeds, seeds + 1])
    found = interval(iqm, [curve], np.random.default_rng(0), 300)
    assert found.value.shape == (2,)
    np.testing.assert_allclose(found.low[1] - found.low[0], 1.0)
    np.testing.assert_allclose(found.high[1] - found.high[0], 1.0)


def test_a_profile_has_a_band() -> None:
    x = [np.random.default_rng(0).random(8) for _ in range(3)]
    levels = np.linspace(0, 1, 5)
    found = interval(partial(exceeding, thresholds=levels), x, np.random.default_rng(0), 300)
    assert found.low.shape == found.high.shape == (5,)
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()


def test_pairs_are_drawn_together() -> None:
    """Each seed gains 1: paired, the difference has no width; drawn apart, it would have."""
    x = [np.array([0.0, 1, 2, 3, 4])]
    found = difference([x[0] + 1], x, np.random.default_rng(0), 500)
    assert found.value == 1.0
    np.testing.assert_allclose([found.low, found.high], 1.0)


def test_an_improvement_has_an_interval() -> None:
    x, y = [np.array([1.0, 2, 3])], [np.array([0.0, 2, 2])]
    found = improvement_interval(x, y, np.random.default_rng(0), 500)
    assert found.value == naive_improvement(x, y)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_a_clear_winner_is_certain() -> None:
    found = improvement_interval([np.ones(4)], [np.zeros(5)], np.random.default_rng(0), 100)
    assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("empty", [[], [np.array([])], [np.ones(2), np.array([])]])
def test_no_scores_are_told(empty: Scores) -> None:
    with pytest.raises(UsageError, match="no score"):
        iqm(empty)


def test_sides_that_do_not_match_are_told() -> None:
    one, two = [np.ones(2)], [np.ones(2), np.ones(2)]
    with pytest.raises(UsageError, match="the same tasks, not 1 and 2"):
        improvement(one, two)
    with pytest.raises(UsageError, match="as many seeds, not 2 and 3"):
        difference(one, [np.ones(3)], np.random.default_rng(0))
