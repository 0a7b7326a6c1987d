"""The rules of the watchdog, as pure functions and as what runs them."""

from __future__ import annotations

import math
import time
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.errors import ConfigError
from rivc.robot import SimulatedClock, Watchdog, WatchdogLimits
from rivc.robot.clock import MonotonicClock
from rivc.robot.watchdog import WatchdogState, begun, decided, due, looked, missed, sent
from tests.robots import MS

LIMITS = WatchdogLimits(frame_ms=100, decision_ms=30, recovery=3)


def start(recovery: int = 3) -> tuple[SimulatedClock, Watchdog, list[int]]:
    """A watchdog, and the times [ms] at which it stops the robot after the stop it starts with."""
    clock, stops = SimulatedClock(), []
    limits = WatchdogLimits(frame_ms=100, decision_ms=30, recovery=recovery)
    dog = Watchdog(clock, limits, lambda: stops.append(clock.now_ns() // MS))
    assert stops == [0]
    stops.clear()
    return clock, dog, stops


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"frame_ms": 1e-9}, "frame_ms=1e-09 is not 0.05 or more"),
        ({"decision_ms": math.nan}, "decision_ms=nan"),
        ({"frame_ms": math.inf}, "frame_ms=inf"),
        ({"recovery": 0}, "recovery=0 is not 1 or more"),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        WatchdogLimits(**({"frame_ms": 100, "decision_ms": 30} | wrong))


def decide(clock: SimulatedClock, dog: Watchdog) -> bool:
    """See a new frame, decide at once, and send if that is allowed."""
    dog.begin()
    captured_ns = clock.now_ns()
    if not dog.allows(captured_ns):
        return False
    dog.settle(captured_ns)
    return True


def sleep(clock: SimulatedClock, ms: int) -> None:
    clock.sleep_until(clock.now_ns() + ms * MS)


def decisions(clock: SimulatedClock, dog: Watchdog, count: int) -> list[bool]:
    """Decide again and again, each time on a frame of its own."""
    allowed = []
    for _ in range(count):
        sleep(clock, 1)
        allowed.append(decide(clock, dog))
    return allowed


def test_it_starts_stopped_and_so_many_decisions_start_it() -> None:
    clock, dog, _ = start()
    assert decisions(clock, dog, 4) == [False, False, True, True]
    assert dog.stop_count == 0


def test_a_decision_on_a_frame_that_counted_does_not_count_again() -> None:
    clock, dog, _ = start()
    sleep(clock, 10)
    allowed = []
    for captured_ms in (1, 1, 1, 2, 1, 3):
        dog.begin()
        allowed.append(dog.allows(captured_ms * MS))
    assert allowed == [False] * 5 + [True]


def test_the_frame_of_the_command_before_a_stop_does_not_end_it() -> None:
    clock, dog, stops = start(recovery=1)
    assert decide(clock, dog)
    sleep(clock, 10)
    dog.begin()
    sleep(clock, 40)  # a decision that takes too long
    assert stops == [40]
    dog.begin()
    assert not dog.allows(captured_ns=0)
    dog.begin()
    assert dog.allows(captured_ns=50 * MS)


def test_a_slot_without_a_frame_starts_the_count_anew() -> None:
    clock, dog, _ = start()
    assert decisions(clock, dog, 2) == [False, False]
    dog.miss()
    assert decisions(clock, dog, 3) == [False, False, True]


def test_a_late_frame_starts_the_count_anew() -> None:
    clock, dog, _ = start()
    sleep(clock, 500)
    decisions(clock, dog, 2)
    dog.begin()
    assert not dog.allows(clock.now_ns() - 100 * MS)
    assert decisions(clock, dog, 3) == [False, False, True]


