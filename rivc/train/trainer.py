"""The loop of Robust Iterative Value Conversion, from top to bottom.

Convert the network, load it on the chip, gather samples through the chip, learn from the replay,
let the target network follow; audit, evaluate, record and checkpoint on the way.

Reference:
    Kadokawa et al. (2024), Robust iterative value conversion: deep reinforcement learning for
    neurochip-driven edge robots, arXiv 2408.13018.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import BackendError, DivergedError, FailedError
from rivc.neurochip.guard import StandIn
from rivc.snn_convert import convert
from rivc.snn_convert.program import greedy
from rivc.train import session as sessions
from rivc.train.checkpoint import latest_checkpoint, recover
from rivc.train.distill import is_settled
from rivc.train.evaluate import Score, evaluation_seeds, play
from rivc.train.explore import epsilon_at
from rivc.train.loop import Loop
from rivc.train.measure import measure
from rivc.train.record import Recorder
from rivc.train.run import RunFolder, new_run_path
from rivc.train.setup import make_tasks
from rivc.train.threads import one_thread
from rivc.train.wandb import WandbSink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from rivc.envs.factory import Task
    from rivc.train.config import Config
    from rivc.train.session import Session

    Observer = Callable[[dict[str, Any]], None]

MEASURED_STATES: Final = 128
_log = logging.getLogger(__name__)


class Trainer:
    """One run, from its configuration to its programs.

    Args:
        config: every setting.
        run: the folder to write; by default a new one below ``runs``.
        observers: called with each record, for progress displays and the like.

    Attributes:
        folder: of the run.
        at_end: called when a run that began ends, however it does, with chip and tasks still open.
        stop_requested: set it to stop after the present iteration, with a checkpoint.

    Example:
        >>> from rivc.train import Trainer, load_config
        >>> Trainer(load_config("quickstart", {"train.env_steps": 2000})).run()  # doctest: +SKIP
    """

    session: Session
    loop: Loop
    recorder: Recorder
    evaluation_tasks: list[Task]
    last_score: Score | None
    _last_look: tuple[float, int, int]  # seconds, env steps, updates

    def __init__(
        self, config: Config, run: Path | None = None, observers: Sequence[Observer] = ()
    ) -> None:
        sessions.check(config)  # so that a mistake leaves no folder behind
        self._hold(config, RunFolder.create(run or new_run_path(config), config), observers)

    @classmethod
    def resume(cls, run: Path, observers: Sequence[Observer] = ()) -> Trainer:
        """Return a trainer that continues a run from its newest checkpoint, or starts it again."""
        trainer = cls.__new__(cls)
        folder = RunFolder.open(run)
        trainer._hold(folder.config(), folder, observers)
        return trainer

    @classmethod
    def begin_or_resume(
        cls, config: Config, run: Path, observers: Sequence[Observer] = ()
    ) -> Trainer:
        """Return a trainer that continues the run of a folder, or begins it if there is none."""
        if (run / "config.yaml").exists():
            return cls.resume(run, observers)
        return cls(config, run, observers)

    def _hold(self, config: Config, folder: RunFolder, observers: Sequence[Observer]) -> None:
        self.config, self.folder, self.observers = config, folder, list(observers)
        self.at_end: list[Callable[[], None]] = []
        self.stop_requested = False

    def run(self) -> Score | None:
        """Train to the end.

        Returns:
            The last evaluation on the chip; None if there was nothing to do or it was stopped.

        Raises:
            DivergedError, BackendError, MismatchError: after a checkpoint was written.
            FailedError: if an environment fails within a step; the last checkpoint stands.
            UsageError: if another process is writing the run.
        """
        with self.folder.lock(), one_thread(), ExitStack() as stack:
            self._set_up(stack)
            for end in reversed(self.at_end):
                stack.callback(end)
            try:
                return self._loop()
            except BackendError as error:
                self._checkpoint()
                env_steps = self.session.progress.env_steps
                self.folder.note_failure(env_steps, error)
                way_on = f"saved at {env_steps:,} env steps; rivc resume {self.folder.path} goes on"
                raise BackendError(f"{error}; {way_on}") from error
            except FailedError as error:
                self.folder.note_failure(self.session.progress.env_steps, error)
                if self.session.collector.is_whole:
                    with suppress(DivergedError):  # without a program it is not worth saving
                        self._checkpoint()
                raise

    # -- the loop ---------------------------------------------------------------------------

    def _loop(self) -> Score | None:
        progress = self.session.progress
        if progress.is_gathering:  # a chip that failed stopped the run between two samples
            self.session.chip.load(self.loop.program)
        while progress.is_gathering or progress.env_steps < self.config.train.env_steps:
            if not progress.is_gathering:
                if self.stop_requested:
                    self._checkpoint()
                    return None
                self._begin_iteration()
            while progress.is_gathering:
                self.loop.gather()
            self.loop.learn()
            self.loop.sync_target()
            self._checkpoint_if_due()
        return self._finish()

    def _begin_iteration(self) -> None:
        """Convert, and look at what was learnt, if it is time."""
        progress = self.session.progress
        with self.session.undone_on_failure():
            self.loop.convert()
            self._evaluate_and_record()
        progress.gather_until = progress.env_steps + self.config.train.env_steps_per_conversion

    def _evaluate_and_record(self) -> None:
        progress = self.session.progress
        if progress.due("evaluation", self.config.eval.every_env_steps):
            self._evaluate()
        if progress.due("record", self.config.log.every_env_steps):
            self._record()

    def _checkpoint_if_due(self) -> None:
        if self.session.progress.due("checkpoint", self.config.checkpoint.every_env_steps):
            self._checkpoint()

    def _finish(self) -> Score | None:
        """Look once more at what was learnt, and leave it all behind."""
        if not self.session.progress.finished:
            with self.session.undone_on_failure():
                self.loop.convert()
                self._evaluate()
                self._record()
            self.session.progress.finished = True
            self._checkpoint()
        self.folder.save_program(self.loop.program)
        return self.last_score

    # -- on the way -------------------------------------------------------------------------

    def _evaluate(self) -> None:
        """Play greedy episodes, and keep the program if none was better."""
        seeds = evaluation_seeds(self.config.seed, self.config.eval.episodes)
        self.last_score = play(self.evaluation_tasks, self._act, seeds)
        progress = self.session.progress
        progress.eval_return = self.last_score.return_mean
        progress.eval_env_steps = progress.env_steps
        if not is_settled(self.config, progress.env_steps):
            return
        if self.last_score.return_mean >= progress.best_return:
            progress.best_return = self.last_score.return_mean
            self.folder.save_best(self.loop.program, self.session.learner.net.state_dict())

    def _act(self, observation: NDArray[Any]) -> NDArray[np.int64]:
        """The sampler's greedy actions."""
        return greedy(self.loop.sampler.infer(self.loop.program.encode(observation)).readout)

    def _record(self) -> None:
        """Write one record and show it to the observers."""
        policy = self._policy()  # asks the chip, so it comes before anything is taken
        tally = self.session.collector.take_tally()
        record = self._counters() | self._rates() | tally | policy
        self.recorder.write(record)
        for observe in self.observers:
            observe(record)

    def _counters(self) -> dict[str, Any]:
        progress = self.session.progress
        counters: dict[str, Any] = {
            "env_steps": progress.env_steps,
            "updates": self.session.learner.updates,
            "conversions": progress.conversions,
            "audited_states": progress.audited_states,
            "backend_failures": progress.backend_failures,
            "emulated_env_steps": progress.emulated_env_steps,
        }
        if self.config.explore.kind == "epsilon":
            counters["epsilon"] = epsilon_at(self.config.explore, progress.env_steps)
        return counters

    def _rates(self) -> dict[str, Any]:
        """How fast it went since the last record."""
        now, env_steps, updates = (
            time.perf_counter(),
            self.session.progress.env_steps,
            self.session.learner.updates,
        )
        then, env_steps_then, updates_then = self._last_look
        self._last_look = now, env_steps, updates
        seconds = max(now - then, 1e-9)
        return {
            "env_steps_per_s": (env_steps - env_steps_then) / seconds,
            "updates_per_s": (updates - updates_then) / seconds,
        }

    def _policy(self) -> dict[str, Any]:
        """What the present policy is like."""
        session = self.session
        counts = session.states("states", MEASURED_STATES)
        metrics: dict[str, Any] = {
            **measure(
                session.learner.net,
                self.loop.program,
                session.chip,
                counts,
                self.config.reward_scale,
                self.config.train.certify_noise,
            )
        }
        progress = session.progress
        metrics |= progress.losses
        if progress.eval_return is not None:
            metrics |= {
                "eval_return": progress.eval_return,
                "eval_env_steps": progress.eval_env_steps,
                "best_return": progress.best_return,
            }
        return metrics

    # -- beginning and end ------------------------------------------------------------------

    def _set_up(self, stack: ExitStack) -> None:
        """Open everything that the run needs; the stack closes it."""
        recover(self.folder.checkpoints)
        checkpoint = latest_checkpoint(self.folder.checkpoints)
        if checkpoint is None:
            self.session = sessions.begin(self.config)
        else:
            self.session = sessions.restore(self.config, checkpoint)
        session = self.session
        stack.callback(session.close)
        if self.config.backend.on_failure == "emulator":
            session.chip = StandIn(session.chip, self._go_on_in_the_emulator)
        self.loop = Loop(session)
        self.last_score = None
        self.evaluation_tasks = make_tasks(
            self.config, min(self.config.env.count, self.config.eval.episodes)
        )
        for task in self.evaluation_tasks:
            stack.callback(task.env.close)
        self.recorder = Recorder(self.folder.path, keep=session.progress.records)
        stack.callback(self.recorder.close)
        if self.config.log.wandb is not None:
            sink = stack.enter_context(WandbSink(self.config.log.wandb, self.folder))
            self.observers.append(sink)
            stack.callback(self.observers.remove, sink)
        self._last_look = time.perf_counter(), session.progress.env_steps, session.learner.updates

    def _checkpoint(self) -> None:
        """Save everything needed to go on, and the network that is saved as the newest program."""
        program = convert(self.session.learner.net)  # fails before anything is written
        self.recorder.sync()
        self.session.progress.records = self.recorder.count
        self.session.save(self.folder.checkpoints, program)
        self.folder.save_program(program)

    def _go_on_in_the_emulator(self, error: BackendError) -> None:
        """Tell, once, that the chip failed and the emulator stands in."""
        _log.warning("%s; going on in the emulator, in the same integers", error)
        self.session.progress.backend_failures += 1
        self.folder.note_failure(self.session.progress.env_steps, error)
