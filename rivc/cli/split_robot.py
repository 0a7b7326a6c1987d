"""One robot of `rivc split drive`: a mock one in the task of a split."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from rivc.cli.driving import mock_limits, open_chip, open_program
from rivc.errors import ConfigError
from rivc.neurochip import load_backend
from rivc.robot import (
    ActionTable,
    DriveReport,
    DriveSettings,
    MockParts,
    MockRobot,
    MonotonicClock,
    NoiseWorld,
    ProgramPolicy,
    SimulatedClock,
    WatchdogLimits,
    drive,
    load_faults,
)
from rivc.split.link import LinkModel, LinkTrace
from rivc.split.policy import Link, LinkTimes, SafeAction, SplitPolicy
from rivc.split.session import Session
from rivc.split.simulated import SimulatedTransport
from rivc.split.transport import Address, InProcess, connect

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.robot import Clock, Policy
    from rivc.split.folder import SplitFolder
    from rivc.split.server import Server
    from rivc.split.transport import Transport
    from rivc.train.config import Config
    from rivc.train.task_world import TaskWorld

DEFAULT_RATE_HZ: Final = 20.0
EMULATOR: Final = "emulator"
READ_SHARE: Final = 0.35  # of a slot, for a frame: at 50 Hz a camera of 6 ms is still in time
WAIT_SHARE: Final = 0.6  # of a slot, for its answer; both and a margin make a slot


@dataclass(frozen=True)
class SplitWords:
    """What was asked for; the options of `rivc split drive`."""

    connect: str | None
    link: Path | None
    key: Path | None
    robots: int | None
    rate: float | None
    seconds: float
    simulated: bool
    deadline_ms: float | None
    wait_ms: float | None
    fallback: Path | None
    faults: str | None
    backend: str | None
    backend_options: Path | None
    seed: int


@dataclass(frozen=True)
class SplitDriven:
    """What came of one robot."""

    report: DriveReport
    policy: SplitPolicy
    session: Session
    task: TaskWorld | None


class SplitRobot:
    """A mock robot in the task of a split, or in noise if there is none."""

    def __init__(self, folder: SplitFolder, words: SplitWords, key: bytes) -> None:
        self._folder, self._words = folder, words
        self.clock: Clock = SimulatedClock() if words.simulated else MonotonicClock()
        self.task = open_task(folder, words.seed)
        d, n = folder.split.server.action_layout
        self._session = Session(folder.ladder, folder.identity, d * n, key)
        self._actions = actions_of(folder, self.task)
        self._rate_hz = words.rate or (self.task.rate_hz if self.task else None) or DEFAULT_RATE_HZ
        slot_ms = 1000 / self._rate_hz
        deadline_ms = words.deadline_ms or 2 * slot_ms
        wait_ms = WAIT_SHARE * slot_ms if words.wait_ms is None else words.wait_ms
        self._times = LinkTimes(self._rate_hz, deadline_ms, min(deadline_ms, wait_ms))

    def way(
        self, server: Server | None, address: Address | None, trace: LinkTrace | None
    ) -> Transport:
        """Return the robot's end of its way to the server."""
        if address is not None:
            return connect(address, self.clock)
        if server is None:
            raise ConfigError("neither a server nor an address")
        if isinstance(self.clock, SimulatedClock):
            trace = trace or LinkTrace()
            seeds = 2 * self._words.seed, 2 * self._words.seed + 1
            link = LinkModel(trace, seeds[0]), LinkModel(trace, seeds[1])
            return SimulatedTransport(server, self.clock, link)
        return InProcess(server, self.clock)

    def drive(self, way: Transport) -> SplitDriven:
        """Drive it to the end."""
        words, limits = self._words, mock_limits(self._actions)
        faults = load_faults(words.faults or "none")
        parts = MockParts(self._actions, limits, self._rate_hz, faults, words.seed)
        world = self.task or NoiseWorld(self._folder.split.edge.encoding.shape, words.seed)
        chip = open_chip(words.backend or EMULATOR, words.backend_options, config_of(self._folder))
        link = Link(self.clock, way, self._session, self._folder.ladder, self._times)
        compute_ns = perf_counter_ns if words.simulated else None
        fallback = self._fallback(SafeAction(limits.rest))
        policy = SplitPolicy(self._folder.split, chip, self._actions, link, fallback, compute_ns)
        robot = MockRobot(world, self.clock, parts)
        slot_ms = 1000 / self._rate_hz
        watchdog = WatchdogLimits(
            self._times.deadline_ms + 2 * slot_ms, self._times.wait_ms + slot_ms
        )
        settings = DriveSettings(self._rate_hz, words.seconds, watchdog, read_share=READ_SHARE)
        try:
            report = drive(robot, policy, self.clock, settings, compute_ns)
        finally:
            policy.close()
            chip.close()
        return SplitDriven(report, policy, self._session, self.task)

    def close(self) -> None:
        """Close the task."""
        if self.task is not None:
            self.task.close()

    def _fallback(self, safe: Policy) -> Policy:
        if self._words.fallback is None:
            return safe
        program, _ = open_program(self._words.fallback, None)
        return ProgramPolicy(program, load_backend("emulator"), self._actions)


def open_task(folder: SplitFolder, seed: int) -> TaskWorld | None:
    """The task that the run was trained on, if the folder tells and a simulator is here."""
    config = config_of(folder)
    if config is None:
        return None
    from rivc.train.setup import make_tasks
    from rivc.train.task_world import TaskWorld

    return TaskWorld(make_tasks(config, 1)[0], seed)


def config_of(folder: SplitFolder) -> Config | None:
    """The configuration of the run that was cut, None if the folder does not tell.

    Raises:
        ConfigError: if its text is none.
    """
    if not folder.config:
        return None
    from rivc.train.config import read_config

    return read_config(folder.config, "config.yaml of the split")


def actions_of(folder: SplitFolder, task: TaskWorld | None) -> ActionTable:
    """What the actions stand for; numbers where there is no task."""
    d, n = folder.split.server.action_layout
    return ActionTable(task.vectors) if task else ActionTable.levels([list(range(n))] * d)
