"""The rate controller: a pure function, whatever the link does."""

from __future__ import annotations

from dataclasses import replace
from heapq import heappop, heappush
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import ConfigError
from rivc.split.ladder import Point, Row
from rivc.split.link import LinkModel, LinkTrace, Phase
from rivc.split.pace import Pace
from rivc.split.rate import (
    GOOD,
    UNDER_WAY,
    RateLimits,
    RateState,
    acknowledged,
    choose,
    fits,
    joined,
    sent,
    smallest,
)

MS = 1_000_000
LIMITS = RateLimits(deadline_ns=100 * MS, period_ns=20 * MS)
NO_CODEC: Any = None
ROWS = tuple(
    Row(Point(4, 8, skip), NO_CODEC, 0.8 * size, size)
    for size, skip in ((1000, 1), (1000, 3), (300, 1), (100, 1), (100, 3))
)
events = st.lists(st.sampled_from(["answer", "lose", "late", "disorder"]), max_size=150)


@settings(max_examples=200)
@given(events, st.integers(0, 200 * MS), st.floats(0, 1e6))
def test_whatever_comes_back_the_state_stays_sane(
    events: list[str], delay_ns: int, pace: float
) -> None:
    state, under_way, goods, now_ns = RateState(), list[tuple[int, int]](), 0, 0
    for sequence, event in enumerate(events, 1):
        now_ns += LIMITS.period_ns
        before = state
        state, row = choose(state, ROWS, LIMITS, now_ns)
        assert choose(before, ROWS, LIMITS, now_ns) == (state, row)  # pure
        if state.row < before.row:
            assert before.good >= GOOD or state.row == smallest(ROWS)
            assert state.good == 0
        if row is not None:
            assert row == state.row
            wait_ns = max(0.0, before.free_ns - now_ns)
            counted = replace(before, since=before.since + 1)
            assert fits(ROWS[row], counted, LIMITS, wait_ns) or row == smallest(ROWS)
            state = sent(state, sequence, ROWS[row].p95_bytes, now_ns)
            under_way.append((sequence, now_ns))
        if event != "lose" and under_way:
            acked, sent_ns = under_way.pop(-1 if event == "disorder" else 0)
            late = 3 * LIMITS.deadline_ns if event == "late" else 0
            came_ns = max(now_ns, sent_ns + delay_ns + late)
            state = acknowledged(state, acked, LIMITS, came_ns)
            now_ns = max(now_ns, came_ns)
            goods = state.good
        assert 0 <= state.row < len(ROWS)
        assert 0 <= state.pace.byte_ns < float("inf")
        assert 0 <= state.pace.delay_ns < float("inf")
        assert min(state.pace.spread[::2]) >= 0
        assert len(state.flights) <= UNDER_WAY
        assert goods >= 0


@given(st.floats(0, 1e7), st.integers(0, len(ROWS) - 1), st.integers(0, 10**10))
def test_with_nothing_under_way_something_is_sent_within_its_skip(
    pace: float, row: int, now_ns: int
) -> None:
    state = RateState(Pace(pace, 1e9), row=row)
    for _ in range(3):
        state, chosen = choose(state, ROWS, LIMITS, now_ns)
        if chosen is not None:
            return
    pytest.fail("nothing was sent")


def run(
    phase: Phase, frames: int, state: RateState | None = None, rows: tuple[Row, ...] = ROWS
) -> tuple[RateState, list[int | None]]:
    """A link, the same both ways; packets are smaller or larger than the mean, as they are."""
    up, down = (LinkModel(LinkTrace((phase,)), seed) for seed in (0, 1))
    rng, chosen, back = np.random.default_rng(2), [], list[tuple[int, int]]()
    state = state or joined(RateState(), round(2 * phase.delay_ms * MS))
    start_ns = round(state.through_ns) + 10**9
    for i in range(frames):
        now_ns = start_ns + i * LIMITS.period_ns
        while back and back[0][0] <= now_ns:
            came_ns, acked = heappop(back)
            state = acknowledged(state, acked, LIMITS, came_ns)
        state, row = choose(state, rows, LIMITS, now_ns)
        chosen.append(row)
        if row is not None:
            size = round(rows[row].p95_bytes * rng.uniform(0.6, 1.0))
            state = sent(state, now_ns, size, now_ns)
            for there_ns in up.arrivals(size, now_ns):
                for came_ns in down.arrivals(90, there_ns):
                    heappush(back, (came_ns, now_ns))
    return state, chosen


