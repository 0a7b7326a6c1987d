"""`rivc compare`."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from rivc.report import plots
from rivc.train import load_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]


@pytest.fixture
def seeds(trained: Path, tmp_path: Path) -> list[Path]:
    """The same run as seeds 0 and 1, and as another configuration of the same name."""
    runs = [tmp_path / name for name in ("a", "b", "c")]
    for i, run in enumerate(runs):
        shutil.copytree(trained, run)
        changes = {"seed": i % 2, **({"train.gap_coef": 0.5} if i == 2 else {})}
        config = load_config(run / "config.yaml", changes)
        (run / "config.yaml").write_text(config.to_yaml())
    return runs


def test_runs_are_grouped_by_configuration(seeds: list[Path], rivc: Call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--episodes", 2, "--out", out, "--no-figures", "--json")
    result = rivc("compare", *seeds, *words)
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    chips = [c for c in facts["contenders"] if c["form"] == "chip"]
    assert [(c["variant"], c["runs"]) for c in chips] == [("tiny", 2), ("tiny (2)", 1)]
    assert set(chips[0]["returns"]) == {"CartPole-v1"}
    assert chips[0]["returns"]["CartPole-v1"]["low"] is not None
    assert chips[1]["returns"]["CartPole-v1"]["low"] is None
    assert chips[0]["flip_rate"] == 0
    assert (out / "report.md").exists()
    assert (out / "pairs.csv").read_text().count("\n") >= 1


def test_people_get_a_table(seeds: list[Path], rivc: Call, tmp_path: Path) -> None:
    words = ("--episodes", 1, "--out", tmp_path / "out", "--no-figures")
    result = rivc("compare", seeds[0], *words)
    assert result.exit_code == 0
    head, line = result.stdout.splitlines()
    assert head.split() == ["contender", "runs", "flips", "CartPole-v1"]
    assert line.startswith("tiny, 4 bits")
    assert line.endswith(", one seed")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--out", "file/out"), "is no folder that takes files"),
        (("--episodes", 100_001), "is not in the range 1<=x<=100000"),
        (("--list",), "--list is for a suite"),
    ],
)
def test_nothing_is_judged_for_a_report_that_cannot_be_written(
    trained: Path, rivc: Call, tmp_path: Path, words: tuple[object, ...], told: str
) -> None:
    (tmp_path / "file").write_text("")
    words = tuple(tmp_path / word if word == "file/out" else word for word in words)
    result = rivc("compare", trained, *words, "--no-figures")
    assert result.exit_code == 2
    assert told in result.stderr
    assert "judging" not in result.stderr


def test_the_jobs_of_a_suite_are_listed(rivc: Call, tmp_path: Path) -> None:
    result = rivc("compare", "--suite", "smoke", "--out", tmp_path, "--list", "--json")
    facts = json.loads(result.stdout)
    assert len(facts["jobs"]) == 8
    assert facts["jobs"][0]["job"] == "cartpole/rivc-2bit/seed0"
    assert {job["status"] for job in facts["jobs"]} == {"waiting"}
    assert facts["cpu_seconds_left"] is None
    assert not list(tmp_path.iterdir())


def test_a_suite_without_results_has_no_report(rivc: Call, tmp_path: Path) -> None:
    words = ("--suite", "smoke", "--out", tmp_path, "--jobs", 0, "--no-figures")
    result = rivc("compare", *words)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "rivc: no job is done, so there is nothing to report"


def test_figures_that_cannot_be_drawn_are_told_before_anything_runs(
    rivc: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda _: None)
    result = rivc("compare", "--suite", "smoke", "--out", tmp_path / "new")
    assert result.exit_code == 2
    assert "pip install 'rivc[plots]'; --no-figures does without" in result.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "compare: give either --suite FILE or folders of runs"),
        (("--suite", "smoke", "a"), "give either --suite FILE or folders of runs"),
        (("--suite", "smok"), "did you mean 'smoke'?"),
        (("nowhere",), "no run at nowhere"),
        (("--suite", "smoke", "--jobs", -1), "-1 is not in the range x>=0"),
    ],
)
def test_a_wrong_request_is_told_in_one_line(
    words: tuple[object, ...], says: str, rivc: Call
) -> None:
    result = rivc("compare", *words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_same_seed_twice_is_told(trained: Path, run: Path, rivc: Call) -> None:
    result = rivc("compare", trained, run)
    assert result.exit_code == 2
    assert "are both seed 0 of tiny" in result.stderr
