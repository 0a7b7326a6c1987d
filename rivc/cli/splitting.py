"""`rivc split drive` and what it needs: keys, servers, poor links, one robot or many."""

from __future__ import annotations

import gc
from contextlib import ExitStack, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.cli.driving import ending_gently
from rivc.cli.output import note
from rivc.cli.split_robot import (
    DEFAULT_RATE_HZ,
    EMULATOR,
    SplitDriven,
    SplitRobot,
    SplitWords,
    actions_of,
    config_of,
    open_task,
)
from rivc.errors import RivcError, UsageError
from rivc.neurochip import load_backend
from rivc.robot import NoiseWorld
from rivc.snn_convert.program import greedy
from rivc.snn_convert.storage import read_plain
from rivc.split.fleet import Episode, FleetPlan, FleetReport, drive_fleet
from rivc.split.hosted import listening_in_a_thread
from rivc.split.link import LinkTrace, load_trace
from rivc.split.proxy import Proxy
from rivc.split.server import Server, ServerLimits
from rivc.split.transport import Address, parse_address
from rivc.split.wire import MIN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rivc.neurochip import Backend
    from rivc.split.folder import SplitFolder

MAX_KEY: Final = 4096
RECORDED: Final = 200  # frames that a fleet sends over and over


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


def new_server(folder: SplitFolder, key: bytes, limits: ServerLimits, chip: Backend) -> Server:
    """Return a server whose half is loaded onto a chip."""
    chip.load(folder.split.server)
    chip.infer(np.zeros((1, *folder.split.shape), np.uint8))
    folder.ladder.warm_up()
    return Server(folder.ladder, lambda x: chip.infer(x).readout, folder.identity, key, limits)


def drive_one(folder: SplitFolder, words: SplitWords) -> tuple[SplitDriven, Server | None]:
    """Drive a robot that stands in the task of the split, over a link.

    Raises:
        UsageError: if the words do not go together.
        RivcError: anything that robots, chips and links may raise.
    """
    trace = load_trace(words.link) if words.link else None
    _check(words, trace)
    key = read_key(words.key)
    server = None
    if words.connect is None:
        server = new_server(folder, key, ServerLimits(), load_backend(EMULATOR))
    with ExitStack() as stack:
        address = stack.enter_context(_address(words, trace)) if words.connect else None
        robot = stack.enter_context(closing(SplitRobot(folder, words, key)))
        with ending_gently():
            return robot.drive(robot.way(server, address, trace)), server


def drive_many(folder: SplitFolder, words: SplitWords) -> FleetReport:
    """Drive many robots that send what a recorded episode emitted.

    Raises:
        UsageError: if the words do not go together.
        LinkError: if the server does not let them in.
    """
    trace = load_trace(words.link) if words.link else None
    _check(words, trace)
    rate_hz = words.rate or _rate_hz(folder)
    plan = FleetPlan(
        robots=words.robots or 1,
        rate_hz=rate_hz,
        seconds=words.seconds,
        deadline_ms=words.deadline_ms or 2000 / rate_hz,
        seed=words.seed,
    )
    episode, key = record_episode(folder, words.seed), read_key(words.key)
    gc.freeze()  # a collection of all that a simulator brings takes longer than a slot
    with _address(words, trace) as address:
        return drive_fleet(folder, episode, address, plan, key)


def _rate_hz(folder: SplitFolder) -> float:
    """Frames a second of the task of a split."""
    config = config_of(folder)
    if config is None:
        return DEFAULT_RATE_HZ
    from rivc.train.task_world import known_rate_hz

    return known_rate_hz(config) or DEFAULT_RATE_HZ


def record_episode(folder: SplitFolder, seed: int, frames: int = RECORDED) -> Episode:
    """Return what both halves of a split emit in its task, or in noise if there is none."""
    task, split = open_task(folder, seed), folder.split
    world = task or NoiseWorld(split.edge.encoding.shape, seed)
    actions = actions_of(folder, task)
    edge, server = load_backend("emulator"), load_backend("emulator")
    edge.load(split.edge)
    server.load(split.server)
    counts, readouts = [], []
    with closing(task) if task else nullcontext():
        for _ in range(frames):
            x = split.edge.encode(world.observe())
            counts.append(split.counts(edge.infer(x[None]).readout)[0])
            readouts.append(server.infer(counts[-1][None]).readout)
            world.act(actions.command(greedy(readouts[-1])[0]))
    return Episode(np.stack(counts), np.concatenate(readouts).reshape(frames, -1))


def _check(words: SplitWords, trace: LinkTrace | None) -> None:
    if words.simulated and words.connect:
        raise UsageError("--simulated has a server of its own; leave out --connect")
    if trace and not words.simulated and not (words.connect or "").startswith("udp://"):
        raise UsageError("--link needs --simulated, or --connect udp://HOST:PORT")
    if words.robots is None:
        return
    if words.connect is None:
        raise UsageError("--robots N share a server: start `rivc split serve`, then --connect")
    given = words.fallback, words.faults, words.wait_ms, words.backend, words.backend_options
    if any(word is not None for word in given):
        raise UsageError(
            "--robots N play a recording; leave out --fallback, --faults, --wait-ms, --backend"
        )


@contextmanager
def _address(words: SplitWords, trace: LinkTrace | None) -> Iterator[Address]:
    """Where to send: to the server, or to a poor link in front of it."""
    address = parse_address(words.connect or "")
    if trace is None:
        yield address
        return
    proxy = Proxy(address, trace, words.seed)
    with listening_in_a_thread(proxy, Address("udp", "127.0.0.1", 0)) as where:
        yield where
    if proxy.ignored:
        note(f"{proxy.ignored} datagrams were more than the link of --link holds; they were lost")
