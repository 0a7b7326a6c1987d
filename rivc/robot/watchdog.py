r"""The watchdog: the robot stands still unless a recent picture says otherwise.

The rules are pure functions over `WatchdogState`; `Watchdog` runs them under a lock, beside the
control loop. A command may hold until

.. math:: min(t_{captured} + frame\_ms, \; t_{begun} + decision\_ms)

where `captured` belongs to the frame that the command was decided from, and `begun` is when a newer
frame was handed to the policy whose command is not out yet. The robot is then stopped, whatever
the loop is doing: a lost frame, a camera that blocks, a chip that hangs and a loop that died all
lead to the same alarm. So one number bounds what a blind robot can do: no command is ever older
than `frame_ms`, counted from the light that caused it.

A robot that was stopped stays stopped until `recovery` decisions in a row were in time, each on a
new frame that was fresh; the last of them is the first to move it. A decision on a frame that
counted before neither counts again nor ends the row. The beginning is no exception: it starts with
a stop. While it stands still, the stop is repeated every `frame_ms`, because a message may be lost
and a command may have been under way.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock, current_thread, main_thread
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from rivc.errors import ConfigError
from rivc.robot.clock import MILLISECOND_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivc.robot.clock import Clock

    Transition = Callable[["WatchdogState", "WatchdogLimits", int], "WatchdogState"]

Reason = Literal["start", "frame", "decision"]
LEAST_MS: Final = 0.05  # half a slot at the highest rate; stops are repeated this often
REMEMBERED: Final = 1000  # stops that are kept by time and reason
_LONG_AGO_NS: Final = -(1 << 63)


@dataclass(frozen=True, slots=True)
class WatchdogLimits:
    """How late is too late.

    Attributes:
        frame_ms: a command holds no longer than this after the capture of its frame.
        decision_ms: from a frame that was handed to the policy until its command is out.
        recovery: decisions in a row, all in time, that end a stop.

    Raises:
        ConfigError: if a time is below 0.05 ms, or `recovery` below 1.
    """

    frame_ms: float
    decision_ms: float
    recovery: int = 5

    def __post_init__(self) -> None:
        least = {"frame_ms": LEAST_MS, "decision_ms": LEAST_MS, "recovery": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= bound):
                raise ConfigError(f"watchdog: {name}={value} is not {bound:g} or more")

    @property
    def frame_ns(self) -> int:
        """`frame_ms` in nanoseconds."""
        return round(self.frame_ms * MILLISECOND_NS)

    @property
    def decision_ns(self) -> int:
        """`decision_ms` in nanoseconds."""
        return round(self.decision_ms * MILLISECOND_NS)


@dataclass(frozen=True, slots=True)
class WatchdogState:
    """What the watchdog knows.

    Attributes:
        stopped: why the robot stands still; None while it may move.
        in_time: decisions in a row that were in time, while it stands still.
        captured_ns: of the frame behind the command that holds, while it may move; of the last one
            that counted, or commanded before, while it stands still.
        begun_ns: when the decision began whose command is not out yet; None if there is none.
    """

    stopped: Reason | None = "start"
    in_time: int = 0
    captured_ns: int = _LONG_AGO_NS
    begun_ns: int | None = None


class Stop(NamedTuple):
    """One stop: when, and what was late."""

    time_ns: int
    reason: Reason


def due(state: WatchdogState, limits: WatchdogLimits) -> tuple[int, Reason]:
    """Return when a robot that may move has to be stopped if nothing happens, and why then."""
    frame_ns = state.captured_ns + limits.frame_ns
    if state.begun_ns is not None and state.begun_ns + limits.decision_ns < frame_ns:
        return state.begun_ns + limits.decision_ns, "decision"
    return frame_ns, "frame"


def looked(state: WatchdogState, limits: WatchdogLimits, now_ns: int) -> WatchdogState:
    """Return the state after a look at the clock."""
    if state.stopped is not None:
        return state
    due_ns, reason = due(state, limits)
    return state if now_ns < due_ns else replace(state, stopped=reason, in_time=0)


def begun(state: WatchdogState, limits: WatchdogLimits, now_ns: int) -> WatchdogState:
    """Return the state after a new frame was handed to the policy."""
    return replace(looked(state, limits, now_ns), begun_ns=now_ns)


def missed(state: WatchdogState, limits: WatchdogLimits, now_ns: int) -> WatchdogState:
    """Return the state after a slot without a new frame."""
    return replace(looked(state, limits, now_ns), in_time=0)


def decided(
    state: WatchdogState, limits: WatchdogLimits, now_ns: int, captured_ns: int
) -> WatchdogState:
    """Return the state after a decision on a frame; its command may be sent if `stopped` is None.

    The command that holds is still the one before, so it is still that one's time that runs. A
    frame from the future counts as captured now: a wrong clock gains no time.
    """
    state = looked(state, limits, now_ns)
    begun_ns = now_ns if state.begun_ns is None else state.begun_ns
    anew = WatchdogState(None, 0, min(captured_ns, now_ns), begun_ns)
    late = looked(anew, limits, now_ns).stopped
    if late is not None:
        return replace(state, stopped=state.stopped or late, in_time=0, begun_ns=None)
    if state.stopped is None:
        return state
    if anew.captured_ns <= state.captured_ns:  # the picture of the decision before, once more
        return replace(state, begun_ns=None)
    if state.in_time + 1 >= limits.recovery:
        return anew
    return WatchdogState(state.stopped, state.in_time + 1, anew.captured_ns)


def sent(
    state: WatchdogState, limits: WatchdogLimits, now_ns: int, captured_ns: int
) -> WatchdogState:
    """Return the state after the command of a frame is out, which holds from now on."""
    state = looked(state, limits, now_ns)
    if state.stopped is not None:
        return replace(state, begun_ns=None)
    return WatchdogState(None, captured_ns=min(captured_ns, now_ns))


class Watchdog:
    """Stops a robot now, and again as soon as something is late; see the module.

    Args:
        clock: whose alarm it is; the machine's clock rings it from a thread of its own.
        limits: how late is too late.
        stop: brings the robot to rest; called from the alarm and from the control loop.

    Attributes:
        stops: the latest 1,000 stops, without the one that everything starts with.
        reasons: how many of all of them for each reason.
        failure: the last thing that `stop` raised; a stop that failed is repeated like any other.
            While one has not come back, no command may be sent.

    Example:
        >>> from rivc.robot.clock import SimulatedClock
        >>> clock = SimulatedClock()
        >>> limits = WatchdogLimits(frame_ms=100, decision_ms=20, recovery=1)
        >>> dog = Watchdog(clock, limits, lambda: print("stop at", clock.now_ns() // 1_000_000))
        stop at 0
        >>> dog.begin()
        >>> dog.allows(captured_ns=clock.now_ns())
        True
        >>> dog.settle(captured_ns=clock.now_ns())  # the command is out
        >>> clock.sleep_until(150 * 1_000_000)  # no frame comes
        stop at 100
        >>> dog.stops[0].reason
        'frame'
    """

    def __init__(self, clock: Clock, limits: WatchdogLimits, stop: Callable[[], None]) -> None:
        self._clock, self._limits, self._stop = clock, limits, stop
        self._state, self._lock = WatchdogState(), Lock()
        self.stops: deque[Stop] = deque(maxlen=REMEMBERED)
        self.reasons = Counter[Reason]()
        self.failure: BaseException | None = None
        self._halting = 0  # stops that have not come back
        self._halt()  # before there is an alarm to leave behind, should Ctrl-C come in between
        self._alarm = clock.alarm(self._ring)
        self._alarm.set(clock.now_ns() + limits.frame_ns)

    @property
    def stop_count(self) -> int:
        """Stops so far, without the one that everything starts with."""
        return self.reasons.total()

    @property
    def is_stopped(self) -> bool:
        """True while the robot has to stand still."""
        return self._state.stopped is not None

    def begin(self) -> None:
        """Note that a new frame goes to the policy."""
        self._move(begun)

    def miss(self) -> None:
        """Note that a slot passed without a new frame."""
        self._move(missed)

    def allows(self, captured_ns: int) -> bool:
        """Note a decision on a frame, and return whether its command may be sent."""
        return self._move(partial(decided, captured_ns=captured_ns))

    def settle(self, captured_ns: int) -> None:
        """Note that the command of a frame is out; if a stop overtook it, another follows."""
        was_stopped = self.is_stopped
        if not self._move(partial(sent, captured_ns=captured_ns)) and was_stopped:
            self._halt()

    def close(self) -> None:
        """Stop the robot, and look no more; a stop that Ctrl-C interrupts is begun anew.

        Raises:
            Exception: what `stop` raises.
        """
        try:
            try:
                self._stop()
            except Exception:
                raise
            except BaseException:
                self._stop()
                raise
        finally:
            self._alarm.close()

    def _ring(self, _: int) -> None:
        self._move(looked, has_rung=True)

    def _move(self, transition: Transition, *, has_rung: bool = False) -> bool:
        """Change the state, and stop the robot if it comes to that; False if it stands still."""
        with self._lock:
            now_ns = self._clock.now_ns()
            before, after = self._state.stopped, transition(self._state, self._limits, now_ns)
            if before is None or after.stopped is not None or not self._halting:
                self._state = after  # else the alarm hangs in a stop: nobody would watch what moves
            reason = self._state.stopped
            if before is None and reason is not None:
                self.stops.append(Stop(now_ns, reason))
                self.reasons[reason] += 1
            has_to_stop = reason is not None and (before is None or has_rung)
            if reason is None:
                self._alarm.set(due(self._state, self._limits)[0])
            elif has_to_stop:
                self._alarm.set(now_ns + self._limits.frame_ns)
            self._halting += has_to_stop
        if has_to_stop:
            try:
                self._halt()
            finally:
                with self._lock:
                    self._halting -= 1
        return reason is None

    def _halt(self) -> None:
        try:
            self._stop()
        except Exception as error:  # whatever a robot raises: the alarm has to ring again
            self.failure = error
        except BaseException as error:
            if current_thread() is main_thread():  # Ctrl-C is for the loop
                raise
            self.failure = error
