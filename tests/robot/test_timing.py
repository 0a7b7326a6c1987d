"""Clocks, alarms, absolute deadlines and what is remembered of them."""

from __future__ import annotations

import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.errors import ConfigError
from rivc.robot import FixedRate, MonotonicClock, SimulatedClock
from rivc.robot.clock import SECOND_NS
from rivc.robot.rate import KEPT, Durations
from tests.robots import MS


class Oversleeps(SimulatedClock):
    """Wakes later than it was asked to, by one after the other of some times."""

    def __init__(self, late_ns: list[int]) -> None:
        super().__init__()
        self.late_ns = late_ns

    def sleep_until(self, time_ns: int) -> None:
        super().sleep_until(time_ns + (self.late_ns.pop(0) if self.late_ns else 0))


def test_alarms_ring_in_the_order_of_their_times_and_may_be_set_from_within() -> None:
    clock, rung = SimulatedClock(), []
    late = clock.alarm(lambda time_ns: rung.append(("late", time_ns)))

    def ring(time_ns: int) -> None:
        rung.append(("again", time_ns))
        again.set(time_ns + 3)

    again = clock.alarm(ring)
    late.set(5)
    again.set(1)
    clock.sleep_until(8)
    assert rung == [("again", 1), ("again", 4), ("late", 5), ("again", 7)]
    assert clock.now_ns() == 8


def test_an_alarm_that_is_set_anew_or_closed_does_not_ring_at_its_old_time() -> None:
    clock, rung = SimulatedClock(), []
    moved, closed = clock.alarm(rung.append), clock.alarm(rung.append)
    moved.set(2)
    moved.set(6)
    closed.set(3)
    closed.close()
    closed.set(4)
    clock.sleep_until(9)
    assert rung == [6]


def test_simulated_time_never_goes_back() -> None:
    clock = SimulatedClock()
    clock.sleep_until(5)
    clock.sleep_until(3)
    assert clock.now_ns() == 5


def test_a_real_alarm_rings_in_a_thread_of_its_own_not_before_its_time() -> None:
    clock, rung, done = MonotonicClock(), [], threading.Event()

    def ring(time_ns: int) -> None:
        rung.append((time_ns, threading.current_thread().name))
        done.set()

    alarm = clock.alarm(ring)
    due_ns = clock.now_ns() + 30 * MS
    alarm.set(due_ns + 3600 * SECOND_NS)
    alarm.set(due_ns)
    assert done.wait(30)
    alarm.close()
    assert rung[0][0] >= due_ns
    assert rung[0][1] == "rivc alarm"


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, 1e-300, 1e9, float("nan"), float("inf")])
def test_rates_that_no_clock_keeps_are_refused(rate_hz: float) -> None:
    with pytest.raises(ConfigError, match=r"Hz is not in 0\.001\.\.10000 Hz"):
        FixedRate(SimulatedClock(), rate_hz)


@given(rate_hz=st.floats(0.01, 10_000), slot=st.integers(0, 10**9), start_ns=st.integers(0, 10**15))
def test_slots_never_drift(rate_hz: float, slot: int, start_ns: int) -> None:
    clock = SimulatedClock()
    clock.sleep_until(start_ns)
    exact = start_ns + slot * SECOND_NS / Fraction(rate_hz)
    assert 0 <= exact - FixedRate(clock, rate_hz).slot_ns(slot) < 1


@given(
    rate_hz=st.floats(1, 1000),
    work_ns=st.lists(st.integers(0, 50 * MS), min_size=1, max_size=30),
)
def test_a_slot_is_run_or_skipped_and_none_begins_before_its_time(
    rate_hz: float, work_ns: list[int]
) -> None:
    clock = SimulatedClock()
    rate, run = FixedRate(clock, rate_hz), []
    for slot in rate.slots(len(work_ns)):
        assert clock.now_ns() == rate.slot_ns(slot)
        run.append(slot)
        clock.sleep_until(clock.now_ns() + work_ns[slot])
    assert run == sorted(set(run))
    assert len(run) + rate.missed == len(work_ns)
    for slot, following in zip(run, [*run[1:], len(work_ns)], strict=True):
        done_ns = rate.slot_ns(slot) + work_ns[slot]
        assert all(rate.slot_ns(k) < done_ns for k in range(slot + 1, following))
    assert rate.jitter.percentiles().max_ms == 0


def test_jitter_is_how_late_a_slot_begins_and_is_not_handed_on() -> None:
    clock = Oversleeps([0, 3 * MS, 1 * MS])
    rate = FixedRate(clock, 100.0)
    starts = [clock.now_ns() // MS for _ in rate.slots(4)]
    assert starts == [0, 13, 21, 30]
    assert rate.jitter.percentiles().max_ms == 3
    assert rate.missed == 0


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300))
def test_percentiles_are_values_that_were_seen(values: list[int]) -> None:
    durations = Durations()
    for value in values:
        durations.add(value)
    found, ordered = durations.percentiles(), sorted(values)
    for share, value in ((0.5, found.p50_ms), (0.9, found.p90_ms), (0.99, found.p99_ms)):
        rank = int(np.ceil(share * len(values) - 1e-9)) - 1
        assert value == ordered[rank] / MS
    assert found.max_ms == ordered[-1] / MS


def test_durations_take_bounded_memory_and_remember_the_largest() -> None:
    durations = Durations()
    durations.add(7 * MS)
    for _ in range(KEPT):
        durations.add(MS)
    found = durations.percentiles()
    assert (found.count, found.p99_ms, found.max_ms) == (KEPT + 1, 1.0, 7.0)


def test_nothing_took_no_time() -> None:
    assert Durations().percentiles().max_ms == 0


def test_a_clock_that_wakes_early_is_slept_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    naps = []
    monkeypatch.setattr(time, "sleep", naps.append)  # returns at once, as after a signal
    clock = MonotonicClock()
    due_ns = clock.now_ns() + 2 * MS
    clock.sleep_until(due_ns)
    assert clock.now_ns() >= due_ns
    assert len(naps) > 1
