"""The rate controller: a pure function, whatever the link does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import ConfigError
from rivc.split.ladder import Point, Row
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
)

MS = 1_000_000
LIMITS = RateLimits(deadline_ns=100 * MS, period_ns=20 * MS)
NO_CODEC: Any = None
ROWS = tuple(
    Row(Point(4, 8, skip), NO_CODEC, float(size), size)
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
            assert before.good >= GOOD
            assert state.good == 0
        if row is not None:
            assert row == state.row
            assert fits(ROWS[row], before, LIMITS, now_ns) or row == len(ROWS) - 1
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
        assert 0 <= state.pace < float("inf")
        assert state.delay_ns is None or 0 <= state.delay_ns < float("inf")
        assert len(state.flights) <= UNDER_WAY
        assert goods >= 0


@given(st.floats(0, 1e7), st.integers(0, len(ROWS) - 1), st.integers(0, 10**10))
def test_with_nothing_under_way_something_is_sent_within_its_skip(
    pace: float, row: int, now_ns: int
) -> None:
    state = RateState(pace=pace, delay_ns=1e9, row=row)
    for _ in range(3):
        state, chosen = choose(state, ROWS, LIMITS, now_ns)
        if chosen is not None:
            return
    pytest.fail("nothing was sent")


def run(kbit_per_s: float, frames: int, state: RateState) -> tuple[RateState, list[int | None]]:
    """A link of one queue and 10 ms of delay, nothing lost."""
    free_ns, chosen, back = 0.0, [], list[tuple[int, int]]()
    start_ns = state.acknowledged_ns + 10**9
    for i in range(frames):
        now_ns = start_ns + i * LIMITS.period_ns
        while back and back[0][0] <= now_ns:
            came_ns, acked = back.pop(0)
            state = acknowledged(state, acked, LIMITS, came_ns)
        state, row = choose(state, ROWS, LIMITS, now_ns)
        chosen.append(row)
        if row is not None:
            size, sequence = ROWS[row].p95_bytes, now_ns
            state = sent(state, sequence, size, now_ns)
            free_ns = max(float(now_ns), free_ns) + (size + 60) * 8e6 / kbit_per_s
            back.append((int(free_ns) + 10 * MS, sequence))
    return state, chosen


def test_the_bandwidth_is_found_and_used() -> None:
    start = joined(RateState(), 10 * MS, 0)
    state, rows = run(250, 300, start)
    assert rows[100:].count(1) > 40  # every third frame, 1,060 bytes in 34 ms
    assert state.kbit_per_s == pytest.approx(250, rel=0.25)
    _, rows = run(10_000, 100, state)
    assert set(rows[-50:]) == {0}
    assert len(rows) - rows.count(0) < 40
    _, rows = run(45, 300, start)
    assert rows[100:].count(4) > 40
    assert rows[100:].count(0) == rows[100:].count(1) == 0


def test_up_takes_ten_good_frames_and_down_none() -> None:
    slow = RateState(pace=8e6 / 30, delay_ns=10.0 * MS, row=0)
    slow, row = choose(slow, ROWS, LIMITS, 10**9)
    assert row == 4
    state = RateState(pace=0.0, delay_ns=10.0 * MS, row=4)
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
    state = RateState(pace=100.0, delay_ns=5.0 * MS)
    for i in range(200):
        now_ns = 10**9 + i * LIMITS.period_ns
        state, row = choose(state, ROWS, LIMITS, now_ns)
        assert row == 0
        state = sent(state, i, 100, now_ns)
    assert (state.pace, state.delay_ns, state.row, state.good) == (100.0, 5.0 * MS, 0, 0)


def test_an_acknowledgement_of_what_was_never_sent_means_nothing() -> None:
    state = sent(RateState(), 7, 100, 0)
    assert acknowledged(state, 8, LIMITS, 5) is state


@pytest.mark.parametrize("wrong", [(0, 1), (1, 0), (-1, 5)])
def test_limits_are_positive(wrong: tuple[int, int]) -> None:
    with pytest.raises(ConfigError):
        RateLimits(*wrong)
