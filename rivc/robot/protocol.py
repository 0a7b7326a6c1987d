"""What a robot has to offer: frames in, commands out, and a stop that always works."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rivc.robot.commands import ActionTable, CommandLimits


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One observation of a robot.

    Attributes:
        observation: picture, uint8, [H, W, C], or vector, float, [features]; never written to
            again.
        time_ns: when it was captured, on the clock that the robot is driven by.
        sequence: number of the frame; a later frame has a larger one.
    """

    observation: NDArray[Any]
    time_ns: int
    sequence: int

    def known_at(self, now_ns: int) -> Frame:
        """Return this frame as it counts now: one from the future was captured now."""
        return self if self.time_ns <= now_ns else replace(self, time_ns=now_ns)


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """One command to a robot.

    Attributes:
        values: float64, [m], in the robot's own units and within its limits.
        time_ns: when it was decided.
        sequence: of the frame that it was decided from.
    """

    values: NDArray[np.float64]
    time_ns: int
    sequence: int


@runtime_checkable
class RobotEnv(Protocol):
    """A robot that a program drives.

    A command holds until the next one or until `stop`. `stop` may be called at any moment from
    another thread, also while `read` or `send` has not returned, and again and again: the watchdog
    repeats it for as long as the robot has to stand still.

    Attributes:
        limits: what commands it takes.
        actions: what each action of a policy stands for.
    """

    limits: CommandLimits
    actions: ActionTable

    def read(self, timeout_s: float) -> Frame | None:
        """Return the newest frame that was not returned before.

        Waits up to `timeout_s` for one, and returns None if none came. Older frames that were never
        asked for are dropped.
        """
        ...

    def send(self, command: Command) -> None:
        """Make a command hold; returns without waiting for its effect."""
        ...

    def stop(self) -> None:
        """Bring the robot to rest, whatever was sent before; a later command moves it again."""
        ...

    def close(self) -> None:
        """Stop and let go of the robot; harmless when called twice."""
        ...


class World(Protocol):
    """What a mock robot stands in."""

    def observe(self) -> NDArray[Any]:
        """Return what the camera sees now; an array that is not written to again."""
        ...

    def act(self, values: NDArray[np.float64]) -> None:
        """Let the time between two frames pass while a command holds, float64, [m]."""
        ...
