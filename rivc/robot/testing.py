"""The conformance kit: prove that an adapter keeps the rules that a safe drive rests on.

::

    from rivc.robot import check_robot

    check_robot(MyRobot()).raise_if_failed()

The robot does not leave its rest: only the command of rest is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import MismatchError
from rivc.neurochip.testing import Breach
from rivc.robot.clock import SECOND_NS, MonotonicClock
from rivc.robot.commands import ActionTable, CommandLimits
from rivc.robot.protocol import Command, Frame, RobotEnv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rivc.robot.clock import Clock

    Rule = Callable[["_Check"], Iterator[str]]

OLDEST_S: Final = 60.0  # a stamp beyond is of another clock
PATIENCE_S: Final = 5.0  # for a stop from another thread


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
        tried.append(name)
        breaches += [Breach(name, problem) for problem in _problems(rule, check)]
        if name == "parts" and breaches:
            break
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


def _parts(check: _Check) -> Iterator[str]:
    robot: Any = check.robot
    limits, actions = getattr(robot, "limits", None), getattr(robot, "actions", None)
    if not isinstance(limits, CommandLimits):
        yield f"limits is {type(limits).__name__}, not CommandLimits"
    elif not isinstance(actions, ActionTable):
        yield f"actions is {type(actions).__name__}, not ActionTable"
    elif actions.size != len(limits.low):
        yield f"actions of {actions.size} numbers, limits of {len(limits.low)}"
    if not isinstance(robot, RobotEnv):
        yield "a method of RobotEnv is missing"


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
    raised: list[Exception] = []

    def stop() -> None:
        try:
            check.robot.stop()
        except Exception as error:  # somebody else's code
            raised.append(error)

    thread = Thread(target=stop, daemon=True)
    thread.start()
    check.robot.read(check.times_s[0])
    thread.join(PATIENCE_S)
    if thread.is_alive():
        yield f"stop from another thread did not return within {PATIENCE_S:g} s"
    for error in raised:
        yield f"stop from another thread raised {type(error).__name__}: {error}"


def _close(check: _Check) -> Iterator[str]:
    check.robot.close()
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
