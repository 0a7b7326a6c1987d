"""`rivc tune`."""

from __future__ import annotations

import json
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rivc.cli.main import INTERRUPTED
from rivc.train import load_config
from rivc.train.checkpoint import latest_checkpoint
from rivc.train.record import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]

pytest.importorskip("optuna", reason="pip install 'rivc[tune]'")

STUDY = ["study:", "run:", "trial", "next:"]


@pytest.fixture
def words(tiny_config: Path, tmp_path: Path) -> list[object]:
    space = tmp_path / "space.yaml"
    space.write_text("train.gap_coef: {low: 0.0, high: 0.9}\nnet.hidden: [[8], [6, 6]]\n")
    study = ("--study", tmp_path / "study", "--train.env_steps", 120)
    return ["tune", tiny_config, "--space", space, *study]


def test_it_prints_what_train_takes_and_goes_on(
    words: list[object], rivc: Call, tmp_path: Path
) -> None:
    first = rivc(*words, "--trials", 1)
    assert first.exit_code == 0, first.stderr
    tree = yaml.safe_load(first.stdout)
    assert tree["env"]["count"] == 4
    best = load_config(tmp_path / "study" / "best.yaml")
    assert best.train.env_steps == 120
    assert list(best.net.hidden) == tree["net"]["hidden"]
    assert "trial 0  complete" in first.stderr
    again = rivc(*words, "--trials", 1, "--json")
    assert "trial 0" not in again.stderr
    facts = json.loads(again.stdout)
    assert [trial["number"] for trial in facts["trials"]] == [0]
    assert facts["best"]["settings"]["train.gap_coef"] == best.train.gap_coef


def press_ctrl_c(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Press Ctrl-C when a run writes its first record."""
    write, left = Recorder.write, [None] * times

    def interrupted(self: Recorder, record: dict[str, Any]) -> None:
        write(self, record)
        while left:
            left.pop()
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Recorder, "write", interrupted)


def test_ctrl_c_leaves_a_checkpoint_of_the_trial_from_which_the_study_goes_on(
    words: list[object], rivc: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = rivc(*words, "--study", tmp_path / "other", "--trials", 2)
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        press_ctrl_c(patch, times=1)
        stopped = rivc(*words, "--trials", 2)
    assert stopped.exit_code == INTERRUPTED
    assert "the same command goes on" in stopped.stderr
    assert "trial 0" not in stopped.stderr
    assert signal.getsignal(signal.SIGINT) is before
    run = tmp_path / "study" / "trials" / "0000"
    checkpoint = latest_checkpoint(run / "checkpoints")
    assert checkpoint is not None
    again = rivc(*words, "--trials", 2)
    assert again.exit_code == 0
    assert again.stdout == undisturbed.stdout
    other = tmp_path / "other" / "trials" / "0000"
    assert (run / "program.npz").read_bytes() == (other / "program.npz").read_bytes()


def test_the_second_ctrl_c_aborts_and_the_study_goes_on_all_the_same(
    words: list[object], rivc: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        press_ctrl_c(patch, times=2)
        stopped = rivc(*words, "--trials", 1)
    assert stopped.exit_code == INTERRUPTED
    assert latest_checkpoint(tmp_path / "study" / "trials" / "0000" / "checkpoints") is None
    assert "complete" in rivc(*words, "--trials", 1).stderr


def test_a_trial_shows_its_progress_on_a_terminal_and_its_result_elsewhere(
    words: list[object], rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = rivc(*words, "--trials", 1)
    assert [line.split()[0] for line in elsewhere.stderr.splitlines()] == STUDY
    terminal = SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("rivc.cli.progress.sys", terminal)
    assert "120/120" in rivc(*words, "--trials", 2).stderr


def test_an_unknown_space_is_told_in_one_line(words: list[object], rivc: Call) -> None:
    result = rivc(*words[:2], "--space", "lerner")
    assert result.exit_code == 2
    assert "did you mean 'learner'" in str(result.stderr)


def test_without_optuna_the_remedy_is_told(
    words: list[object], rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rivc.tune.study.find_spec", lambda _: None)
    result = rivc(*words, "--trials", 1)
    assert result.exit_code == 2
    assert "pip install 'rivc[tune]'" in result.stderr
