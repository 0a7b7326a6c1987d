"""`rivc codec train`: students of a run, and the curve of several."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]

QUICK = ("--steps", 40, "--episodes", 1)


def test_a_student_is_a_run_that_every_verb_takes(
    trained: Path, rivc: Call, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    words = ("codec", "train", trained, "--rate", 1, "--layer", 1, *QUICK, "--out", out, "--json")
    result = rivc(*words)
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    teacher, student = facts["points"]
    assert (facts["runs"], teacher["name"], student["name"]) == ([str(out)], "teacher", "student")
    assert student["fp32_bytes"] == 4 * 16
    assert json.loads(rivc(*words).stdout) == facts  # there already, so only told again
    found = json.loads(rivc("eval", out, "--episodes", 1, "--json").stdout)
    assert (found["readout_mismatches"], found["return_mean"]) == (0, student["return_mean"])
    assert rivc("resume", out).exit_code == 0
    fit = ("codec", "fit", out, "--layer", 1, "--episodes", 1, "--out", tmp_path / "codec.npz")
    assert rivc(*fit).exit_code == 0
    other = rivc("codec", "train", trained, "--rate", 2, "--layer", 1, *QUICK, "--out", out)
    assert other.exit_code == 2
    assert "holds another run" in other.stderr


def test_several_prices_make_a_curve(trained: Path, rivc: Call, tmp_path: Path) -> None:
    prices = ("--rate", 1, "--rate", 100, "--weight-rate", 2)
    result = rivc("codec", "train", trained, *prices, "--layer", 1, *QUICK, "--out", tmp_path / "c")
    assert result.exit_code == 0, result.stderr
    names = {path.name for path in (tmp_path / "c").iterdir()}
    assert {"curve.md", "curve.csv"} <= names
    assert {"rate1-weights2", "rate100-weights2"} <= names
    lines = (tmp_path / "c" / "curve.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines[1:]] == [
        "teacher",
        "rate1-weights2",
        "rate100-weights2",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing is priced"),
        (("--rate", 1, "--layer", 2), "emits no counts"),
        (("--rate", 1, "--layer", 9), "emits no counts"),
        (("--rate", 0), "rate"),
        (("--rate", "nan"), "distill.rate"),
        (("--weight-rate", 1, "--steps", 0), "steps"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(
    words: tuple[object, ...], message: str, trained: Path, rivc: Call, tmp_path: Path
) -> None:
    result = rivc("codec", "train", trained, *words, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_run_is_exit_2(rivc: Call, tmp_path: Path) -> None:
    result = rivc("codec", "train", tmp_path, "--rate", 1)
    assert result.exit_code == 2
    assert "no run at" in result.stderr
