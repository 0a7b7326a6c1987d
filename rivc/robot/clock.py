"""Time as it is handed in: the machine's own, or a simulated one that passes when it is slept.

Times are whole nanoseconds of a clock that never goes back. A clock also rings alarms, and this is
all that differs between a real and a simulated watchdog: the machine's clock rings from a thread of
its own, the simulated one from inside of whatever sleeps past the alarm.
"""

from __future__ import annotations

import time
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    Ring = Callable[[int], None]

SECOND_NS: Final = 1_000_000_000
MILLISECOND_NS: Final = 1_000_000


class Alarm(Protocol):
    """Something that rings once at the time that was set last."""

    def set(self, time_ns: int) -> None:
        """Ring at this time and not at the one that was set before."""
        ...

    def close(self) -> None:
        """Never ring again; harmless when called twice."""
        ...


class Clock(Protocol):
    """A source of time."""

    def now_ns(self) -> int:
        """Return the time."""
        ...

    def sleep_until(self, time_ns: int) -> None:
        """Return no earlier than a time; at once if it has passed."""
        ...

    def alarm(self, ring: Ring) -> Alarm:
        """Return an alarm that calls `ring` with the time, also while others sleep."""
        ...


class MonotonicClock:
    """The machine's clock, `time.monotonic_ns`; each alarm is a daemon thread.

    Example:
        >>> clock = MonotonicClock()
        >>> start_ns = clock.now_ns()
        >>> clock.sleep_until(start_ns + MILLISECOND_NS)
        >>> clock.now_ns() >= start_ns + MILLISECOND_NS
        True
    """

    def now_ns(self) -> int:
        """Return the time."""
        return time.monotonic_ns()

    def sleep_until(self, time_ns: int) -> None:
        """Sleep; a signal handler may run meanwhile."""
        while (left_ns := time_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / SECOND_NS)

    def alarm(self, ring: Ring) -> Alarm:
        """Start the thread of an alarm."""
        return _ThreadAlarm(ring)


class _ThreadAlarm:
    """Wakes at most once for each time that passes, however often a later one is set."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._due_ns: int | None = None
        self._is_closed = False
        self._changed = Condition()
        Thread(target=self._run, name="rivc alarm", daemon=True).start()

    def set(self, time_ns: int) -> None:
        with self._changed:
            is_sooner = self._due_ns is None or time_ns < self._due_ns
            self._due_ns = time_ns
            if is_sooner:
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _run(self) -> None:
        while self._wait():
            self._ring(time.monotonic_ns())

    def _wait(self) -> bool:
        """Wait for the time that is set; False if the alarm was closed instead."""
        with self._changed:
            while not self._is_closed:
                left_ns = None if self._due_ns is None else self._due_ns - time.monotonic_ns()
                if left_ns is not None and left_ns <= 0:
                    self._due_ns = None
                    return True
                self._changed.wait(None if left_ns is None else left_ns / SECOND_NS)
            return False


class SimulatedClock:
    """A clock that stands still until somebody sleeps; alarms ring on the way, at their time.

    Example:
        >>> clock = SimulatedClock()
        >>> clock.alarm(lambda time_ns: print("ring at", time_ns)).set(5)
        >>> clock.sleep_until(8)
        ring at 5
        >>> clock.now_ns()
        8
    """

    def __init__(self) -> None:
        self._now_ns = 0
        self._alarms: list[_SimulatedAlarm] = []

    def now_ns(self) -> int:
        """Return the time."""
        return self._now_ns

    def sleep_until(self, time_ns: int) -> None:
        """Let the time pass."""
        while (alarm := self._first()) is not None and alarm.due_ns <= time_ns:
            self._now_ns = max(self._now_ns, alarm.due_ns)
            alarm.due_ns = _NEVER
            alarm.ring(self._now_ns)
        self._now_ns = max(self._now_ns, time_ns)

    def alarm(self, ring: Ring) -> Alarm:
        """Return an alarm of this clock."""
        self._alarms.append(_SimulatedAlarm(ring))
        return self._alarms[-1]

    def _first(self) -> _SimulatedAlarm | None:
        return min(self._alarms, key=lambda alarm: alarm.due_ns, default=None)


_NEVER: Final = 1 << 63


class _SimulatedAlarm:
    def __init__(self, ring: Ring) -> None:
        self.ring, self.due_ns = ring, _NEVER
        self._is_closed = False

    def set(self, time_ns: int) -> None:
        self.due_ns = _NEVER if self._is_closed else time_ns

    def close(self) -> None:
        self.due_ns, self._is_closed = _NEVER, True
