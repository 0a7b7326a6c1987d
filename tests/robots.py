"""Robots, policies and a record of what happened, for the tests of `rivc.robot`."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from threading import current_thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.robot import (
    ActionTable,
    Command,
    CommandLimits,
    Frame,
    MockParts,
    MockRobot,
    NoiseWorld,
)
from rivc.robot.clock import MILLISECOND_NS, SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from rivc.robot import Clock, Faults, RobotEnv, WatchdogLimits

ACTIONS: Final = ActionTable.rows([[0.0, 0.0], [1.0, -1.0], [-1.0, 1.0]])
LIMITS: Final = CommandLimits(low=(-1.0, -0.5), high=(1.0, 0.5), rate=(20.0, 5.0))
MS: Final = MILLISECOND_NS


class Event(NamedTuple):
    """A command that took effect, or a stop; `captured_ns` is of the frame behind a command."""

    time_ns: int
    values: NDArray[np.float64] | None
    captured_ns: int = 0
    thread: str = ""


@dataclass
class Recorder:
    """A robot that writes down what another one is told."""

    robot: RobotEnv
    clock: Clock
    events: list[Event] = field(default_factory=list)
    captured_ns: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.limits, self.actions = self.robot.limits, self.robot.actions

    def read(self, timeout_s: float) -> Frame | None:
        frame = self.robot.read(timeout_s)
        if frame is not None:
            self.captured_ns[frame.sequence] = frame.time_ns
        return frame

    def send(self, command: Command) -> None:
        self.robot.send(command)
        captured_ns = self.captured_ns[command.sequence]
        self.events.append(Event(self.clock.now_ns(), command.values, captured_ns))

    def stop(self) -> None:
        self.robot.stop()
        self.events.append(Event(self.clock.now_ns(), None, 0, current_thread().name))

    def close(self) -> None:
        self.robot.close()

    @property
    def sent(self) -> list[Event]:
        return [event for event in self.events if event.values is not None]


class Steer:
    """A policy that wants anything, mostly out of bounds; each inference may take its time."""

    def __init__(self, clock: Clock, take: Callable[[int], int] = lambda _: 0) -> None:
        self.clock, self.take, self.count = clock, take, 0
        self.rng = np.random.default_rng(0)

    def encode(self, observation: NDArray[Any]) -> NDArray[np.uint8]:
        return np.zeros(1, np.uint8)

    def infer(self, counts: NDArray[np.uint8]) -> NDArray[np.float64]:
        self.count += 1
        take_ns = self.take(self.count)
        if take_ns:
            self.clock.sleep_until(self.clock.now_ns() + take_ns)
        return self.rng.uniform(-3, 3, 2)


def mock(clock: Clock, faults: Faults, *, camera_hz: float = 50.0, seed: int = 0) -> Recorder:
    """Return a mock robot in a world of noise, recorded."""
    parts = MockParts(ACTIONS, LIMITS, camera_hz, faults, seed)
    return Recorder(MockRobot(NoiseWorld((4,)), clock, parts), clock)


def check_stops(events: Sequence[Event], limits: WatchdogLimits) -> None:
    """No command holds for any time that its frame is older than the limit; the end is a stop."""
    for event, following in pairwise(events):
        if event.values is not None and following.time_ns > event.time_ns:
            assert following.time_ns <= event.captured_ns + limits.frame_ns
    assert events[-1].values is None


def check_bounds(events: Sequence[Event], limits: CommandLimits, period_s: float) -> None:
    """Every command is within bounds, and no more than a slot's change away from what held.

    One that a stop overtook on its way never holds: another stop follows in the same instant.
    """
    low, high, rate = (np.array(bound) for bound in (limits.low, limits.high, limits.rate))
    held, sent_ns = np.array(limits.rest), 0
    for event, following in pairwise(events):
        if event.values is None:
            held = np.array(limits.rest)
            continue
        assert (low <= event.values).all()
        assert (event.values <= high).all()
        if following.values is not None or following.time_ns > event.time_ns:
            dt_s = min(period_s, (event.time_ns - sent_ns) / SECOND_NS)
            assert (np.abs(event.values - held) <= rate * dt_s + 1e-12).all()
        held, sent_ns = event.values, event.time_ns
