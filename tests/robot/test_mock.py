"""The mock robot: delays, faults and a world that goes by its own time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.errors import RobotError
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
    robot.read(0.0)
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
    robot.read(0.0)
    robot.send(Command(np.array([9.0]), 0, 0))
    clock.sleep_until(32 * MS)
    robot.send(Command(np.array([-9.0]), 0, 0))
    clock.sleep_until(60 * MS)
    robot.read(0.0)
    assert world.held == [0.0, 9.0, 9.0, 9.0, -9.0, -9.0]


def test_a_stop_acts_at_once_and_overtakes_what_is_under_way() -> None:
    world = Diary()
    clock, robot = make(world, command_ms=15.0)
    robot.read(0.0)
    robot.send(Command(np.array([9.0]), 0, 0))
    clock.sleep_until(22 * MS)
    robot.send(Command(np.array([-9.0]), 0, 0))
    robot.stop()
    clock.sleep_until(60 * MS)
    robot.read(0.0)
    assert world.held == [0.0, 9.0, 0.0, 0.0, 0.0, 0.0]


class Slow(Diary):
    """A world that takes its time for a step."""

    def __init__(self, step_ms: float) -> None:
        super().__init__()
        self.clock, self.step_ms = SimulatedClock(), step_ms

    def act(self, values: NDArray[np.float64]) -> None:
        super().act(values)
        self.clock.sleep_until(self.clock.now_ns() + round(self.step_ms * MS))


def slow(step_ms: float, camera_hz: float) -> tuple[Slow, MockRobot]:
    world = Slow(step_ms)
    parts = MockParts(ACTIONS, ACTIONS.limits(), camera_hz, Faults(**EXACT))
    return world, MockRobot(world, world.clock, parts)


def test_a_world_that_is_slower_than_its_camera_is_told_of() -> None:
    world, robot = slow(step_ms=2.0, camera_hz=1000.0)
    told = r"takes 2\.0 ms a step, the camera a frame every 1\.0 ms: lower the rate"
    with pytest.raises(RobotError, match=told):
        frames(robot, 20, timeout_s=0.01)
    assert world.clock.now_ns() < 10_000 * MS


def test_a_world_that_was_slow_once_is_not() -> None:
    world, robot = slow(step_ms=3_000.0, camera_hz=100.0)  # a loop that is compiled
    world.clock.sleep_until(10 * MS)
    robot.read(0.0)
    world.step_ms = 1.0
    assert len(frames(robot, 50)) == 50


def test_a_world_that_was_held_up_for_long_catches_up() -> None:
    world, robot = slow(step_ms=5.0, camera_hz=100.0)
    world.clock.sleep_until(20_000 * MS)
    robot.read(0.0)  # 2,000 steps, 10 s
    for _ in range(12):
        robot.read(0.02)
    newest = robot.read(0.02)
    assert newest is not None
    assert world.clock.now_ns() - newest.time_ns < 50 * MS


def test_a_fault_does_not_change_what_is_drawn_after_it() -> None:
    def seen(**more: Any) -> set[int | None]:
        _, robot = make(seed=3, lost=0.3, frame_jitter_ms=8.0, **more)
        return set(range(30, 60)) & set(frames(robot, 100))

    lost = Fault(kind="lost", start_s=0.1, seconds=0.1)
    assert 10 < len(seen()) < 30
    assert seen() == seen(noise=0.5) == seen(schedule=(lost,))


@pytest.mark.parametrize("seed", range(4))
def test_the_delay_of_a_command_does_not_depend_on_those_before(seed: int) -> None:
    def held(sequences: list[int]) -> list[float]:
        world = Diary()
        clock, robot = make(world, seed=seed, command_jitter_ms=90.0)
        for sequence in sequences:
            clock.sleep_until(100 * sequence * MS)
            robot.send(Command(np.array([float(sequence)]), clock.now_ns(), sequence))
        clock.sleep_until(1000 * MS)
        robot.read(0.0)
        return world.held

    assert held([1, 2, 3, 5, 8])[60:] == held([5, 8])[60:]


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


def test_the_world_begins_when_it_is_looked_at() -> None:
    """A policy may take seconds to load, in which nothing could be steered."""
    world = Diary()
    clock, robot = make(world)
    clock.sleep_until(3_000 * MS)
    frame = robot.read(timeout_s=0.1)
    assert frame is not None
    assert (frame.sequence, frame.time_ns) == (0, 3_000 * MS)
    assert not world.held
