"""From the words of `rivc drive` to a robot, a policy and a clock, and back to safety."""

from __future__ import annotations

import signal
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import current_thread, main_thread
from time import monotonic, perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.cli.output import note, refuse_policy
from rivc.errors import MismatchError, MissingError, UsageError
from rivc.neurochip import load_backend
from rivc.neurochip.export import is_export, load_export
from rivc.neurochip.export.folder import read_manifest
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
    load_robot,
)
from rivc.robot.clock import MILLISECOND_NS
from rivc.robot.faults import read_yaml
from rivc.robot.rate import MAX_RATE_HZ, MIN_RATE_HZ, period_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

    from rivc.neurochip import Backend
    from rivc.robot import Clock, CommandLimits, RobotEnv
    from rivc.snn_convert import SpikingProgram
    from rivc.train.config import Config
    from rivc.train.policy import Which
    from rivc.train.task_world import TaskWorld

DEFAULT_RATE_HZ: Final = 10.0
GRACE_S: Final = 2.0  # that an ending keeps others away, so that the last stop comes to its end
_ENDINGS: Final = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, a stopped service, a lost connection


@dataclass(frozen=True)
class Words:
    """What was asked for; the options of the verb."""

    robot: str
    options: Path | None
    rate: float | None
    seconds: float
    simulated: bool
    faults: str | None
    watchdog_ms: float | None
    decision_ms: float | None
    recovery: int
    backend: str
    backend_options: Path | None
    seed: int


@dataclass(frozen=True)
class Driven:
    """What came of it.

    Attributes:
        report: of the drive.
        settings: of the drive.
        program: that drove.
        world: of the mock robot, in words; empty for another robot.
        task: the same, if it is a task.
        rest_action: what the task takes a robot at rest for; None if it can rest.
    """

    report: DriveReport
    settings: DriveSettings
    program: SpikingProgram
    world: str
    task: TaskWorld | None
    rest_action: list[int] | None


def drive_folder(folder: Path, which: Which | None, words: Words) -> Driven:
    """Drive a robot with the program of a run or an export.

    Raises:
        UsageError: if the words do not go together.
        RivcError: anything that robot, chip and program may raise.
    """
    _check_words(words)
    program, config = open_program(folder, which)
    clock: Clock = SimulatedClock() if words.simulated else MonotonicClock()
    with ending_gently(), ExitStack() as stack:
        task = _open_task(config, words) if words.robot == "mock" else None
        if task is not None:
            stack.callback(task.close)
        known_hz = words.rate or (task.rate_hz if task else _trained_rate_hz(folder, config))
        settings = _settings(words, known_hz or _default_rate_hz(folder))
        robot = _open_robot(words, program, task, clock, settings.rate_hz)
        stack.callback(robot.close)
        chip = open_chip(words.backend, words.backend_options, config)
        stack.callback(chip.close)
        policy = ProgramPolicy(program, chip, robot.actions)
        compute_ns = perf_counter_ns if words.simulated else None
        report = drive(robot, policy, clock, settings, compute_ns)
        rest_action = task.stand_in(np.array(robot.limits.rest)) if task else None
    world = "" if words.robot != "mock" else "random observations"
    world = config.env.id if task and config else world
    return Driven(report, settings, program, world, task, rest_action)


def _check_words(words: Words) -> None:
    if words.robot == "mock":
        if words.options is not None:
            raise UsageError("--options is for a robot of your own or ros2; a mock takes --faults")
        return
    for given, option in ((words.simulated, "--simulated"), (words.faults, "--faults")):
        if given:
            raise UsageError(f"{option} is for --robot mock; {words.robot} has a time of its own")


def open_program(folder: Path, which: Which | None) -> tuple[SpikingProgram, Config | None]:
    """Read the program of an export or a run, and the configuration of the latter.

    Raises:
        MissingError: if the folder is neither.
        MismatchError: if an export holds another program than its manifest says.
        UsageError: if a policy of an export was named, which holds one program.
    """
    if is_export(folder):
        refuse_policy(folder, which)
        export = load_export(folder)
        if export.program.sha256 != export.manifest["program_sha256"]:
            raise MismatchError(f"{folder}: program.npz is not the program of the manifest")
        return export.program, None
    if not (folder / "config.yaml").is_file():
        raise MissingError(f"nothing to drive with at {folder}: neither an export nor a run")
    from rivc.train.policy import load_program
    from rivc.train.run import RunFolder

    run = RunFolder.open(folder)
    return load_program(run, which)[1], run.config()


