"""The whole loop: a robot that is never blind for long, whatever goes wrong."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rivc.errors import BackendError, ConfigError, QuantError, RobotError
from rivc.neurochip import load_backend
from rivc.robot import (
    ActionTable,
    DriveSettings,
    Fault,
    Faults,
    Frame,
    MockParts,
    MockRobot,
    MonotonicClock,
    NoiseWorld,
    ProgramPolicy,
    SimulatedClock,
    WatchdogLimits,
    drive,
)
from rivc.robot.clock import SECOND_NS
from tests.programs import conv_program, dense_program
from tests.robots import ACTIONS, LIMITS, MS, Recorder, Steer, check_bounds, check_stops, mock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.robot import DriveReport

HZ = 50.0
DOG = WatchdogLimits(frame_ms=80, decision_ms=20, recovery=5)


def simulate(
    faults: Faults,
    seconds: float,
    *,
    limits: WatchdogLimits = DOG,
    take: Any = lambda _: 0,
    seed: int = 0,
) -> tuple[DriveReport, Recorder]:
    """Drive a recorded mock robot in simulated time."""
    clock = SimulatedClock()
    robot = mock(clock, faults, camera_hz=HZ, seed=seed)
    report = drive(robot, Steer(clock, take), clock, DriveSettings(HZ, seconds, limits))
    return report, robot


def test_ten_minutes_with_late_and_lost_frames_and_a_hung_camera() -> None:
    hangs = [Fault(kind="hang", start_s=start, seconds=3) for start in (100, 250, 400)]
    schedule = (*hangs, Fault(kind="late", start_s=500, seconds=2))
    faults = Faults(late=0.02, late_ms=100, lost=0.02, schedule=schedule)
    report, robot = simulate(faults, 600)

    check_stops(robot.events, DOG)
    check_bounds(robot.events, LIMITS, 1 / HZ)
    assert report.missed == 3 * 149  # the slots that begin while a read hangs; all others are met
    assert report.slots + report.missed == 600 * HZ
    assert report.jitter.max_ms == 0
    stopped_at_s = {stop.time_ns // SECOND_NS for stop in report.stops}
    assert stopped_at_s >= {100, 250, 400, 500}
    assert report.commands > 25_000


def test_a_healthy_robot_is_never_stopped_and_misses_nothing() -> None:
    report, robot = simulate(Faults(), 60)
    assert (report.missed, report.frameless, report.stop_count) == (0, 0, 0)
    assert report.withheld == DOG.recovery - 1
    assert report.commands == 60 * HZ - report.withheld
    check_bounds(robot.events, LIMITS, 1 / HZ)
    assert robot.events[-1].values is None


def test_a_drive_begins_with_a_stop() -> None:
    limits = WatchdogLimits(frame_ms=400, decision_ms=100, recovery=1)
    _, robot = simulate(Faults(frame_ms=0, frame_jitter_ms=0), 1, limits=limits)
    first, second = robot.events[:2]
    assert (first.values, first.time_ns) == (None, 0)
    assert (second.values is None, second.time_ns) == (False, 0)


@st.composite
def anything_wrong(draw: st.DrawFn) -> Faults:
    times = st.floats(0, 4, allow_nan=False)
    kinds = st.sampled_from(["late", "lost", "hang", "jam"])
    schedule = draw(
        st.lists(st.builds(Fault, kind=kinds, start_s=times, seconds=st.floats(0, 0.5)), max_size=8)
    )
    share, delay = st.floats(0, 0.5), st.floats(0, 60)
    return Faults(
        frame_ms=draw(delay),
        frame_jitter_ms=draw(delay),
        late=draw(share),
        late_ms=draw(st.floats(0, 300)),
        lost=draw(share),
        schedule=tuple(schedule),
    )


@settings(max_examples=60, phases=[Phase.explicit, Phase.generate])  # shrinking takes minutes
@given(
    faults=anything_wrong(),
    limits=st.builds(
        WatchdogLimits,
        frame_ms=st.floats(5, 200),
        decision_ms=st.floats(1, 50),
        recovery=st.integers(1, 8),
    ),
    slow=st.dictionaries(st.integers(1, 200), st.integers(0, 200 * MS), max_size=6),
    seed=st.integers(0, 2**32),
)
def test_no_schedule_of_faults_lets_a_command_outlive_its_frame(
    faults: Faults, limits: WatchdogLimits, slow: dict[int, int], seed: int
) -> None:
    report, robot = simulate(faults, 4, limits=limits, take=lambda i: slow.get(i, 0), seed=seed)
    check_stops(robot.events, limits)
    check_bounds(robot.events, LIMITS, 1 / HZ)
    assert report.slots + report.missed == 4 * HZ
    assert report.slots == report.commands + report.frameless + report.withheld
    assert len(robot.sent) == report.commands


@pytest.mark.parametrize("recovery", [1, 3])
def test_after_a_stop_so_many_decisions_have_to_be_in_time(recovery: int) -> None:
    faults = Faults(schedule=(Fault(kind="lost", start_s=1, seconds=0.5),))
    report, robot = simulate(faults, 3, limits=WatchdogLimits(80, 20, recovery))
    assert [stop.reason for stop in report.stops] == ["frame"]
    assert report.withheld == 2 * (recovery - 1)
    gone_ns = next(e.time_ns for e in robot.sent if e.time_ns > report.stops[0].time_ns)
    assert gone_ns > (1.5 + (recovery - 1) / HZ) * SECOND_NS


def test_a_frame_from_the_future_is_captured_now() -> None:
    clock = SimulatedClock()
    robot = mock(clock, Faults(), camera_hz=HZ)
    seen: list[int] = []

    class Ahead:
        """The same robot with a camera whose clock runs ahead."""

        limits, actions, send, stop = robot.limits, robot.actions, robot.send, robot.stop

        def read(self, timeout_s: float) -> Frame | None:
            frame = robot.read(timeout_s)
            if frame is None:
                return None
            late = Frame(frame.observation, frame.time_ns + SECOND_NS, frame.sequence)
            robot.captured_ns[frame.sequence] = late.time_ns
            return late

        def close(self) -> None:
            robot.close()

    class Seeing(Steer):
        decided_from = Frame(np.zeros(1), 0, 0)

        def see(self, frame: Frame) -> None:
            self.decided_from = frame
            seen.append(clock.now_ns() - frame.time_ns)

    drive(Ahead(), Seeing(clock), clock, DriveSettings(HZ, 2, DOG))
    assert len(seen) > 50
    assert min(seen) >= 0


def test_a_slow_decision_stops_the_robot_while_the_policy_still_thinks() -> None:
    report, robot = simulate(Faults(), 2, take=lambda i: 500 * MS if i == 30 else 0)
    begun_ns = 29 * 20 * MS
    assert [stop.reason for stop in report.stops] == ["decision"]
    stop_ns = report.stops[0].time_ns
    assert begun_ns + DOG.decision_ns <= stop_ns <= begun_ns + DOG.decision_ns + 10 * MS
    assert report.missed == 25
    check_stops(robot.events, DOG)


def test_a_command_that_was_overtaken_by_a_stop_is_followed_by_another_stop() -> None:
    faults = Faults(schedule=(Fault(kind="jam", start_s=1, seconds=1),))
    _, robot = simulate(faults, 3)
    end_ns = 2 * SECOND_NS
    [late] = [i for i, e in enumerate(robot.events) if e.values is not None and e.time_ns == end_ns]
    assert robot.events[late + 1].values is None
    assert robot.events[late + 1].time_ns == end_ns


def test_a_stop_is_repeated_while_the_camera_hangs() -> None:
    faults = Faults(schedule=(Fault(kind="hang", start_s=1, seconds=1),))
    _, robot = simulate(faults, 3)
    during = [e for e in robot.events if SECOND_NS < e.time_ns < 2 * SECOND_NS]
    assert all(e.values is None for e in during)
    assert len(during) == 1000 // 80


def test_after_a_stop_commands_start_from_rest() -> None:
    faults = Faults(schedule=(Fault(kind="lost", start_s=1, seconds=0.5),))
    _, robot = simulate(faults, 3, limits=WatchdogLimits(80, 20, recovery=1))
    first = next(e for e in robot.sent if e.time_ns > 1.5 * SECOND_NS)
    assert first.values is not None
    assert (np.abs(first.values) <= np.array(LIMITS.rate) / HZ + 1e-12).all()


def test_a_frame_that_comes_again_is_no_new_frame() -> None:
    class Stuck:
        """A driver that hands out its last frame for ever."""

        limits, actions = LIMITS, ACTIONS

        def read(self, timeout_s: float) -> Frame:
            return Frame(np.zeros(4), clock.now_ns(), 7)

        def send(self, command: Any) -> None: ...
        def stop(self) -> None: ...
        def close(self) -> None: ...

    clock = SimulatedClock()
    settings = DriveSettings(HZ, 1, WatchdogLimits(80, 20, recovery=1))
    report = drive(Stuck(), Steer(clock), clock, settings)
    assert (report.commands, report.frameless, report.stop_count) == (1, 49, 1)


def test_an_interrupt_stops_the_robot_and_still_reports() -> None:
    def take(count: int) -> int:
        if count == 20:
            raise KeyboardInterrupt
        return 0

    report, robot = simulate(Faults(), 60, take=take)
    assert report.interrupted
    assert report.slots == 20
    assert robot.events[-1].values is None


def test_a_chip_that_fails_stops_the_robot_and_is_told_of() -> None:
    clock = SimulatedClock()
    robot = mock(clock, Faults())

    def take(count: int) -> int:
        if count == 20:
            raise BackendError("gone")
        return 0

    with pytest.raises(BackendError, match="gone"):
        drive(robot, Steer(clock, take), clock, DriveSettings(HZ, 60))
    assert robot.events[-1].values is None


def test_a_loop_that_cannot_be_built_leaves_no_alarm_behind() -> None:
    clock = SimulatedClock()
    robot = mock(clock, Faults())
    robot.limits = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        drive(robot, Steer(clock), clock, DriveSettings(HZ, 60))
    told = len(robot.events)
    clock.sleep_until(10 * SECOND_NS)
    assert len(robot.events) == told


def test_a_picture_that_is_no_frame_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimulatedClock()
    robot = mock(clock, Faults())
    monkeypatch.setattr(robot, "read", lambda _: np.zeros(4))
    with pytest.raises(RobotError, match="read returned ndarray, not Frame or None"):
        drive(robot, Steer(clock), clock, DriveSettings(HZ, 60))
    assert robot.events[-1].values is None


@pytest.mark.parametrize("method", ["read", "send", "stop"])
def test_whatever_a_robot_raises_stops_it_and_becomes_one_error(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimulatedClock()
    robot = mock(clock, Faults())
    calls = {"stop": 0}

    def fail(*_: object) -> None:
        raise OSError("unplugged")

    def stop() -> None:
        calls["stop"] += 1

    monkeypatch.setattr(robot, "stop", stop)
    monkeypatch.setattr(robot, method, fail)
    with pytest.raises(RobotError, match=r"OSError: unplugged"):
        drive(robot, Steer(clock), clock, DriveSettings(HZ, 60))
    assert calls["stop"] > 0 or method == "stop"


def test_the_program_decides_as_the_reference_does() -> None:
    program, clock = dense_program(), SimulatedClock()
    actions = ActionTable.bins([-1.0, -2.0], [1.0, 2.0], bins=3)
    parts = MockParts(actions, actions.limits(), HZ, Faults())
    robot = Recorder(MockRobot(NoiseWorld((6,), seed=3), clock, parts), clock)
    policy = ProgramPolicy(program, load_backend("emulator"), actions)
    drive(robot, policy, clock, DriveSettings(HZ, 2, WatchdogLimits(80, 20, recovery=1)))

    from rivc.snn_convert import reference
    from rivc.snn_convert.program import greedy

    world = NoiseWorld((6,), seed=3)
    counts = program.encode(np.stack([world.observe() for _ in range(100)]))
    wanted = [actions.command(chosen) for chosen in greedy(reference.run(program, counts))]
    assert np.array_equal([e.values for e in robot.sent], wanted)


def test_a_table_of_another_layout_or_an_observation_of_another_shape_is_told_of() -> None:
    chip = load_backend("emulator")
    with pytest.raises(ConfigError, match=r"\(1, 3\).*\(2, 3\)"):
        ProgramPolicy(dense_program(), chip, ACTIONS)
    policy = ProgramPolicy(conv_program(), chip, ActionTable.rows([[0.0]] * 4))
    with pytest.raises(QuantError, match="was trained"):
        policy.encode(np.zeros((2, *conv_program().encoding.shape), np.uint8))


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": 0},
        {"seconds": float("nan")},
        {"read_share": 2},
        {"rate_hz": 0},
        {"rate_hz": 1e9},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    clock = SimulatedClock()

    def try_to() -> None:
        settings = DriveSettings(**({"rate_hz": HZ, "seconds": 1} | wrong))
        drive(mock(clock, Faults()), Steer(clock), clock, settings)

    with pytest.raises(ConfigError):
        try_to()


class HangsForReal:
    """A camera and a chip that block for real until somebody stops the robot."""

    limits, actions = LIMITS, ACTIONS

    def __init__(self, hang: str) -> None:
        self.hang, self.count, self.stopped_by = hang, 0, ""
        self.stopped, self.is_hanging = threading.Event(), False

    def _hang(self) -> None:
        self.is_hanging = True
        assert self.stopped.wait(30), "nobody stopped the robot"

    def read(self, timeout_s: float) -> Frame:
        self.count += 1
        if self.hang == "camera" and self.count == 8:
            self._hang()
        return Frame(np.zeros(4), MonotonicClock().now_ns(), self.count)

    def encode(self, observation: NDArray[Any]) -> NDArray[np.uint8]:
        if self.hang == "chip" and self.count == 8:
            self._hang()
        return np.zeros(1, np.uint8)

    def infer(self, counts: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.zeros(2)

    def send(self, command: object) -> None: ...

    def stop(self) -> None:
        if self.is_hanging and not self.stopped_by:
            self.stopped_by = threading.current_thread().name
            self.stopped.set()

    def close(self) -> None: ...


@pytest.mark.parametrize("hang", ["camera", "chip"])
def test_in_real_time_a_thread_stops_the_robot_while_the_loop_hangs(hang: str) -> None:
    robot, limits = HangsForReal(hang), WatchdogLimits(250, 250, recovery=1)
    report = drive(robot, robot, MonotonicClock(), DriveSettings(40, 0.8, limits))
    assert robot.stopped_by == "rivc alarm"
    assert report.slots + report.missed == 32
