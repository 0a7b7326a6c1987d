"""Studies: resumable, pruned by evaluations, and nothing of a space evaluated."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from rivc.errors import BackendError, ConfigError, UsageError
from rivc.train import Config, Trainer, load_config
from rivc.train.record import METRICS, read_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rivc.tune.space import Space

pytest.importorskip("optuna", reason="pip install 'rivc[tune]'")

from rivc.tune import study as studies
from rivc.tune.space import load_space
from rivc.tune.study import Study, Trial, late_mean

SPACE = """\
train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
train.batch_size: {low: 8, high: 16, step: 8}
net.hidden: [[8], [4, 4]]
"""
TINY: dict[str, Any] = {
    "net.hidden": [8],
    "train.env_steps": 120,
    "train.warmup_env_steps": 40,
    "eval.every_env_steps": 40,
    "eval.episodes": 1,
    "log.every_env_steps": 40,
    "checkpoint.every_env_steps": 40,
    "audit.states": 2,
}


@pytest.fixture
def config() -> Config:
    return load_config("quickstart", TINY)


@pytest.fixture
def space_file(tmp_path: Path) -> str:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return str(path)


class Pretender:
    """A trainer that only records returns, one for each evaluation."""

    returns: ClassVar[list[float]] = [1.0, 2.0, 3.0]
    session = SimpleNamespace(progress=SimpleNamespace(finished=True))

    def __init__(self, run: Path) -> None:
        from rivc.train.run import RunFolder

        self.folder, self.observers, self.stop_requested = RunFolder(run), [], False

    @classmethod
    @contextmanager
    def returning(cls, returns: list[float]) -> Iterator[None]:
        """Return something else for a while."""
        cls.returns, before = returns, cls.returns
        try:
            yield
        finally:
            cls.returns = before

    def run(self) -> None:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        for i, value in enumerate(self.returns):
            for observe in self.observers:
                observe({"env_steps": 40 * (i + 1), "eval_return": value})
            if self.stop_requested:
                return


def stand_in(monkeypatch: pytest.MonkeyPatch, make: Callable[[Config, Path], Any]) -> None:
    """Let something else than a trainer train."""
    monkeypatch.setattr(Trainer, "begin_or_resume", staticmethod(make))


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> type[Pretender]:
    stand_in(monkeypatch, lambda _, run: Pretender(run))
    return Pretender


def test_a_study_trains_and_leaves_what_train_takes(
    config: Config, space_file: str, tmp_path: Path
) -> None:
    study = Study(config, load_space(space_file, config), tmp_path / "study")
    study.run(1)
    [trial] = study.ended()
    assert trial.state == "complete"
    best = load_config(tmp_path / "study" / "best.yaml")
    assert best.env == config.env
    assert list(best.net.hidden) == trial.settings["net.hidden"]
    assert best.train.learning_rate == trial.settings["train.learning_rate"]
    assert (tmp_path / "study" / "trials" / "0000" / "program.npz").exists()


def test_a_restart_goes_on_and_draws_what_it_would_have_drawn(
    config: Config, space_file: str, tmp_path: Path, pretended: type[Pretender]
) -> None:
    space = load_space(space_file, config)
    at_once, in_parts = (Study(config, space, tmp_path / name) for name in ("a", "b"))
    at_once.run(4)
    in_parts.run(2)
    again = Study(config, space, tmp_path / "b")
    again.run(4)
    assert again.ended() == at_once.ended()
    assert len({t.settings["train.learning_rate"] for t in again.ended()}) == 4


class Follower(Pretender):
    """Its returns follow from the settings."""

    def __init__(self, config: Config, run: Path) -> None:
        super().__init__(run)
        best = 1_000 * config.train.learning_rate + config.train.batch_size / len(config.net.hidden)
        self.returns = [best / 3, best / 2, best]


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


@pytest.fixture
def disturbed(config: Config, space_file: str, monkeypatch: pytest.MonkeyPatch) -> Disturbed:
    stand_in(monkeypatch, Follower)
    return Disturbed(config, load_space(space_file, config), monkeypatch)


def test_a_study_killed_anywhere_ends_as_an_undisturbed_one(
    disturbed: Disturbed, tmp_path: Path
) -> None:
    undisturbed = disturbed.results(tmp_path / "undisturbed", 2)
    for write in count(1):
        folder = tmp_path / str(write)
        killed = disturbed.killed(folder, 2, write)
        assert disturbed.results(folder, 2) == undisturbed
        if not killed:
            break
    assert write > 2 * 8  # of a trial: itself, three settings, its run, three returns, its end


def test_a_trial_is_taken_up_once_wherever_that_is_interrupted(
    disturbed: Disturbed, tmp_path: Path
) -> None:
    undisturbed = disturbed.results(tmp_path / "undisturbed", 1)
    for write in count(1):
        folder = tmp_path / str(write)
        assert disturbed.killed(folder, 1, 8)  # when it has a return
        killed = disturbed.killed(folder, 1, write)
        assert disturbed.results(folder, 1) == undisturbed
        assert [path.name for path in (folder / "trials").iterdir()] == ["0000"]
        if not killed:
            break
    assert write > 8


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
            raise BackendError("the chip is gone")

        stand_in(patch, fail)
        with pytest.raises(KeyboardInterrupt):
            study.run(1)
    again = Study(config, space, tmp_path / "s")
    again.run(1)
    assert [(trial.number, trial.error) for trial in again.ended()] == [(0, "the chip is gone")]


def test_settings_that_do_not_go_together_are_not_drawn_again(
    config: Config, space_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Config, run: Path) -> Trainer:
        raise ConfigError("they do not go together")

    study = Study(config, load_space(space_file, config), tmp_path / "s")
    stand_in(monkeypatch, refuse)
    with pytest.raises(ConfigError):
        study.run(1)
    stand_in(monkeypatch, Follower)
    study.run(2)
    first, second = study.ended()
    assert (first.state, second.state) == ("fail", "complete")
    assert first.settings != second.settings


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


def test_choices_come_back_as_what_they_were(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, trained = tmp_path / "space.yaml", []
    path.write_text("train.learning_rate: [1.0e-5, 2.0e-5]\nnet.hidden: [[8], [4, 4]]\n")
    stand_in(monkeypatch, lambda config, run: trained.append(config) or Pretender(run))
    study = Study(config, load_space(str(path), config), tmp_path / "s")
    study.run(3)
    for trial, found in zip(study.ended(), trained, strict=True):
        hidden, rate = list(found.net.hidden), found.train.learning_rate
        assert trial.settings == {"train.learning_rate": rate, "net.hidden": hidden}


def test_a_trial_that_falls_behind_is_pruned(
    config: Config, space_file: str, tmp_path: Path, pretended: type[Pretender]
) -> None:
    study = Study(config, load_space(space_file, config), tmp_path / "s")
    study.run(studies.STARTUP_TRIALS)
    with pretended.returning([0.0, 0.0, 0.0]):
        study.run(studies.STARTUP_TRIALS + 1)
    assert study.ended()[-1].state == "pruned"
    assert study.ended()[-1].value is None


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


def test_a_trial_that_fails_is_told_and_the_next_begins(
    config: Config, space_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Config, run: Path) -> Trainer:
        raise BackendError("the chip is gone")

    stand_in(monkeypatch, fail)
    study = Study(config, load_space(space_file, config), tmp_path / "s")
    study.run(2)
    assert [trial.state for trial in study.ended()] == ["fail", "fail"]
    assert study.ended()[0].error == "the chip is gone"
    assert study.best() is None


def test_a_run_that_ends_before_its_first_evaluation_was_due_has_the_value_of_its_last(
    space_file: str, tmp_path: Path
) -> None:
    config = load_config("quickstart", {**TINY, "eval.every_env_steps": 2_500})
    study = Study(config, load_space(space_file, config), tmp_path / "s")
    study.run(1)
    [trial] = study.ended()
    [*_, last] = read_metrics(tmp_path / "s" / "trials" / "0000")
    assert (trial.state, trial.value) == ("complete", last["eval_return"])


@pytest.mark.parametrize(
    ("values", "mean"),
    [({0: 1.0}, 1.0), ({0: 1.0, 1: 3.0}, 3.0), ({1: 1.0, 2: 3.0, 3: 5.0, 4: 8.0}, 6.5)],
)
def test_the_value_is_the_mean_of_the_second_half(values: dict[int, float], mean: float) -> None:
    assert late_mean(values) == mean


def test_a_trial_whose_evaluations_are_no_numbers_fails_and_says_so(
    config: Config, space_file: str, tmp_path: Path, pretended: type[Pretender]
) -> None:
    study = Study(config, load_space(space_file, config), tmp_path / "s")
    with pretended.returning([math.nan, math.inf, math.nan]):
        study.run(1)
    study.run(2)
    failed, complete = study.ended()
    assert (failed.state, failed.error) == ("fail", "no evaluation gave a number")
    assert (complete.state, complete.error) == ("complete", None)


def test_a_folder_holds_one_study(
    config: Config, space_file: str, tmp_path: Path, pretended: type[Pretender]
) -> None:
    space = load_space(space_file, config)
    Study(config, space, tmp_path / "s").run(1)
    other = load_config("quickstart", {**TINY, "seed": 5})
    with pytest.raises(UsageError, match="other settings"):
        Study(other, space, tmp_path / "s")


def test_one_process_does_a_study(
    config: Config, space_file: str, tmp_path: Path, pretended: type[Pretender]
) -> None:
    study = Study(config, load_space(space_file, config), tmp_path / "s")

    def again(_: Trial) -> None:
        with pytest.raises(UsageError, match="another process is doing the study"):
            study.run(2)

    study.run(1, again)


def test_a_study_that_cannot_be_held_is_told_in_one_line(
    config: Config, space_file: str, tmp_path: Path, pretended: type[Pretender]
) -> None:
    study = Study(config, load_space(space_file, config), tmp_path / "s")
    (tmp_path / "s" / ".lock").mkdir()
    with pytest.raises(UsageError, match="cannot write to"):
        study.run(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.learning_rat: [1, 2]", "did you mean 'train.learning_rate'"),
        ("train.batch_size: {low: 0, high: 8}", "batch_size"),
        ("train.batch_size: {low: 8, high: 8}", "low < high"),
        ("train.batch_size: {low: 0, high: 8, log: true}", "positive"),
        ("train.batch_size: [8]", "at least 2"),
        ("train.batch_size: __import__('os')", "train.batch_size"),
        ("{}", "names 0 settings"),
    ],
)
def test_a_wrong_space_is_told_before_anything_runs(
    config: Config, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_space(str(path), config)


def test_the_shipped_space_suits_every_shipped_configuration() -> None:
    from rivc.train import config_names

    for name in config_names():
        assert load_space("learner", load_config(name)).settings
