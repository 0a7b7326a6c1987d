"""Everything that a run holds while it runs, and the two ways to get there: warm up or restore."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import torch

from rivc.errors import ConfigError, FailedError, in_one_line
from rivc.nets.calibrate import calibrate
from rivc.neurochip import load_backend
from rivc.neurochip.backend import require_fit
from rivc.neurochip.guard import Guarded, StandIn
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import convert
from rivc.train.checkpoint import load_checkpoint, require_savable, save_checkpoint
from rivc.train.collect import Collector, NetworkSampler
from rivc.train.distill import DistillInfo, load_teacher
from rivc.train.learner import UpdateInfo
from rivc.train.learners import make_learner
from rivc.train.replay import Replay, require_room
from rivc.train.setup import (
    make_encoding,
    make_network,
    make_tasks,
    make_training_tasks,
    profile_name,
)
from rivc.train.wandb import require_wandb
from rivc.train.worlds import Worlds, check_expert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from rivc.envs.factory import Task
    from rivc.neurochip import Backend
    from rivc.snn_convert import SpikingProgram
    from rivc.train.collect import Sampler, Surroundings
    from rivc.train.config import Config
    from rivc.train.learners import AnyLearner

RNG_STREAMS: Final = ("explore", "replay", "states")
CALIBRATION_STATES: Final = 128


@dataclass
class Progress:
    """Counters of a run; all of them are part of every checkpoint.

    Attributes:
        env_steps: made so far, warm-up included.
        conversions: of the network into a program.
        audited_states: on which all forms were compared.
        best_return: of the evaluations so far.
        gather_until: env steps that end the gathering of the present iteration.
        backend_failures: chips that failed and were replaced by the emulator.
        emulated_env_steps: in which the emulator stood in for the chip.
        refill_env_steps: in which a replay that was not kept filled again, without updates.
        updates_before: that the learner had taken when these counters began.
        records: lines of the metrics file.
        finished: nothing is left to do.
        done: how often each cadence has come round.
        losses: of the newest update, by the name of their metric.
        eval_return: of the newest evaluation; None before the first.
        eval_env_steps: when it was made.
    """

    env_steps: int = 0
    conversions: int = 0
    audited_states: int = 0
    best_return: float = -np.inf
    gather_until: int = 0
    backend_failures: int = 0
    emulated_env_steps: int = 0
    refill_env_steps: int = 0
    updates_before: int = 0
    records: int = 0
    finished: bool = False
    done: dict[str, int] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    eval_return: float | None = None
    eval_env_steps: int | None = None

    def capture(self) -> dict[str, Any]:
        """Return what `restored` makes it of, as JSON takes it."""
        return {**asdict(self), "best_return": self.best_return.hex()}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """Return what was captured; a checkpoint sorts names, a record has them as they came."""
        best, known = float.fromhex(state["best_return"]), state["losses"]
        names = (*UpdateInfo._fields, *DistillInfo._fields)
        losses = {name: known[name] for name in names if name in known}
        return cls(**{**state, "best_return": best, "losses": losses})

    @property
    def is_gathering(self) -> bool:
        """True between two samples of one iteration: the run was stopped there by its chip."""
        return self.env_steps < self.gather_until

    def due(self, what: str, every: int) -> bool:
        """Tell once for every multiple of `every` env steps that `what` is due."""
        passed = self.env_steps // every
        due = self.done.get(what, 0) < passed
        self.done[what] = passed
        return due


@dataclass
class Session:
    """A run in memory.

    Attributes:
        config: every setting.
        chip: the back end that gathers the samples.
        learner: networks and optimizer.
        collector: environments, exploration and the slots in play.
        rng: one generator a purpose.
        progress: counters.
    """

    config: Config
    chip: Backend
    learner: AnyLearner
    collector: Collector
    rng: dict[str, np.random.Generator]
    progress: Progress

    @property
    def replay(self) -> Replay:
        """The replay, which the collector fills."""
        return self.collector.replay

    def make_sampler(self) -> Sampler:
        """Return what acts until the next update: the chip, or the network if so configured."""
        is_network = self.config.train.sampler == "network"
        return NetworkSampler(self.learner.net) if is_network else self.chip

    @property
    def is_emulated(self) -> bool:
        """True if the emulator stands in for a chip that failed."""
        return isinstance(self.chip, StandIn) and self.chip.is_emulated

    def states(self, purpose: str, count: int) -> NDArray[np.uint8]:
        """Draw replayed states, uint8, [count, *shape], with the generator of a purpose."""
        return self.replay.observations(self.replay.draw(self.rng[purpose], count))

    def calibrate(self) -> None:
        """Fit the network's activation steps to replayed states."""
        calibrate(self.learner.net, torch.from_numpy(self.states("states", CALIBRATION_STATES)))

    @contextmanager
    def undone_on_failure(self) -> Iterator[None]:
        """Take counters and generators back to here if the work within fails.

        What is repeated after a resume then draws the same numbers and counts once.
        """
        progress = vars(self.progress) | {"done": dict(self.progress.done)}
        rng = {name: rng.bit_generator.state for name, rng in self.rng.items()}
        try:
            yield
        except FailedError:
            vars(self.progress).update(progress)
            for name, state in rng.items():
                self.rng[name].bit_generator.state = state
            raise

    def save(self, folder: Path, program: SpikingProgram) -> Path:
        """Write a checkpoint of everything; `program` is what the network is saved as beside it."""
        state = {
            "program_sha256": program.sha256,
            "env_steps": self.progress.env_steps,
            "progress": self.progress.capture(),
            "learner": self.learner.state(),
            "collector": self.collector.capture(),
            "rng": {name: rng.bit_generator.state for name, rng in self.rng.items()},
            "encoding": asdict(self.learner.net.encoding),
        }
        return save_checkpoint(
            folder, state, self.replay, first_open=int(self.collector.slots.min())
        )

    def close(self) -> None:
        """Let go of chip and environments."""
        self.chip.close()
        self.collector.worlds.close()