def test_silence_stops_the_robot_at_the_limit_and_again_every_limit() -> None:
    clock, dog, stops = start(recovery=1)
    assert decide(clock, dog)
    sleep(clock, 350)
    assert stops == [100, 200, 300]
    assert [(s.time_ns // MS, s.reason) for s in dog.stops] == [(100, "frame")]


def test_the_age_of_a_frame_counts_not_its_arrival() -> None:
    clock, dog, stops = start(recovery=1)
    sleep(clock, 90)
    dog.begin()
    assert dog.allows(captured_ns=10 * MS)
    dog.settle(captured_ns=10 * MS)
    sleep(clock, 30)
    assert stops == [110]


def test_a_frame_from_the_future_gains_no_time() -> None:
    clock, dog, stops = start(recovery=1)
    dog.begin()
    assert dog.allows(captured_ns=10**15)
    dog.settle(captured_ns=10**15)
    sleep(clock, 150)
    assert stops == [100]


def test_a_decision_that_takes_too_long_stops_the_robot() -> None:
    clock, dog, stops = start(recovery=1)
    decide(clock, dog)
    sleep(clock, 10)
    dog.begin()
    sleep(clock, 50)
    assert stops == [40]
    assert dog.stops[0].reason == "decision"
    assert not dog.allows(clock.now_ns())


def test_an_allowed_command_that_does_not_get_out_gains_no_time() -> None:
    clock, dog, stops = start(recovery=1)
    decide(clock, dog)
    sleep(clock, 80)
    dog.begin()
    assert dog.allows(clock.now_ns())
    sleep(clock, 25)  # the command that still holds is 105 ms old
    assert stops == [100]
    dog.settle(80 * MS)
    assert stops == [100, 105]
    assert dog.is_stopped


def test_a_stop_that_fails_is_remembered_and_repeated() -> None:
    calls = []

    def stop() -> None:
        calls.append(clock.now_ns() // MS)
        raise OSError("unplugged")

    clock = SimulatedClock()
    dog = Watchdog(clock, LIMITS, stop)
    sleep(clock, 250)
    assert calls == [0, 100, 200]
    assert isinstance(dog.failure, OSError)


def allowed(dog: Watchdog, clock: MonotonicClock) -> bool:
    """Whether a few decisions on new frames let the robot move."""
    for _ in range(5):
        dog.begin()
        if dog.allows(clock.now_ns()):
            return True
        time.sleep(0.001)
    return False


def test_while_a_stop_hangs_no_command_is_allowed() -> None:
    """It hangs in the thread of the alarm, so nobody would stop the robot again."""
    clock, calls, go_on = MonotonicClock(), [], Event()

    def stop() -> None:
        calls.append(clock.now_ns())
        if len(calls) == 2:
            go_on.wait(10)

    dog = Watchdog(clock, WatchdogLimits(frame_ms=20, decision_ms=20, recovery=2), stop)
    try:
        while len(calls) < 2:
            time.sleep(0.001)
        assert not allowed(dog, clock)
        assert dog.is_stopped
        go_on.set()
        time.sleep(0.01)
        assert allowed(dog, clock)
    finally:
        go_on.set()
        dog.close()


def test_a_driver_that_ends_its_thread_does_not_end_the_alarm() -> None:
    clock, calls = MonotonicClock(), []

    def stop() -> None:
        calls.append(clock.now_ns())
        if len(calls) == 2:
            raise SystemExit

    dog = Watchdog(clock, WatchdogLimits(frame_ms=10, decision_ms=10, recovery=1), stop)
    until_ns = clock.now_ns() + 2_000 * MS
    while len(calls) < 4 and clock.now_ns() < until_ns:
        time.sleep(0.001)
    dog.close()
    assert len(calls) > 4
    assert isinstance(dog.failure, SystemExit)


def test_closing_stops_the_robot_for_the_last_time() -> None:
    clock, dog, stops = start(recovery=1)
    decide(clock, dog)
    sleep(clock, 20)
    dog.close()
    sleep(clock, 500)
    assert stops == [20]


def test_a_last_stop_that_is_interrupted_is_begun_anew() -> None:
    clock, calls = SimulatedClock(), []

    def stop() -> None:
        calls.append(clock.now_ns())
        if len(calls) == 2:
            raise KeyboardInterrupt

    dog = Watchdog(clock, LIMITS, stop)
    with pytest.raises(KeyboardInterrupt):
        dog.close()
    sleep(clock, 500)
    assert calls == [0, 0, 0]


def test_only_the_latest_stops_are_kept_and_all_are_counted() -> None:
    clock, dog, _ = start(recovery=1)
    for _ in range(1500):
        decide(clock, dog)
        sleep(clock, 150)
    assert (dog.stop_count, dict(dog.reasons)) == (1500, {"frame": 1500})
    assert len(dog.stops) == 1000


steps = st.lists(
    st.tuples(st.sampled_from(["look", "begin", "miss", "decide", "send"]), st.integers(0, 60)),
    max_size=60,
)


RULES: dict[str, Any] = {
    "look": looked,
    "begin": begun,
    "miss": missed,
    "decide": decided,
    "send": sent,
}


@given(steps=steps, ages=st.lists(st.integers(-50, 150), min_size=60, max_size=60))
def test_a_robot_that_may_move_is_never_past_its_time(
    steps: list[tuple[str, int]], ages: list[int]
) -> None:
    state, now_ns = WatchdogState(), 0
    for (what, wait_ms), age_ms in zip(steps, ages, strict=False):
        now_ns += wait_ms * MS
        before = looked(state, LIMITS, now_ns)
        captured_ns = now_ns - age_ms * MS
        rule, arguments = RULES[what], (captured_ns,) if what in {"decide", "send"} else ()
        state = rule(state, LIMITS, now_ns, *arguments)
        if what == "send" and before.stopped is None and age_ms >= LIMITS.frame_ms:
            continue  # what was not allowed is not sent
        if state.stopped is None:
            assert now_ns < due(state, LIMITS)[0]
            assert state.captured_ns <= now_ns
        if before.stopped is not None and state.stopped is None:
            assert what == "decide"
            assert before.in_time == LIMITS.recovery - 1
