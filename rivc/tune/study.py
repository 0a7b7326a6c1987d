"""A study: trials of a configuration, one after the other, in a folder that can be gone on with.

::

    study.yaml     what is tuned: the configuration and the search space
    journal.log    Optuna's record of the trials, one JSON object a line
    trials/0007/   the run of a trial, as any run; pruned ones as far as they came
    best.yaml      what differs from the defaults in the best trial so far; `rivc train` takes it

A trial that was stopped or killed goes on from its newest checkpoint, under a new number.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import yaml

from rivc.errors import (
    BackendError,
    ConfigError,
    DamagedFileError,
    FailedError,
    MissingError,
    UsageError,
    in_one_line,
)
from rivc.snn_convert.storage import read_plain, write_atomically
from rivc.train import Trainer
from rivc.train.config import overridden
from rivc.train.lock import alone
from rivc.train.record import known_metrics, plain
from rivc.tune.space import chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rivc.train import Config
    from rivc.tune.space import Space

    Train = Callable[[Trainer], object]

STUDY_FILE, JOURNAL, BEST_FILE = "study.yaml", "journal.log", "best.yaml"
RUN: Final = "run"  # the attribute of a trial that says in which folder it trains
ERROR: Final = "error"  # that of one that failed by itself: why
MAX_TRIALS: Final = 10_000
STARTUP_TRIALS: Final = 5  # before any is pruned
_MAX_TEXT: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial that has ended.

    Attributes:
        number: of the study.
        state: "complete", "pruned" or "fail".
        value: mean return of its evaluations in the second half; None unless it is complete.
        settings: by dotted key.
        error: why it failed; None unless it did.
    """

    number: int
    state: str
    value: float | None
    settings: dict[str, Any]
    error: str | None = None


