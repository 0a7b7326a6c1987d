"""The mock robot: delays, faults and a world that goes by its own time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.robot import (
    ActionTable,
    Command,
    Fault,
    Faults,
    MockParts,
    MockRobot,
    NoiseWorld,
    SimulatedClock,
    check_robot,
)
from tests.robots import MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACTIONS = ActionTable.rows([[-9.0], [9.0]])
EXACT = {"frame_jitter_ms": 0.0, "command_jitter_ms": 0.0}


class Diary:
    """A world that writes down which command held between two frames."""

    def __init__(self) -> None:
        self.held: list[float] = []

    def observe(self) -> NDArray[Any]:
        return np.array([float(len(self.held))])

    def act(self, values: NDArray[np.float64]) -> None:
        self.held += values.tolist()


def make(world: Any = None, seed: int = 0, **faults: Any) -> tuple[SimulatedClock, MockRobot]:
    """A robot with a camera of 100 Hz: a frame every 10 ms."""
    clock = SimulatedClock()
    parts = MockParts(ACTIONS, ACTIONS.limits(), 100.0, Faults(**(EXACT | faults)), seed)
    return clock, MockRobot(world or Diary(), clock, parts)


def frames(robot: MockRobot, reads: int, timeout_s: float = 0.01) -> list[int | None]:
    found = (robot.read(timeout_s) for _ in range(reads))
    return [None if frame is None else frame.sequence for frame in found]


def test_it_keeps_the_rules_of_a_robot() -> None:
    for faults in (Faults(), Faults(late=0.2, lost=0.2, noise=0.1)):
        clock = SimulatedClock()
        parts = MockParts(ACTIONS, ACTIONS.limits(), 50.0, faults)
        assert str(check_robot(MockRobot(NoiseWorld((4,)), clock, parts), clock)).startswith(
            "MockRobot conforms"
        )


def test_a_frame_arrives_after_its_delay_with_the_time_of_its_capture() -> None:
    clock, robot = make(frame_ms=4.0)
    first, second = robot.read(0.01), robot.read(0.02)
    assert first is not None
    assert second is not None
    assert (first.time_ns, second.time_ns, clock.now_ns()) == (0, 10 * MS, 14 * MS)


def test_a_read_waits_no_longer_than_it_may() -> None:
    clock, robot = make(lost=1.0)
    assert robot.read(0.007) is None
    assert clock.now_ns() == 7 * MS


def test_only_the_newest_frame_is_returned() -> None:
    clock, robot = make(frame_ms=1.0)
    clock.sleep_until(55 * MS)
    assert frames(robot, 2, timeout_s=0.0) == [5, None]


def test_a_late_frame_that_was_overtaken_is_dropped() -> None:
    late = Fault(kind="late", start_s=0.02, seconds=0.005)
    _, robot = make(frame_ms=1.0, late_ms=25.0, schedule=(late,))
    assert frames(robot, 8, timeout_s=0.01) == [0, 1, None, 3, 4, 5, 6, 7]


def test_scheduled_frames_are_lost_and_a_hung_read_returns_at_the_end() -> None:
    lost = Fault(kind="lost", start_s=0.01, seconds=0.02)
    hang = Fault(kind="hang", start_s=0.05, seconds=0.5)
    clock, robot = make(frame_ms=1.0, schedule=(lost, hang))
    assert frames(robot, 4) == [0, None, None, 3]
    clock.sleep_until(60 * MS)
    assert frames(robot, 1) == [54]  # the newest of those that came while it hung
    assert clock.now_ns() == 550 * MS


def test_a_jammed_send_returns_at_the_end() -> None:
    clock, robot = make(schedule=(Fault(kind="jam", start_s=0.01, seconds=0.3),))
    clock.sleep_until(20 * MS)
    robot.send(Command(np.array([9.0]), clock.now_ns(), 0))
    assert clock.now_ns() == 310 * MS


def test_the_world_moves_by_the_command_that_holds_when_a_frame_is_taken() -> None:
    world = Diary()
    clock, robot = make(world, command_ms=15.0)
    robot.send(Command(np.array([9.0]), 0, 0))
    clock.sleep_until(32 * MS)
    robot.send(Command(np.array([-9.0]), 0, 0))
    clock.sleep_until(60 * MS)
    robot.read(0.0)
    assert world.held == [0.0, 9.0, 9.0, 9.0, -9.0, -9.0]


def test_a_stop_acts_at_once_and_overtakes_what_is_under_way() -> None:
    world = Diary()
    clock, robot = make(world, command_ms=15.0)
    robot.send(Command(np.array([9.0]), 0, 0))
    clock.sleep_until(22 * MS)
    robot.send(Command(np.array([-9.0]), 0, 0))
    robot.stop()
    clock.sleep_until(60 * MS)
    robot.read(0.0)
    assert world.held == [0.0, 9.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("seed", [0, 1])
def test_equal_seeds_give_equal_faults(seed: int) -> None:
    shares = {"late": 0.2, "lost": 0.3, "noise": 0.5, "frame_jitter_ms": 8.0}
    runs = []
    for s in (seed, seed, seed + 7):
        _, robot = make(seed=s, **shares)
        found = [robot.read(0.01) for _ in range(50)]
        runs.append([None if f is None else (f.sequence, f.observation.item()) for f in found])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_noise_stays_a_picture() -> None:
    _, robot = make(NoiseWorld((5, 4, 3)), noise=80.0)
    frame = robot.read(0.02)
    assert frame is not None
    assert (frame.observation.dtype, frame.observation.shape) == (np.uint8, (5, 4, 3))
    assert not np.array_equal(frame.observation, NoiseWorld((5, 4, 3)).observe())
