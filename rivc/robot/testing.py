"""The conformance kit: prove that an adapter keeps the rules that a safe drive rests on.

::

    from rivc.robot import check_robot

    check_robot(MyRobot()).raise_if_failed()

The robot does not leave its rest: only the command of rest is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Thread
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import MismatchError
from rivc.neurochip.testing import Breach
from rivc.robot.clock import SECOND_NS, MonotonicClock
from rivc.robot.commands import ActionTable, CommandLimits
from rivc.robot.protocol import Command, Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rivc.robot.clock import Clock
    from rivc.robot.protocol import RobotEnv

    Rule = Callable[["_Check"], Iterator[str]]

OLDEST_S: Final = 60.0  # a stamp beyond is of another clock
PATIENCE_S: Final = 5.0  # for a stop from another thread
MOMENT_S: Final = 0.005  # that a read has waited when that stop comes, and at least goes on to wait
TRIES: Final = 3  # of such stops; machines stutter, locks do not
METHODS: Final = ("read", "send", "stop", "close")


@dataclass(frozen=True)
class RobotConformance:
    """What came of `check_robot`.

    Attributes:
        robot: its class.
        frames: that were read.
        rules: that were tried.
        breaches: what was found.
    """

    robot: str
    frames: int
    rules: tuple[str, ...]
    breaches: tuple[Breach, ...]

    @property
    def ok(self) -> bool:
        """True if no rule was broken."""
        return not self.breaches

    def raise_if_failed(self) -> None:
        """Raise MismatchError, with the first finding, unless the robot conforms."""
        if self.breaches:
            count = len(self.breaches)
            raise MismatchError(f"{self.robot} breaks {count} rules; first: {self.breaches[0]}")

    def __str__(self) -> str:
        verdict = "conforms" if self.ok else "does not conform"
        head = f"{self.robot} {verdict} ({len(self.rules)} rules, {self.frames} frames)"
        return "\n".join([head, *(f"  {breach}" for breach in self.breaches)])


def check_robot(
    robot: RobotEnv,
    clock: Clock | None = None,
    *,
    frames: int = 10,
    timeout_s: float = 1.0,
    slack_s: float = 1.0,
) -> RobotConformance:
    """Try every rule of the `RobotEnv` protocol; the robot is closed in the end.

    Args:
        robot: stands where it is safe, and sees something.
        clock: that stamps its frames; default: the machine's.
        frames: to read, within as many time-outs.
        timeout_s: of a read.
        slack_s: by which a read may exceed its time-out.

    Returns:
        What was tried and found; nothing that the robot does is raised.

    Example:
        >>> from rivc.robot import ActionTable, Faults, MockParts, MockRobot, NoiseWorld
        >>> from rivc.robot import SimulatedClock
        >>> actions, clock = ActionTable.rows([[-1.0], [1.0]]), SimulatedClock()
        >>> parts = MockParts(actions, actions.limits(), camera_hz=50.0, faults=Faults())
        >>> print(check_robot(MockRobot(NoiseWorld((4,)), clock, parts), clock))
        MockRobot conforms (7 rules, 10 frames)
    """
    check = _Check(robot, clock or MonotonicClock(), frames, (timeout_s, slack_s))
    breaches: list[Breach] = []
    tried = []
    for name, rule in RULES.items():
        if any(breach.rule == "parts" for breach in breaches) and name != "close twice":
            continue  # nothing more can be asked of it, but it is not left open
        tried.append(name)
        breaches += [Breach(name, problem) for problem in _problems(rule, check)]
    return RobotConformance(type(robot).__name__, len(check.seen), tuple(tried), tuple(breaches))


class _Check:
    """A robot, and what was seen of it."""

    def __init__(
        self, robot: RobotEnv, clock: Clock, frames: int, times_s: tuple[float, float]
    ) -> None:
        self.robot, self.clock, self.frames, self.times_s = robot, clock, frames, times_s
        self.seen: list[Frame] = []

    def rest(self) -> Command:
        """The command that moves nothing."""
        return Command(np.array(self.robot.limits.rest), self.clock.now_ns(), 0)


def _problems(rule: Rule, check: _Check) -> Iterator[str]:
    try:
        yield from rule(check)
    except Exception as error:  # somebody else's code
        yield f"raised {type(error).__name__}: {error}"


def wrong_parts(robot: Any) -> Iterator[str]:
    """Tell which parts of `RobotEnv` are missing or something else; nothing is called."""
    missing = [name for name in METHODS if not callable(getattr(robot, name, None))]
    if missing:
        yield f"there is no method {', '.join(missing)}"
    limits, actions = getattr(robot, "limits", None), getattr(robot, "actions", None)
    if not isinstance(limits, CommandLimits):
        yield f"limits is {type(limits).__name__}, not CommandLimits"
    elif not isinstance(actions, ActionTable):
        yield f"actions is {type(actions).__name__}, not ActionTable"
    elif actions.size != len(limits.low):
        yield f"actions of {actions.size} numbers, limits of {len(limits.low)}"


def _parts(check: _Check) -> Iterator[str]:
    yield from wrong_parts(check.robot)


def _stop_first(check: _Check) -> Iterator[str]:
    check.robot.stop()
    check.robot.stop()
    yield from ()


def _frames(check: _Check) -> Iterator[str]:
    timeout_s, slack_s = check.times_s
    before: tuple[Frame, Any] | None = None
    for _ in range(2 * check.frames):
        asked_ns = check.clock.now_ns()
        frame = check.robot.read(timeout_s)
        took_s = (check.clock.now_ns() - asked_ns) / SECOND_NS
        if took_s > timeout_s + slack_s:
            yield f"read({timeout_s:g}) took {took_s:.3g} s"
            return
        if frame is not None:
            check.seen.append(frame)
            yield from _frame(check.clock.now_ns(), frame, before)
            before = frame, np.array(frame.observation)
        if len(check.seen) == check.frames:
            return
    yield f"{len(check.seen)} frames came in {2 * check.frames} reads of {timeout_s:g} s"


def _frame(now_ns: int, frame: Frame, before: tuple[Frame, Any] | None) -> Iterator[str]:
    """What is wrong with a frame after another."""
    age_s = (now_ns - frame.time_ns) / SECOND_NS
    if not 0 <= age_s <= OLDEST_S:
        yield f"frame {frame.sequence} is {age_s:.3g} s old: its stamp is of another clock"
    if before is None:
        return
    last, copy = before
    if frame.sequence <= last.sequence:
        yield f"frame {frame.sequence} came after frame {last.sequence}"
    if frame.time_ns < last.time_ns:
        yield f"frame {frame.sequence} is older than frame {last.sequence}"
    shapes = [(f.observation.dtype.name, f.observation.shape) for f in (last, frame)]
    if shapes[0] != shapes[1]:
        yield f"frame {frame.sequence} is {shapes[1]}, the one before {shapes[0]}"
    if not np.array_equal(last.observation, copy):
        yield f"frame {last.sequence} was written to after it was returned; copy the buffer"


def _no_wait(check: _Check) -> Iterator[str]:
    slack_s, asked_ns = check.times_s[1], check.clock.now_ns()
    check.robot.read(0.0)
    took_s = (check.clock.now_ns() - asked_ns) / SECOND_NS
    if took_s > slack_s:
        yield f"read(0) took {took_s:.3g} s"


def _commands(check: _Check) -> Iterator[str]:
    check.robot.send(check.rest())
    check.robot.stop()
    check.robot.send(check.rest())
    yield from ()


def _stop_elsewhere(check: _Check) -> Iterator[str]:
    """Stop while a read waits: it must not wait with it."""
    alone = _Stopper(check.robot)
    alone.join(PATIENCE_S)
    waited: list[bool] = []
    for _ in range(TRIES):
        stopper = _Stopper(check.robot, after_s=MOMENT_S)
        check.robot.read(check.times_s[0])
        read_s = perf_counter()
        stopper.join(PATIENCE_S)
        if problem := alone.problem or stopper.problem:
            yield problem
            return
        waited += stopper.waited(read_s, alone.took_s)
    if waited and all(waited):
        yield "stop from another thread returned only when a read that waited did"


class _Stopper(Thread):
    """A thread that stops a robot after a moment, and takes the time of it."""

    def __init__(self, robot: RobotEnv, after_s: float = 0.0) -> None:
        super().__init__(daemon=True)
        self._robot, self._after_s = robot, after_s
        self._begun_s = self._done_s = 0.0
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        sleep(self._after_s)
        self._begun_s = perf_counter()
        try:
            self._robot.stop()
        except Exception as error:  # somebody else's code
            self._error = error
        self._done_s = perf_counter()

    @property
    def took_s(self) -> float:
        return self._done_s - self._begun_s

    @property
    def problem(self) -> str:
        if self.is_alive():
            return f"stop from another thread did not return within {PATIENCE_S:g} s"
        error = self._error
        told = f"stop from another thread raised {type(error).__name__}: {error}"
        return "" if error is None else told

    def waited(self, read_s: float, alone_s: float) -> list[bool]:
        """Whether it came back only with a read that returned then; nothing if that cannot be told.

        That needs a read which went on for longer than the robot needs for a stop by itself.
        """
        left_s = read_s - self._begun_s
        return [self.took_s > 0.75 * left_s] if left_s > 2 * alone_s + MOMENT_S else []


def _close(check: _Check) -> Iterator[str]:
    close = getattr(check.robot, "close", None)
    for _ in range(2 if callable(close) else 0):
        check.robot.close()
    yield from ()


RULES: Final[dict[str, Rule]] = {
    "parts": _parts,
    "stop before anything": _stop_first,
    "frames": _frames,
    "read without waiting": _no_wait,
    "rest, stop, rest": _commands,
    "stop from another thread": _stop_elsewhere,
    "close twice": _close,
}
