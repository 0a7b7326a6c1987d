"""Studies: resumable, pruned by evaluations, and nothing of a space evaluated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from rivc.errors import ConfigError, DamagedFileError, DivergedError, UsageError
from rivc.train import Config, Trainer, load_config
from rivc.train.record import read_metrics

if TYPE_CHECKING:
    from pathlib import Path


pytest.importorskip("optuna", reason="pip install 'rivc[tune]'")

from rivc.tune import study as studies
from rivc.tune.space import load_space
from rivc.tune.study import Study, Trial, late_mean
from tests.tune.pretend import TINY, Follower, Pretender, stand_in


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


def test_a_trial_that_fails_is_told_and_the_next_begins(
    config: Config, space_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Config, run: Path) -> Trainer:
        raise DivergedError("the loss is gone")

    stand_in(monkeypatch, fail)
    study = Study(config, load_space(space_file, config), tmp_path / "s")
    study.run(2)
    assert [trial.state for trial in study.ended()] == ["fail", "fail"]
    assert study.ended()[0].error == "the loss is gone"
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


def test_a_line_that_a_crash_left_half_does_not_end_a_study(
    config: Config, space_file: str, tmp_path: Path, pretended: type[Pretender]
) -> None:
    space = load_space(space_file, config)
    Study(config, space, tmp_path / "s").run(1)
    with (tmp_path / "s" / "journal.log").open("ab") as journal:
        journal.write(b'{"op_code": 4, "wor')
    Study(config, space, tmp_path / "s").run(2)
    assert [trial.number for trial in Study(config, space, tmp_path / "s").ended()] == [0, 1]


def test_a_damaged_record_is_told(
    config: Config, space_file: str, tmp_path: Path, pretended: type[Pretender]
) -> None:
    space = load_space(space_file, config)
    Study(config, space, tmp_path / "s").run(1)
    journal = tmp_path / "s" / "journal.log"
    journal.write_bytes(b"{cut\n" + journal.read_bytes())
    with pytest.raises(DamagedFileError, match=r"journal\.log is damaged"):
        Study(config, space, tmp_path / "s")


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
        ("train.batch_size: {low: 8.0, high: 64.0}", "batch_size"),
        ("train.batch_size: {low: 8.0, high: 64.0, step: 0.5}", "batch_size"),
        ("8: [1, 2]", "names a setting 8, which is no text"),
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