def open_chip(name: str, options: Path | None, config: Config | None) -> Backend:
    """Load a back end with the options of a file, or with those of the run if it is the run's.

    Raises:
        ConfigError: if there is no such back end, or it does not take them.
        MissingError: if it is not installed.
    """
    if options is not None:
        return load_backend(name, **read_yaml(options))
    return load_backend(name, **(config.backend.options_of(name) if config else {}))


def _open_task(config: Config | None, words: Words) -> TaskWorld | None:
    """The task that a run was trained on; an export knows of none."""
    if config is None:
        return None
    from rivc.train.setup import make_tasks
    from rivc.train.task_world import TaskWorld

    return TaskWorld(make_tasks(config, 1)[0], words.seed)


def _trained_rate_hz(folder: Path, config: Config | None) -> float | None:
    """Decisions a second of the task that a program was trained on, as far as is known here."""
    if config is None:
        origin = read_manifest(folder).get("origin")
        return _rate_of(origin.get("rate_hz")) if isinstance(origin, dict) else None
    from rivc.train.task_world import known_rate_hz

    return known_rate_hz(config)


def _rate_of(told: object) -> float | None:
    """A rate as an export tells it, None if it is none."""
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    return float(told) if MIN_RATE_HZ <= told <= MAX_RATE_HZ else None


def _default_rate_hz(folder: Path) -> float:
    note(f"{folder} does not tell its task's rate: {DEFAULT_RATE_HZ:g} Hz; --rate gives another")
    return DEFAULT_RATE_HZ


def _settings(words: Words, rate_hz: float) -> DriveSettings:
    length_ns, slots = period_ns(rate_hz)
    slot_ms = length_ns / slots / MILLISECOND_NS
    limits = WatchdogLimits(
        words.watchdog_ms or 4 * slot_ms, words.decision_ms or slot_ms, words.recovery
    )
    return DriveSettings(rate_hz, words.seconds, limits)


def _open_robot(
    words: Words,
    program: SpikingProgram,
    task: TaskWorld | None,
    clock: Clock,
    rate_hz: float,
) -> RobotEnv:
    if words.robot != "mock":
        options: dict[str, Any] = read_yaml(words.options) if words.options else {}
        return load_robot(words.robot, **options)
    d, n = program.action_layout
    actions = ActionTable(task.vectors) if task else ActionTable.levels([list(range(n))] * d)
    limits = mock_limits(actions)
    parts = MockParts(actions, limits, rate_hz, load_faults(words.faults or "none"), words.seed)
    world = task or NoiseWorld(program.encoding.shape, words.seed)
    return MockRobot(world, clock, parts)


def mock_limits(actions: ActionTable) -> CommandLimits:
    """Limits that the actions just fit in; at rest is the middle of numbers that are never zero.

    A drone rests at the thrust that carries it.
    """
    low, high = actions.vectors.min(1).sum(0), actions.vectors.max(1).sum(0)
    rest = np.where((low <= 0) & (high >= 0), 0.0, (low + high) / 2)
    return actions.limits(rest=tuple(rest.tolist()))


@contextmanager
def ending_gently() -> Iterator[None]:
    """Let what would end the process at once interrupt it instead, so that the robot is stopped.

    What was ignored before, as SIGHUP is under nohup, is ignored on.
    """
    interrupt = _Interrupt()
    before = {ending: signal.getsignal(ending) for ending in _endings()}
    ours = {e: was for e, was in before.items() if was is not None and was != signal.SIG_IGN}
    for ending in ours:
        signal.signal(ending, interrupt)
    try:
        yield
    finally:
        for ending, handler in ours.items():
            signal.signal(ending, handler)


def _endings() -> list[signal.Signals]:
    """The signals that end a process here; Python hands them to the main thread only."""
    if current_thread() is not main_thread():
        return []
    return [getattr(signal, name) for name in _ENDINGS if hasattr(signal, name)]


class _Interrupt:
    """Raises KeyboardInterrupt, but for a moment after it did: impatience must not cut a stop."""

    def __init__(self) -> None:
        self._until_s = 0.0

    def __call__(self, _: int, __: FrameType | None) -> None:
        if monotonic() >= self._until_s:
            self._until_s = monotonic() + GRACE_S
            raise KeyboardInterrupt