class Study:
    """Trials of one configuration in one folder.

    Args:
        config: what is tuned; the seed of every trial is its own, and of the search.
        space: what is searched.
        folder: new, or one that holds this very study.

    Attributes:
        stop_requested: no further trial begins; `stop` sets it.

    Raises:
        MissingError: if Optuna is not installed.
        UsageError: if the folder holds another study.
        DamagedFileError: if its record is damaged elsewhere than at its end.
    """

    def __init__(self, config: Config, space: Space, folder: Path) -> None:
        if find_spec("optuna") is None:
            raise MissingError("rivc tune needs Optuna: pip install 'rivc[tune]'")
        self.config, self.space, self.folder = config, space, folder
        _note(folder, {"config": config.model_dump(mode="json"), "space": space.to_tree()})
        self._study = _open(folder, config)
        self._trainer: Trainer | None = None
        self.stop_requested = False

    def run(
        self,
        trials: int,
        observe: Callable[[Trial], None] = lambda _: None,
        train: Train = lambda trainer: trainer.run(),
    ) -> None:
        """Make trials until there are so many that ended, or a stop is asked for.

        Args:
            trials: those that failed or were pruned count; those that were interrupted do not.
            observe: called with each that ends.
            train: runs the trainer of each; there a progress display has its place.

        Raises:
            UsageError: if another process does the study, the folder cannot be written, or a trial
                cannot begin.
        """
        if not 1 <= trials <= MAX_TRIALS:
            raise UsageError(f"{trials} trials are outside 1..{MAX_TRIALS:,}")
        with alone(self.folder, "doing the study in"):
            self._take_up_interrupted()
            self._write_best()
            while not self.stop_requested and (made := len(self.ended())) < trials:
                self._study.sampler = _sampler(self.config.seed, made)
                trial = self._perform(self._study.ask(), train)
                if trial is None:
                    return
                observe(trial)
                self._write_best()

    def stop(self) -> None:
        """Stop gently: the trial at work writes a checkpoint, from which the study goes on."""
        self.stop_requested = True
        if self._trainer is not None:
            self._trainer.stop_requested = True

    def ended(self) -> list[Trial]:
        """Return the trials that ended by themselves, in their order."""
        return [_told(t) for t in self._study.trials if t.state.is_finished() and not _is_gone(t)]

    def best(self) -> Trial | None:
        """Return the best trial that is complete, or None."""
        complete = [trial for trial in self.ended() if trial.value is not None]
        return max(complete, key=lambda trial: trial.value or 0.0, default=None)

    def best_config(self) -> str:
        """Return the best trial's configuration as YAML, as far as it differs from the defaults.

        Raises:
            FailedError: if no trial is complete.
        """
        best = self.best()
        if best is None:
            raise FailedError(f"no trial of {self.folder} is complete; make more of them")
        found = overridden(self.config, best.settings)
        tree = found.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(tree, sort_keys=False)

    def _write_best(self) -> None:
        if self.best() is not None:
            write_atomically(self.folder / BEST_FILE, self.best_config().encode())

    def _take_up_interrupted(self) -> None:
        """Let trials that nobody works on any more begin again where they were.

        The new one is there before the old one ends: killed in between, the next call finds both.
        """
        from optuna.trial import TrialState

        waiting = {
            t.user_attrs.get(RUN) for t in self._study.get_trials(states=(TrialState.WAITING,))
        }
        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            if _is_under_way(trial) and trial.user_attrs[RUN] not in waiting:
                self._study.enqueue_trial(_drawn(trial), user_attrs={RUN: trial.user_attrs[RUN]})
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _perform(self, trial: Any, train: Train) -> Trial | None:
        """Train with what a trial chooses, and tell what came of it; None if it was stopped."""
        settings = self.space.draw(trial)
        run = str(trial.user_attrs.get(RUN, _run_of(trial.number)))
        trial.set_user_attr(RUN, run)  # all is drawn: from here on it can be taken up
        try:
            trainer = self._make_trainer(settings, run)
            watch = _Watch(trial, trainer, self.config.eval.every_env_steps)
            watch.follow()
            train(trainer)
            outcome = watch.outcome()
        except BackendError:  # the trial goes on when its chip is back
            raise
        except FailedError as error:
            self._tell(trial, "FAIL", error=error)
        except ConfigError as error:  # drawn again, the same settings would be refused for ever
            self._tell(trial, "FAIL", error=error)
            raise
        except DamagedFileError:  # nor could it go on from there
            self._tell(trial, "FAIL")
            raise
        else:
            if outcome is None:
                return None
            self._tell(trial, *outcome)
        return _told(self._study.trials[trial.number])

    def _make_trainer(self, settings: dict[str, Any], run: str) -> Trainer:
        """Return what trains a trial or goes on with it, and let `stop` reach it."""
        found = overridden(self.config, settings)
        self._trainer = trainer = Trainer.begin_or_resume(found, self.folder / _checked(run))
        if self.stop_requested:  # while it was made
            trainer.stop_requested = True
        return trainer

    def _tell(
        self, trial: Any, state: str, value: float | None = None, error: Exception | None = None
    ) -> None:
        """Record how a trial ended; without an error, one that failed counts as interrupted."""
        from optuna.trial import TrialState

        if error is not None:
            trial.set_user_attr(ERROR, str(error))
        self._study.tell(trial, value, TrialState[state])