@pytest.mark.parametrize("jitter_ms", [0, 2, 8])
@pytest.mark.parametrize("kbit_per_s", [45, 150, 250, 1000])
def test_jitter_is_not_taken_for_a_narrow_link(kbit_per_s: float, jitter_ms: float) -> None:
    state, _ = run(Phase(kbit_per_s=kbit_per_s, delay_ms=5, jitter_ms=jitter_ms), 400)
    assert state.pace.kbit_per_s == pytest.approx(kbit_per_s, rel=0.15 + 0.05 * jitter_ms)


def test_a_wide_link_stays_wide() -> None:
    state, rows = run(Phase(delay_ms=5, jitter_ms=8), 400)
    assert set(rows) == {0}
    assert state.pace.kbit_per_s > 1000
    assert state.pace.delay_ns == pytest.approx(18 * MS, rel=0.2)


def test_the_bandwidth_is_found_and_used() -> None:
    state, rows = run(Phase(kbit_per_s=250, delay_ms=5), 300)
    assert rows[100:].count(1) > 40  # every third frame, 1,060 bytes in 34 ms
    _, rows = run(Phase(kbit_per_s=1e4, delay_ms=5), 100, state)
    assert set(rows[-50:]) == {0}
    assert len(rows) - rows.count(0) < 40
    _, rows = run(Phase(kbit_per_s=45, delay_ms=5), 300)
    assert rows[100:].count(3) + rows[100:].count(4) > 60
    assert rows[100:].count(0) == rows[100:].count(1) == 0


def test_a_link_that_narrows_is_noticed_with_the_second_answer() -> None:
    wide, _ = run(Phase(kbit_per_s=1e4, delay_ms=5, jitter_ms=2), 200)
    _, rows = run(Phase(kbit_per_s=45, delay_ms=5, jitter_ms=2), 100, wide)
    assert 0 not in rows[20:]  # 1,028 bytes take 183 ms
    assert 1 not in rows[20:]


def test_one_row_that_is_too_wide_goes_as_often_as_the_link_bears() -> None:
    """170 kbit/s take a frame of 1,028 bytes in 48 ms: every third slot."""
    _, rows = run(Phase(kbit_per_s=170, delay_ms=5), 300, rows=ROWS[:1])
    assert 90 <= rows.count(0) <= 130


def test_up_takes_ten_good_frames_and_down_none() -> None:
    slow = RateState(Pace(8e6 / 30, 10.0 * MS))
    slow, row = choose(slow, ROWS, LIMITS, 10**9)
    assert row == 4
    state = RateState(Pace(0.0, 10.0 * MS), row=4)
    for i in range(1, 100):
        now_ns = 10**9 + i * LIMITS.period_ns
        state, row = choose(state, ROWS, LIMITS, now_ns)
        if row == 0:
            break
        if row is not None:
            state = sent(state, i, 100, now_ns)
            state = acknowledged(state, i, LIMITS, now_ns + 10 * MS)
    assert i == 3 * (GOOD - 1) + 2  # the frame after the tenth that was sent


def test_a_loss_moves_neither_pace_nor_delay_nor_row() -> None:
    state = RateState(Pace(100.0, 5.0 * MS))
    for i in range(200):
        now_ns = 10**9 + i * LIMITS.period_ns
        state, row = choose(state, ROWS, LIMITS, now_ns)
        assert row == 0
        state = sent(state, i, 100, now_ns)
    assert (state.pace, state.row, state.good) == (Pace(100.0, 5.0 * MS), 0, 0)


def test_an_acknowledgement_of_what_was_never_sent_means_nothing() -> None:
    state = sent(RateState(), 7, 100, 0)
    assert acknowledged(state, 8, LIMITS, 5) is state


def test_the_work_of_the_server_is_not_taken_for_the_link() -> None:
    state = sent(RateState(), 1, 100, 0)
    slow = acknowledged(state, 1, LIMITS, 50 * MS, worked_ns=30 * MS)
    at_once = acknowledged(state, 1, LIMITS, 20 * MS)
    assert (slow.pace, slow.through_ns) == (at_once.pace, at_once.through_ns)
    assert slow.pace != acknowledged(state, 1, LIMITS, 50 * MS).pace


@pytest.mark.parametrize("wrong", [(0, 1), (1, 0), (-1, 5)])
def test_limits_are_positive(wrong: tuple[int, int]) -> None:
    with pytest.raises(ConfigError):
        RateLimits(*wrong)
