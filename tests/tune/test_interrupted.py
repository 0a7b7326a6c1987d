"""Studies that are stopped, killed anywhere, and gone on with."""

from __future__ import annotations

import json
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from rivc.errors import BackendError, DivergedError, UsageError
from rivc.train.record import METRICS, read_metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rivc.train import Config, Trainer
    from rivc.tune.space import Space

pytest.importorskip("optuna", reason="pip install 'rivc[tune]'")

from rivc.tune import study as studies
from rivc.tune.space import load_space
from rivc.tune.study import Study
from tests.tune.pretend import Follower, Pretender, stand_in


def killed_at(monkeypatch: pytest.MonkeyPatch, write: int) -> None:
    """Let the process end where it would write to the journal for the so-manieth time."""
    from optuna.storages.journal import JournalFileBackend

    append, writes = JournalFileBackend.append_logs, count(1)

    def append_logs(self: Any, lines: list[Any]) -> None:
        if next(writes) == write:
            raise KeyboardInterrupt
        append(self, lines)

    monkeypatch.setattr(JournalFileBackend, "append_logs", append_logs)


Results = list[tuple[Any, ...]]


class Disturbed:
    """A study whose processes are killed: what has ended, and how."""

    def __init__(self, config: Config, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config, self.space, self.monkeypatch = config, space, monkeypatch

    def killed(self, folder: Path, trials: int, write: int) -> bool:
        """Make trials until a write to the journal; tell whether there were so many."""
        with self.monkeypatch.context() as patch:
            killed_at(patch, write)
            try:
                Study(self.config, self.space, folder).run(trials)
            except KeyboardInterrupt:
                return True
        return False

    def results(self, folder: Path, trials: int) -> Results:
        """Make trials, or what is left of them, to the end."""
        study = Study(self.config, self.space, folder)
        study.run(trials)
        assert all(trial.state.is_finished() for trial in study._study.trials)
        return [(trial.state, trial.value, trial.settings) for trial in study.ended()]

    def everywhere(
        self, path: Path, trials: int, prepare: Callable[[Path], object] = lambda _: None
    ) -> int:
        """Kill a study at each of its writes in turn: it always ends the same; return how many."""
        undisturbed = self.results(path / "undisturbed", trials)
        for write in count(1):
            folder = path / str(write)
            prepare(folder)
            killed = self.killed(folder, trials, write)
            assert self.results(folder, trials) == undisturbed
            if not killed:
                break
        return write


@pytest.fixture
def disturbed(config: Config, space_file: str, monkeypatch: pytest.MonkeyPatch) -> Disturbed:
    stand_in(monkeypatch, Follower)
    return Disturbed(config, load_space(space_file, config), monkeypatch)


def test_a_study_killed_anywhere_ends_as_an_undisturbed_one(
    disturbed: Disturbed, tmp_path: Path
) -> None:
    writes = disturbed.everywhere(tmp_path, 2)
    assert writes > 2 * 8  # of a trial: itself, three settings, its run, three returns, its end


def test_a_trial_is_taken_up_once_wherever_that_is_interrupted(
    disturbed: Disturbed, tmp_path: Path
) -> None:
    def killed_with_a_return(folder: Path) -> None:
        assert disturbed.killed(folder, 1, 8)

    assert disturbed.everywhere(tmp_path, 1, killed_with_a_return) > 8
    for trials in tmp_path.glob("[0-9]*/trials"):
        assert [path.name for path in trials.iterdir()] == ["0000"]


def test_what_is_drawn_by_the_results_so_far_does_not_depend_on_interruptions(
    disturbed: Disturbed, tmp_path: Path
) -> None:
    trials = 13  # the first ten are drawn at random
    for write in (26, 50, 47):
        assert disturbed.killed(tmp_path / "a", trials, write)
    assert disturbed.results(tmp_path / "a", trials) == disturbed.results(tmp_path / "b", trials)


def test_a_study_killed_before_it_wrote_its_best_writes_it_the_next_time(
    disturbed: Disturbed, tmp_path: Path
) -> None:
    disturbed.results(tmp_path, 1)
    (tmp_path / "best.yaml").unlink()
    disturbed.results(tmp_path, 1)
    assert (tmp_path / "best.yaml").exists()


def test_a_trial_killed_while_it_fails_has_failed(
    config: Config, space_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = load_space(space_file, config)
    study = Study(config, space, tmp_path / "s")
    with monkeypatch.context() as patch:

        def fail(_: Config, run: Path) -> Trainer:
            killed_at(patch, 2)  # the error is noted, the end is not
            raise DivergedError("the loss is gone")

        stand_in(patch, fail)
        with pytest.raises(KeyboardInterrupt):
            study.run(1)
    again = Study(config, space, tmp_path / "s")
    again.run(1)
    assert [(trial.number, trial.error) for trial in again.ended()] == [(0, "the loss is gone")]


@pytest.mark.parametrize(
    "error", [BackendError("the chip is gone"), UsageError("cannot write a checkpoint: full")]
)
def test_what_passes_leaves_the_trial_to_be_gone_on_with(
    error: Exception,
    config: Config,
    space_file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[Path] = []

    class Hindered(Pretender):
        def run(self) -> None:
            runs.append(self.folder.path)
            if len(runs) == 1:
                raise error
            super().run()

    stand_in(monkeypatch, lambda _, run: Hindered(run))
    study = Study(config, load_space(space_file, config), tmp_path / "s")
    with pytest.raises(type(error)):
        study.run(2)
    assert not study.ended()
    again = Study(config, load_space(space_file, config), tmp_path / "s")
    again.run(2)
    assert runs[0] == runs[1] != runs[2]
    assert [trial.state for trial in again.ended()] == ["complete"] * 2


def test_an_interrupted_trial_goes_on_in_its_run(
    config: Config, space_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Path] = []

    class Interrupted(Pretender):
        def run(self) -> None:
            runs.append(self.folder.path)
            if len(runs) == 1:
                raise KeyboardInterrupt
            super().run()

    stand_in(monkeypatch, lambda _, run: Interrupted(run))
    space = load_space(space_file, config)
    with pytest.raises(KeyboardInterrupt):
        Study(config, space, tmp_path / "s").run(1)
    again = Study(config, space, tmp_path / "s")
    again.run(1)
    assert runs[0] == runs[1]
    assert [(t.number, t.state, t.value) for t in again.ended()] == [(1, "complete", 2.5)]


@pytest.mark.parametrize("moment", ["making", "training"])
def test_a_stop_leaves_the_trial_at_work_to_be_gone_on_with(
    moment: str,
    config: Config,
    space_file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = Study(config, load_space(space_file, config), tmp_path / "s")

    class Stopped(Pretender):
        session = SimpleNamespace(progress=SimpleNamespace(finished=False))

    def make(_: Config, run: Path) -> Pretender:
        if moment == "making":
            study.stop()
        return Stopped(run)

    def train(trainer: Trainer) -> None:
        if moment == "training":
            study.stop()
        assert trainer.stop_requested

    stand_in(monkeypatch, make)
    study.run(2, train=train)
    assert study.ended() == []
    stand_in(monkeypatch, lambda _, run: Pretender(run))
    again = Study(config, study.space, study.folder)
    again.run(2)
    assert [trial.state for trial in again.ended()] == ["complete", "complete"]


def test_after_a_stop_no_trial_begins(
    config: Config, space_file: str, tmp_path: Path, pretended: type[Pretender]
) -> None:
    study = Study(config, load_space(space_file, config), tmp_path / "s")
    study.run(3, observe=lambda _: study.stop())
    assert [trial.state for trial in study.ended()] == ["complete"]


class Recording(Pretender):
    """It records its returns, goes on behind them, and is killed once it has recorded so many."""

    kill: ClassVar[int] = 0

    def run(self) -> None:
        path = self.folder.path / METRICS
        self.folder.path.mkdir(parents=True, exist_ok=True)
        known = len(read_metrics(self.folder.path)) if path.exists() else 0
        for i, value in enumerate(self.returns[known:], start=known + 1):
            if self.stop_requested:
                return
            record = {"env_steps": 40 * i, "eval_return": value}
            with path.open("a") as file:
                file.write(json.dumps(record) + "\n")
            if i == self.kill:
                raise KeyboardInterrupt
            for observe in self.observers:
                observe(record)


@pytest.mark.parametrize("recorded", [1, 2, 3])
def test_a_trial_that_is_killed_before_it_can_be_pruned_is_pruned_when_it_goes_on(
    recorded: int,
    config: Config,
    space_file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_in(monkeypatch, lambda _, run: Recording(run))
    study = Study(config, load_space(space_file, config), tmp_path / "s")
    study.run(studies.STARTUP_TRIALS)
    behind = [*Recording.returns]
    behind[recorded - 1] -= 0.5  # only there
    trials = studies.STARTUP_TRIALS + 1
    with Recording.returning(behind):
        with monkeypatch.context() as patch:
            patch.setattr(Recording, "kill", recorded)
            with pytest.raises(KeyboardInterrupt):
                study.run(trials)
        study.run(trials)
    assert study.ended()[-1].state == "pruned"
    run = tmp_path / "s" / "trials" / f"{trials - 1:04d}"
    assert len(read_metrics(run)) == recorded  # and not trained any further