class _Watch:
    """Reports the evaluations of a run to Optuna, and stops it if it is told to."""

    def __init__(self, trial: Any, trainer: Trainer, every: int) -> None:
        self._trial, self._trainer, self._every = trial, trainer, every
        self.values: dict[int, float] = {}
        self.is_pruned = False

    def follow(self) -> None:
        """Take what a run that goes on has recorded, and watch it from here.

        What it recorded last may be what stops it: it was killed before that was asked, or done.
        """
        for record in known_metrics(self._trainer.folder.path):
            self(record)
        self._trainer.observers.append(self)

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Take a record, and stop the run if it falls behind by it; called by the trainer."""
        if self._take(record) and self._trial.should_prune():
            self.is_pruned = self._trainer.stop_requested = True

    def outcome(self) -> tuple[str, float | None] | None:
        """Return how the trial ended, and its value; None if it was stopped on the way.

        Raises:
            FailedError: if it has no value.
        """
        if self.is_pruned:
            return "PRUNED", None
        if not self._trainer.session.progress.finished:
            return None
        return "COMPLETE", late_mean(self.values)

    def _take(self, record: Mapping[str, Any]) -> bool:
        """Report the evaluation of a record, and tell whether it is a new one.

        What is not finite is left out and the rest is rounded, as in the metrics that a run which
        goes on is taken up by.
        """
        index, value = record["env_steps"] // self._every, plain(record.get("eval_return"))
        if value is None or index in self.values:
            return False
        self.values[index] = value
        self._trial.report(value, index)
        return True


def late_mean(values: Mapping[int, float]) -> float:
    """Return the mean of the evaluations in the second half: neither luck of one, nor the start.

    Example:
        >>> late_mean({1: 10.0, 2: 20.0, 3: 30.0, 4: 50.0})
        40.0

    Raises:
        FailedError: if there are none.
    """
    if not values:
        raise FailedError("no evaluation gave a number")
    last = max(values)
    late = [value for index, value in values.items() if 2 * index > last or index == last]
    return sum(late) / len(late)


def _run_of(number: int) -> str:
    return f"trials/{number:04d}"


def _checked(run: str) -> str:
    """Refuse a folder outside of the study, which only an altered journal names."""
    parts = Path(run).parts
    if len(parts) != 2 or parts[0] != "trials" or not parts[1].isdecimal():
        raise DamagedFileError(f"{JOURNAL} was altered: it names {run!r} as the run of a trial")
    return run


def _told(trial: Any) -> Trial:
    state = trial.state.name.lower()
    value = trial.value if state == "complete" else None
    return Trial(trial.number, state, value, chosen(trial.params), trial.user_attrs.get(ERROR))


def _is_under_way(trial: Any) -> bool:
    """True if a trial has something to go on with.

    One that was killed before it knew its run is drawn again, the same; one that was killed after
    its error was noted has failed.
    """
    return RUN in trial.user_attrs and ERROR not in trial.user_attrs


def _drawn(trial: Any) -> dict[str, Any]:
    """What was drawn for a trial; one that was taken up before may not have asked for all of it."""
    return dict(trial.system_attrs.get("fixed_params", trial.params))


def _is_gone(trial: Any) -> bool:
    """True of a trial that was interrupted: it failed without an error."""
    return trial.state.name == "FAIL" and ERROR not in trial.user_attrs


def _open(folder: Path, config: Config) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    steps = config.train.env_steps // config.eval.every_env_steps
    pruner = optuna.pruners.MedianPruner(STARTUP_TRIALS, n_warmup_steps=steps // 4)
    _mend(folder)
    try:
        return optuna.create_study(
            study_name="rivc",
            storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
            pruner=pruner,
            direction="maximize",
            load_if_exists=True,
        )
    except ValueError as error:  # a line that is no JSON
        raise DamagedFileError(
            f"{folder / JOURNAL} is damaged: {in_one_line(error)}; choose another --study"
        ) from error


def _mend(folder: Path) -> None:
    """Cut off a last line that a crash left half; while somebody does the study, it is theirs."""
    journal = folder / JOURNAL
    if not journal.exists():
        return
    with suppress(UsageError), alone(folder, "doing the study in"):
        written = journal.read_bytes()
        os.truncate(journal, written.rfind(b"\n") + 1)


def _sampler(seed: int, made: int) -> Any:
    """A sampler that draws the same after a restart as it would have drawn without.

    Args:
        seed: of the study.
        made: trials that ended; those that were interrupted are no part of an undisturbed study.
    """
    import optuna

    drawn = np.random.SeedSequence([seed, made]).generate_state(1)
    return optuna.samplers.TPESampler(seed=int(drawn[0]))


def _note(folder: Path, tree: dict[str, Any]) -> None:
    """Write what is tuned, or see that it is what was tuned here before."""
    path, text = folder / STUDY_FILE, yaml.safe_dump(tree, sort_keys=False).encode()
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error
        write_atomically(path, text)
    elif read_plain(path, _MAX_TEXT) != text:
        raise UsageError(f"{folder} holds a study of other settings; choose another --study")
