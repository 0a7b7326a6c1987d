"""From the words of `rivc split drive` to robots, their links and what came of them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

import numpy as np
import yaml

from rivc.cli.driving import ending_gently, mock_limits, open_program
from rivc.errors import ConfigError, LinkError, RivcError, UsageError
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
from rivc.snn_convert.storage import read_plain
from rivc.split.link import LinkModel, LinkTrace, load_trace
from rivc.split.policy import Link, LinkTimes, SafeAction, SplitPolicy
from rivc.split.proxy import Proxy
from rivc.split.server import Server, ServerLimits
from rivc.split.session import Session
from rivc.split.simulated import SimulatedTransport
from rivc.split.transport import Address, InProcess, connect, parse_address
from rivc.split.wire import MIN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rivc.robot import Clock, Policy
    from rivc.split.folder import SplitFolder
    from rivc.split.transport import Transport
    from rivc.train.task_world import TaskWorld

MAX_KEY: Final = 4096
DEFAULT_RATE_HZ: Final = 20.0


@dataclass(frozen=True)
class SplitWords:
    """What was asked for; the options of `rivc split drive`."""

    connect: str | None
    link: Path | None
    key: Path | None
    robots: int
    rate: float | None
    seconds: float
    simulated: bool
    deadline_ms: float | None
    wait_ms: float | None
    fallback: Path | None
    faults: str | None
    backend: str
    seed: int


@dataclass(frozen=True)
class SplitDriven:
    """What came of one robot."""

    report: DriveReport
    policy: SplitPolicy
    session: Session
    task: TaskWorld | None


def read_key(path: Path | None) -> bytes:
    """Return the shared key of a file, without the white space around it; empty if there is none.

    Raises:
        UsageError: if the file cannot be read, or holds less than 16 bytes.
    """
    if path is None:
        return b""
    try:
        key = read_plain(path, MAX_KEY).strip()
    except (OSError, RivcError) as error:
        raise UsageError(f"no key at {path}: {error}") from error
    if len(key) < MIN_KEY:
        raise UsageError(f"the key in {path} has {len(key)} bytes, at least {MIN_KEY} are needed")
    return key


def new_server(folder: SplitFolder, key: bytes, limits: ServerLimits, backend: str) -> Server:
    """Return a server whose half is loaded onto a chip."""
    chip = load_backend(backend)
    chip.load(folder.split.server)
    chip.infer(np.zeros((1, *folder.split.shape), np.uint8))
    folder.ladder.warm_up()
    return Server(folder.ladder, lambda x: chip.infer(x).readout, folder.identity, key, limits)


def drive_split(folder: SplitFolder, words: SplitWords) -> tuple[list[SplitDriven], Server | None]:
    """Drive robots that stand in the task of the split, over a link; one thread a robot.

    Raises:
        UsageError: if the words do not go together.
        RivcError: anything that robots, chips and links may raise.
    """
    trace = load_trace(words.link) if words.link else None
    _check(words, trace)
    key = read_key(words.key)
    server = None
    if words.connect is None:
        server = new_server(folder, key, ServerLimits(max_robots=words.robots), "emulator")
    with ExitStack() as stack:
        address = parse_address(words.connect) if words.connect else None
        if address is not None and trace is not None:
            address = stack.enter_context(_proxied(address, trace, words.seed))
        robots = [_Robot(folder, words, i, key) for i in range(words.robots)]
        for robot in robots:
            stack.callback(robot.close)
        ways = [robot.way(server, address, trace) for robot in robots]
        with ending_gently():
            return _together(list(zip(robots, ways, strict=True))), server


def _check(words: SplitWords, trace: LinkTrace | None) -> None:
    if words.simulated and words.connect:
        raise UsageError("--simulated has a server of its own; leave out --connect")
    if trace and not words.simulated and not (words.connect or "").startswith("udp://"):
        raise UsageError("--link needs --simulated, or --connect udp://HOST:PORT")
    if words.robots > 1 and words.connect is None:
        raise UsageError("--robots N share a server: start `rivc split serve`, then --connect")


class _Robot:
    """A mock robot in the task of a split, or in noise if there is none."""

    def __init__(self, folder: SplitFolder, words: SplitWords, index: int, key: bytes) -> None:
        self._folder, self._words, self._index = folder, words, index
        self._seed = words.seed + index
        self.clock: Clock = SimulatedClock() if words.simulated else MonotonicClock()
        self._closing = ExitStack()
        self.task = _open_task(folder, self._seed)
        if self.task is not None:
            self._closing.callback(self.task.close)
        d, n = folder.split.server.action_layout
        self._session = Session(folder.ladder, folder.identity, d * n, key)
        self._actions = (
            ActionTable(self.task.vectors)
            if self.task
            else ActionTable.levels([list(range(n))] * d)
        )
        self._rate_hz = words.rate or (self.task.rate_hz if self.task else None) or DEFAULT_RATE_HZ
        slot_ms = 1000 / self._rate_hz
        deadline_ms = words.deadline_ms or 2 * slot_ms
        wait_ms = min(deadline_ms, words.wait_ms if words.wait_ms is not None else 0.7 * slot_ms)
        self._times = LinkTimes(self._rate_hz, deadline_ms, wait_ms)

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
            link = LinkModel(trace, 2 * self._seed), LinkModel(trace, 2 * self._seed + 1)
            return SimulatedTransport(server, self.clock, link)
        return InProcess(server, self.clock)

    def drive(self, way: Transport) -> SplitDriven:
        """Drive it to the end."""
        words, limits = self._words, mock_limits(self._actions)
        faults = load_faults(words.faults or "none")
        parts = MockParts(self._actions, limits, self._rate_hz, faults, self._seed)
        world = self.task or NoiseWorld(self._folder.split.edge.encoding.shape, self._seed)
        chip = load_backend(words.backend)
        link = Link(self.clock, way, self._session, self._folder.ladder, self._times)
        compute_ns = perf_counter_ns if words.simulated else None
        fallback = self._fallback(SafeAction(limits.rest))
        policy = SplitPolicy(self._folder.split, chip, self._actions, link, fallback, compute_ns)
        robot = MockRobot(world, self.clock, parts)
        slot_ms = 1000 / self._rate_hz
        watchdog = WatchdogLimits(
            self._times.deadline_ms + 2 * slot_ms, self._times.wait_ms + slot_ms
        )
        settings = DriveSettings(self._rate_hz, words.seconds, watchdog, read_share=0.2)
        try:
            report = drive(robot, policy, self.clock, settings, compute_ns)
        finally:
            policy.close()
            chip.close()
        return SplitDriven(report, policy, self._session, self.task)

    def close(self) -> None:
        """Close the task."""
        self._closing.close()

    def _fallback(self, safe: Policy) -> Policy:
        if self._words.fallback is None:
            return safe
        program, _ = open_program(self._words.fallback, None)
        return ProgramPolicy(program, load_backend("emulator"), self._actions)


def _open_task(folder: SplitFolder, seed: int) -> TaskWorld | None:
    """The task that the run was trained on, if the folder tells and a simulator is here."""
    if not folder.config:
        return None
    from rivc.train.config import parse_config
    from rivc.train.setup import make_tasks
    from rivc.train.task_world import TaskWorld

    config = parse_config(yaml.safe_load(folder.config), "config.yaml of the split")
    return TaskWorld(make_tasks(config, 1)[0], seed)


def _together(robots: list[tuple[_Robot, Transport]]) -> list[SplitDriven]:
    """Drive all robots at once; the first in this thread, where an interrupt arrives."""
    driven: dict[int, SplitDriven] = {}
    failures: list[Exception] = []

    def run(index: int) -> None:
        robot, way = robots[index]
        try:
            driven[index] = robot.drive(way)
        except Exception as error:  # told of by the main thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(1, len(robots))]
    for thread in threads:
        thread.start()
    run(0)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [driven[i] for i in range(len(robots))]


@contextmanager
def _proxied(server: Address, trace: LinkTrace, seed: int) -> Iterator[Address]:
    """A poor link in front of a server, in a thread of its own; yields where to send."""
    started, where, failed = threading.Event(), list[Address](), list[Exception]()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def main() -> None:
        try:
            local = Address("udp", "127.0.0.1", 0)
            async with Proxy(server, trace, seed).listening(local) as address:
                where.append(address)
                started.set()
                await ended.wait()
        except LinkError as error:
            failed.append(error)
            started.set()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    started.wait()
    try:
        if failed:
            raise failed[0]
        yield where[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
