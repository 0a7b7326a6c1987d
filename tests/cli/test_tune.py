"""`rivc tune`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from rivc.train import load_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]

pytest.importorskip("optuna", reason="pip install 'rivc[tune]'")


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
