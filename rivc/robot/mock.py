"""A mock robot: any world behind a camera, a wire and motors that misbehave on schedule."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import RobotError
from rivc.robot.clock import MILLISECOND_NS, SECOND_NS
from rivc.robot.protocol import Frame
from rivc.robot.rate import period_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.robot.clock import Clock
    from rivc.robot.commands import ActionTable, CommandLimits
    from rivc.robot.faults import Faults, Kind
    from rivc.robot.protocol import Command, World

PATIENCE_NS: Final = SECOND_NS  # that making up for frames may take before it is judged
_CAMERA, _WIRE, _NOISE = range(3)  # streams of a frame


@dataclass(frozen=True)
class MockParts:
    """What a mock robot is made of.

    Attributes:
        actions: what each action of a policy stands for.
        limits: what commands it takes.
        camera_hz: frames a second; between two of them the world moves on by one step.
        faults: its delays, and what goes wrong.
        seed: of everything that is drawn; equal seeds give equal faults.
    """

    actions: ActionTable
    limits: CommandLimits
    camera_hz: float
    faults: Faults
    seed: int = 0


class MockRobot:
    """A robot in a world that is handed in, with realistic delays and faults.

    The camera takes a frame every ``1 / camera_hz`` seconds of the clock. A frame arrives after a
    delay, late, or never; out of order if its delay says so. Commands reach the motors in order,
    after a delay of their own. A stop has a wire of its own: it acts at once and overtakes every
    command that is under way. Delays, losses, noise and the delay of a command each have a stream
    of their own for each frame, so that a fault does not change what is drawn after it.

    Args:
        world: what the robot stands in.
        clock: of the robot; its time starts now.
        parts: what it is made of.

    Raises:
        ConfigError: if its camera cannot have such a rate.

    Example:
        >>> from rivc.robot.clock import SimulatedClock
        >>> from rivc.robot.commands import ActionTable
        >>> from rivc.robot.faults import Faults
        >>> actions = ActionTable.rows([[-1.0], [1.0]])
        >>> parts = MockParts(actions, actions.limits(), camera_hz=50.0, faults=Faults())
        >>> robot = MockRobot(NoiseWorld((4,)), SimulatedClock(), parts)
        >>> robot.read(timeout_s=0.02).sequence
        0
    """

    def __init__(self, world: World, clock: Clock, parts: MockParts) -> None:
        self.limits, self.actions = parts.limits, parts.actions
        self._world, self._clock, self._faults = world, clock, parts.faults
        self._seed, self._is_slow, self._is_on = parts.seed, False, False
        self._start_ns, self._period_ns = clock.now_ns(), period_ns(parts.camera_hz)
        self._windows: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for fault in parts.faults.schedule:
            start_ns = round(fault.start_s * SECOND_NS)
            end_ns = start_ns + round(fault.seconds * SECOND_NS)
            self._windows[fault.kind].append((start_ns, end_ns))
        self._rest = np.array(parts.limits.rest)
        self._motors, self._motors_lock = deque([(self._start_ns, self._rest)]), Lock()
        self._frames = 0
        self._arriving: list[tuple[int, Frame]] = []
        self._last_read = -1

    def read(self, timeout_s: float) -> Frame | None:
        """Return the newest frame that has arrived, wait for one, or hang.

        Raises:
            RobotError: if the world cannot keep up with the camera.
        """
        self._turn_on()
        until_ns = self._clock.now_ns() + round(timeout_s * SECOND_NS)
        self._block("hang")
        while True:
            now_ns = self._clock.now_ns()
            self._expose(now_ns)
            frame = self._newest(now_ns)
            if frame is not None or now_ns >= until_ns:
                return frame
            self._clock.sleep_until(min(until_ns, self._next_event()))

    def send(self, command: Command) -> None:
        """Let a command travel to the motors, or block."""
        self._block("jam")
        delay_ms = self._faults.command_ms
        delay_ms += self._faults.command_jitter_ms * self._stream(_WIRE, command.sequence).random()
        with self._motors_lock:
            arrival_ns = self._clock.now_ns() + round(delay_ms * MILLISECOND_NS)
            arrival_ns = max(arrival_ns, self._motors[-1][0])
            self._motors.append((arrival_ns, command.values))

    def stop(self) -> None:
        """Bring the motors to rest now, and forget every command that has not reached them."""
        with self._motors_lock:
            now_ns = self._clock.now_ns()
            while len(self._motors) > 1 and self._motors[-1][0] > now_ns:
                self._motors.pop()
            self._motors.append((now_ns, self._rest))

    def close(self) -> None:
        """Stop."""
        self.stop()

    # -- the camera -----------------------------------------------------------------------------

    def _turn_on(self) -> None:
        """Let the world begin when somebody looks at it for the first time.

        What moved before, while a policy was loaded, nobody could have steered.
        """
        if not self._is_on:
            self._start_ns, self._is_on = self._clock.now_ns(), True

    def _capture_ns(self, frame: int) -> int:
        length_ns, frames = self._period_ns
        return self._start_ns + frame * length_ns // frames

    def _next_event(self) -> int:
        """When the next frame is taken or arrives."""
        return min([self._capture_ns(self._frames), *(time_ns for time_ns, _ in self._arriving)])

    def _expose(self, now_ns: int) -> None:
        """Take every frame whose time has come, the world moving on before each but the first."""
        first = self._frames
        while (captured_ns := self._capture_ns(self._frames)) <= now_ns:
            if self._frames:
                self._world.act(self._held(captured_ns))
            self._transmit(captured_ns)
            self._frames += 1
        self._check_pace(self._frames - first, self._clock.now_ns() - now_ns)

    def _check_pace(self, frames: int, took_ns: int) -> None:
        """Raise if frames took longer to make up for than to pass, or every read would take longer.

        Once is a machine that was busy, or a loop that was compiled; twice running is the world.
        """
        length_ns, periods = self._period_ns
        was_slow = self._is_slow
        self._is_slow = took_ns > PATIENCE_NS and took_ns * periods > frames * length_ns
        if was_slow and self._is_slow:
            step_ms, frame_ms = (
                ns / MILLISECOND_NS for ns in (took_ns / frames, length_ns / periods)
            )
            raise RobotError(
                f"the world takes {step_ms:.1f} ms a step, the camera a frame every "
                f"{frame_ms:.1f} ms: lower the rate, or simulate the time (--rate, --simulated)"
            )

    def _stream(self, kind: int, frame: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, kind, max(0, frame)])

    def _transmit(self, captured_ns: int) -> None:
        faults = self._faults
        late, lost, jitter = self._stream(_CAMERA, self._frames).random(3).tolist()
        observation = self._sense(self._world.observe())
        if lost < faults.lost or self._fault_end("lost", captured_ns):
            return
        delay_ms = faults.frame_ms + faults.frame_jitter_ms * jitter
        if late < faults.late or self._fault_end("late", captured_ns):
            delay_ms += faults.late_ms
        frame = Frame(observation, captured_ns, self._frames)
        self._arriving.append((captured_ns + round(delay_ms * MILLISECOND_NS), frame))

    def _sense(self, observation: NDArray[Any]) -> NDArray[Any]:
        if not self._faults.noise:
            return observation
        noise = self._stream(_NOISE, self._frames).standard_normal(observation.shape)
        noisy = observation + self._faults.noise * noise
        if observation.dtype == np.uint8:
            return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        return noisy.astype(observation.dtype)

    def _newest(self, now_ns: int) -> Frame | None:
        """The newest frame that has arrived; all others that have are dropped."""
        arrived = [frame for time_ns, frame in self._arriving if time_ns <= now_ns]
        if not arrived:
            return None
        self._arriving = [entry for entry in self._arriving if entry[0] > now_ns]
        newest = max(arrived, key=lambda frame: frame.sequence)
        if newest.sequence <= self._last_read:
            return None
        self._last_read = newest.sequence
        return newest

    # -- motors and faults ----------------------------------------------------------------------

    def _held(self, time_ns: int) -> NDArray[np.float64]:
        """The command that holds at a time; earlier ones are forgotten."""
        with self._motors_lock:
            while len(self._motors) > 1 and self._motors[1][0] <= time_ns:
                self._motors.popleft()
            return self._motors[0][1]

    def _block(self, kind: Kind) -> None:
        """Sleep through a fault of this kind."""
        end_ns = self._fault_end(kind, self._clock.now_ns())
        if end_ns is not None:
            self._clock.sleep_until(end_ns)

    def _fault_end(self, kind: Kind, time_ns: int) -> int | None:
        """When the faults of a kind end that are active at a time; None if none is."""
        age_ns = time_ns - self._start_ns
        ends = [end for start, end in self._windows[kind] if start <= age_ns < end]
        return self._start_ns + max(ends) if ends else None


class NoiseWorld:
    """A world of random observations that nothing changes: for timing a program without its task.

    Args:
        shape: of an observation; three numbers make a picture, uint8, one a vector in -1..1.
        seed: of the observations.
    """

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self._shape, self._rng = shape, np.random.default_rng(seed)

    def observe(self) -> NDArray[Any]:
        """Return random pixels or numbers."""
        if len(self._shape) == 3:
            return self._rng.integers(0, 256, self._shape, dtype=np.uint8)
        return self._rng.uniform(-1, 1, self._shape)

    def act(self, values: NDArray[np.float64]) -> None:
        """Nothing happens."""