def check(config: Config) -> None:
    """Raise what stands against a run before a single step is made or a file written.

    Raises:
        ConfigError, MissingError: if the configuration asks for what is not there.
        ChipLimitError: if the network does not fit the chip.
    """
    if config.log.wandb is not None:
        require_wandb()
    require_room(config.train.replay_capacity, config.env.count)
    with ExitStack() as stack:
        chip = load_backend(config.backend.name, **config.backend.options)
        stack.callback(chip.close)
        [task] = make_tasks(config, 1)
        stack.callback(task.env.close)
        if config.imitates or config.explore.expert_start:
            check_expert(task)
        untrained(config, chip, task)


def begin(config: Config) -> Session:
    """Start a run: act at random, then fix input ranges and activation steps by what was seen."""
    with _equipment(config) as equipment:
        return _begun(config, *equipment)


def _begun(
    config: Config, chip: Backend, tasks: list[Task], rng: dict[str, np.random.Generator]
) -> Session:
    def fix(seen: NDArray[Any]) -> InputEncoding:
        if config.distill.parent is not None:
            return load_teacher(config).program.encoding
        return make_encoding(tasks[0], seen, profile_name(config, chip.profile))

    session = warmed_up(config, chip, tasks[0], Worlds(tasks, config.seed), rng, fix)
    require_savable({"collector": session.collector.capture()})  # now, not at the first checkpoint
    return session


