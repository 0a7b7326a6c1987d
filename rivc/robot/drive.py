"""The control loop: read, encode, infer, bound, send; once a slot, under the watchdog."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import ConfigError, RivcError, RobotError, in_one_line
from rivc.robot.clock import SECOND_NS
from rivc.robot.policy import FramePolicy
from rivc.robot.protocol import Command, Frame
from rivc.robot.rate import Durations, FixedRate, Percentiles, period_s
from rivc.robot.watchdog import Reason, Stop, Watchdog, WatchdogLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from rivc.robot.clock import Clock
    from rivc.robot.policy import Policy
    from rivc.robot.protocol import RobotEnv

STAGES: Final = ("read", "encode", "infer", "send", "capture to command")
MAX_SECONDS: Final = 1e7


@dataclass(frozen=True, slots=True)
class DriveSettings:
    """How to drive.

    Attributes:
        rate_hz: slots a second.
        seconds: for how long.
        watchdog: how late is too late; default: 4 slots for a frame, 1 for a decision.
        read_share: part of a slot that is waited for a frame.

    Raises:
        ConfigError: if a value is out of range.
    """

    rate_hz: float
    seconds: float
    watchdog: WatchdogLimits | None = None
    read_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= MAX_SECONDS:
            raise ConfigError(f"seconds={self.seconds} is not in 0..{MAX_SECONDS:g}")
        if not 0 <= self.read_share <= 1:
            raise ConfigError(f"read_share={self.read_share} is not in 0..1")


@dataclass(frozen=True, slots=True)
class DriveReport:
    """What came of a drive.

    Attributes:
        seconds: from the first slot to the end.
        slots: that were begun.
        missed: slots that were skipped because the one before took too long.
        commands: that were sent.
        frameless: slots in which no new frame came.
        withheld: decisions that the watchdog did not let out.
        stops: by the watchdog, the latest 1,000; times are on the drive's clock.
        reasons: how many of all of them for each reason.
        start_ns: when the drive began, on the same clock.
        jitter: how late slots began.
        stages: what each stage took: `STAGES`.
        interrupted: ended by Ctrl-C.
    """

    seconds: float
    slots: int
    missed: int
    commands: int
    frameless: int
    withheld: int
    stops: tuple[Stop, ...]
    reasons: dict[Reason, int]
    start_ns: int
    jitter: Percentiles
    stages: dict[str, Percentiles]
    interrupted: bool

    @property
    def stop_count(self) -> int:
        """All stops by the watchdog."""
        return sum(self.reasons.values())


def drive(
    robot: RobotEnv,
    policy: Policy,
    clock: Clock,
    settings: DriveSettings,
    compute_ns: Callable[[], int] | None = None,
) -> DriveReport:
    """Drive a robot at a fixed rate, and stop it whatever happens.

    In each slot the newest frame becomes a command within the robot's limits. Without a new frame
    nothing is sent and the last command holds, for as long as the watchdog bears it. Ctrl-C stops
    the robot, and ends the drive with a report.

    Args:
        robot: is stopped in the end, not closed.
        policy: decides.
        clock: of the slots, the watchdog and the robot's frames.
        settings: rate, length and limits.
        compute_ns: what `encode` and `infer` are timed by; default: the clock. Simulated time
            stands still while a program computes.

    Raises:
        RobotError: if the robot raises anything.
        QuantError: if an observation is not what the program was trained on.
        BackendError: if the chip fails.
    """
    slot_s = period_s(settings.rate_hz)
    limits = settings.watchdog or WatchdogLimits(frame_ms=4000 * slot_s, decision_ms=1000 * slot_s)
    slots, interrupted = 0, False
    with _watched(clock, limits, robot) as watchdog:
        rate, start_ns = FixedRate(clock, settings.rate_hz), clock.now_ns()
        loop = _Loop(robot, policy, clock, watchdog, slot_s, compute_ns or clock.now_ns)
        try:
            for _ in rate.slots(max(1, int(settings.seconds * settings.rate_hz + 1e-9))):
                slots += 1
                loop.step(settings.read_share * slot_s)
        except KeyboardInterrupt:
            interrupted = True
    return DriveReport(
        seconds=(clock.now_ns() - start_ns) / SECOND_NS,
        slots=slots,
        missed=rate.missed,
        commands=loop.commands,
        frameless=loop.frameless,
        withheld=loop.withheld,
        stops=tuple(watchdog.stops),
        reasons=dict(watchdog.reasons),
        start_ns=start_ns,
        jitter=rate.jitter.percentiles(),
        stages={name: durations.percentiles() for name, durations in loop.stages.items()},
        interrupted=interrupted,
    )


@contextmanager
def _watched(clock: Clock, limits: WatchdogLimits, robot: RobotEnv) -> Iterator[Watchdog]:
    """A watchdog that stops the robot at the beginning and at the end, whatever is between."""
    watchdog = Watchdog(clock, limits, robot.stop)
    try:
        yield watchdog
    finally:
        with _robots("stop"):
            watchdog.close()


class _Loop:
    """What goes on from slot to slot."""

    def __init__(
        self,
        robot: RobotEnv,
        policy: Policy,
        clock: Clock,
        watchdog: Watchdog,
        slot_s: float,
        compute_ns: Callable[[], int],
    ) -> None:
        self._robot, self._policy, self._clock = robot, policy, clock
        self._watchdog, self._slot_s, self._compute_ns = watchdog, slot_s, compute_ns
        self._sequence: int | None = None
        self._stops_seen = 0
        self._rest = np.array(robot.limits.rest)
        self._held, self._sent_ns = self._rest, clock.now_ns()
        self.commands = self.frameless = self.withheld = 0
        self.stages = {name: Durations() for name in STAGES}

    def step(self, timeout_s: float) -> None:
        """Do the work of one slot."""
        if self._watchdog.failure is not None:
            error = self._watchdog.failure
            raise RobotError(f"the robot could not be stopped: {in_one_line(error)}") from error
        frame = self._read(timeout_s)
        if frame is None:
            self.frameless += 1
            self._watchdog.miss()
            return
        self._watchdog.begin()
        wanted, frame = self._decide(frame)
        if self._watchdog.allows(frame.time_ns):
            self._send(frame, wanted)
        else:
            self.withheld += 1

    def _read(self, timeout_s: float) -> Frame | None:
        """A frame that is newer than all before, or None; one from the future is captured now.

        A camera whose clock runs ahead must gain no time: neither with the watchdog nor with a
        policy that bounds the age of what it decides from.
        """
        with self._timed("read", self._clock.now_ns), _robots("read"):
            frame = self._robot.read(timeout_s)
            if not (frame is None or isinstance(frame, Frame)):
                raise RobotError(f"read returned {type(frame).__name__}, not Frame or None")
        if frame is None or (self._sequence is not None and frame.sequence <= self._sequence):
            return None
        self._sequence = frame.sequence
        return frame.known_at(self._clock.now_ns())

    def _decide(self, frame: Frame) -> tuple[NDArray[np.float64], Frame]:
        """The command that is wanted, and the frame that it comes from."""
        policy = self._policy
        if isinstance(policy, FramePolicy):
            policy.see(frame)
        with self._timed("encode", self._compute_ns):
            counts = policy.encode(frame.observation)
        with self._timed("infer", self._compute_ns):
            wanted = policy.infer(counts)
        return wanted, policy.decided_from if isinstance(policy, FramePolicy) else frame

    def _send(self, frame: Frame, wanted: NDArray[np.float64]) -> None:
        """Bound and send; the bound counts from the command that holds, which is rest if stopped.

        It counts one slot at most, so that a long silence is not followed by a leap.
        """
        if self._stops_seen != self._watchdog.stop_count:
            self._stops_seen, self._held = self._watchdog.stop_count, self._rest
        now_ns = self._clock.now_ns()
        dt_s = min(self._slot_s, (now_ns - self._sent_ns) / SECOND_NS)
        values = self._robot.limits.bound(wanted, self._held, dt_s)
        values.flags.writeable = False
        with self._timed("send", self._clock.now_ns), _robots("send"):
            self._robot.send(Command(values, now_ns, frame.sequence))
        self._watchdog.settle(frame.time_ns)
        self._held, self._sent_ns = values, self._clock.now_ns()
        self.commands += 1
        self.stages["capture to command"].add(max(0, self._sent_ns - frame.time_ns))

    @contextmanager
    def _timed(self, stage: str, now_ns: Callable[[], int]) -> Iterator[None]:
        start_ns = now_ns()
        yield
        self.stages[stage].add(now_ns() - start_ns)


@contextmanager
def _robots(method: str) -> Iterator[None]:
    """Whatever a robot raises becomes a RobotError."""
    try:
        yield
    except RivcError:
        raise
    except Exception as error:  # whatever a driver may raise
        raise RobotError(f"the robot failed in {method}: {in_one_line(error)}") from error