def warmed_up(
    config: Config,
    chip: Backend,
    task: Task,
    worlds: Surroundings,
    rng: dict[str, np.random.Generator],
    fix: Callable[[NDArray[Any]], InputEncoding],
) -> Session:
    """Act at random in some worlds, and return the session that begins with what was seen.

    Args:
        config: every setting.
        chip: the back end.
        task: says what the worlds take and show.
        worlds: copies of the task.
        rng: one generator a purpose; see `generators`.
        fix: from observations of the warm-up, [N, *shape], to how they become counts.
    """
    copies, warm_up = len(worlds.observation), config.train.warmup_env_steps
    require_room(config.train.replay_capacity, copies)
    raw = Replay(
        2 * warm_up + 4 * copies,
        task.observation_shape,
        task.observation_dtype,
        task.action_layout[0],
    )
    collector = Collector(worlds, raw, rng["explore"], imitates=config.imitates)
    warmed = collector.warm_up(warm_up, task.action_layout, config.explore.expert_start)
    progress = Progress(env_steps=warmed)
    encoding = fix(raw.rows(raw.tail, raw.head)["observation"])
    learner = _learner(config, chip, task, encoding)
    collector.replay = raw.encoded(encoding.encode, config.train.replay_capacity)
    session = Session(config, chip, learner, collector, rng, progress)
    if config.distill.parent is None:  # a student begins as its teacher
        session.calibrate()
        learner.sync_target(blend=1.0)
    return session


def restore(config: Config, checkpoint: Path) -> Session:
    """Continue a run where a checkpoint stands.

    Raises:
        DamagedFileError: if the checkpoint is not whole.
        ConfigError: if the configuration is of another network, or another task or number of it.
    """
    with _equipment(config) as equipment:
        return _restored(config, checkpoint, *equipment)


def _restored(
    config: Config,
    checkpoint: Path,
    chip: Backend,
    tasks: list[Task],
    rng: dict[str, np.random.Generator],
) -> Session:
    task = tasks[0]
    replay = Replay(
        config.train.replay_capacity, task.observation_shape, np.uint8, task.action_layout[0]
    )
    state = load_checkpoint(checkpoint, replay)
    encoding = InputEncoding(**{key: _tuple(value) for key, value in state["encoding"].items()})
    learner = _learner(config, chip, task, encoding)
    try:
        learner.restore(state["learner"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the run was made with another network ({in_one_line(error)}); undo what was changed "
            "in its config.yaml"
        ) from error
    for name, generator in rng.items():
        generator.bit_generator.state = state["rng"][name]
    progress = Progress.restored(state["progress"])
    if progress.env_steps < config.train.env_steps:  # it was made longer since it ended
        progress.finished = False
    worlds = Worlds(tasks, config.seed)
    worlds.restore(state["collector"]["worlds"])
    collector = Collector.restored(
        worlds,
        replay,
        rng["explore"],
        state["collector"],
        imitates=config.imitates,
    )
    return Session(config, chip, learner, collector, rng, progress)


@contextmanager
def _equipment(
    config: Config,
) -> Iterator[tuple[Backend, list[Task], dict[str, np.random.Generator]]]:
    """Give chip, environments and generators, and close them again if the work within fails."""
    with ExitStack() as stack:
        chip = load_backend(config.backend.name, **config.backend.options)
        guarded = Guarded(chip, config.backend.timeout_s)
        stack.callback(guarded.close)
        tasks = make_training_tasks(config)
        for task in tasks:
            stack.callback(task.env.close)
        yield guarded, tasks, generators(config.seed)
        stack.pop_all()


def generators(seed: int) -> dict[str, np.random.Generator]:
    """Return the generator of each purpose."""
    return {name: np.random.default_rng([seed, i]) for i, name in enumerate(RNG_STREAMS)}


def untrained(config: Config, chip: Backend, task: Task) -> AnyLearner:
    """Return a learner before anything was seen, its input ranges a guess.

    Raises:
        ChipLimitError: if the network does not fit the chip.
    """
    guess = np.zeros((2, *task.observation_shape), task.observation_dtype)
    encoding = make_encoding(task, guess, profile_name(config, chip.profile))
    learner = _learner(config, chip, task, encoding)
    require_fit(chip, convert(learner.net))
    return learner


def _learner(config: Config, chip: Backend, task: Task, encoding: InputEncoding) -> AnyLearner:
    return make_learner(
        config,
        make_network(config, encoding, task.action_layout, profile_name(config, chip.profile)),
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
