"""What a comparison leaves behind, from rows that were made up."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rivc.compare.outcomes import RAW, curve_panels, flip_panels, outcomes
from rivc.compare.publish import Comparison, publish, state
from rivc.compare.suite import load_suite
from rivc.compare.table import Table
from rivc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., dict[str, Any]]


VARIANTS = [*load_suite("peers").variants]


@pytest.fixture
def found(row: Make) -> Comparison:
    """Every job of the shipped peers suite, better with more seeds and bits."""
    suite = load_suite("peers")
    rows = [row(job, 10.0 * job.bit_width + job.config.seed) for job in suite.jobs()]
    return Comparison("Suite peers", rows, suite.references(), jobs=len(rows) + 2)


def test_scores_are_normalised_by_the_task(found: Comparison) -> None:
    every = outcomes(found.rows, found.references, VARIANTS)
    for outcome in every:
        random, solved = found.references[outcome.task]
        assert outcome.score == (outcome.return_mean - random) / (solved - random)
    assert len(every) == sum(len(row["results"]) for row in found.rows)


def test_chips_come_first_by_width_and_variant(found: Comparison) -> None:
    every = outcomes(found.rows, found.references, VARIANTS)
    order = list(dict.fromkeys(o.contender for o in every))
    labels = [contender.label for contender in order]
    assert labels[:4] == [
        "rivc, 2 bits",
        "float then converted, 2 bits",
        "SB3 DQN, 2 bits",
        "SB3 DQN, tuned, 2 bits",
    ]
    assert labels[-2:] == ["SB3 DQN, float", "SB3 DQN, tuned, float"]


def test_there_is_a_panel_a_task_and_width_and_one_for_all(found: Comparison) -> None:
    panels = curve_panels(found.rows, found.references)
    assert [len(row) for row in panels] == [2] * 5
    assert panels[0][0].title == "all tasks, 2 bits"
    assert set(panels[1][0].curves) == {
        "rivc",
        "float then converted",
        "SB3 DQN (float)",
        "SB3 DQN, tuned (float)",
    }
    raw = curve_panels(found.rows, dict.fromkeys(found.references, RAW))
    assert len(raw) == 4


def test_flips_are_counted_over_all_runs(found: Comparison) -> None:
    [row] = flip_panels(found.rows)
    assert [panel.title for panel in row] == ["all bit widths", "2 bits", "4 bits"]
    _, share = row[0].curves["chip"]
    assert set(share.value) == {0.25}


def test_tables_and_figures_are_written(found: Comparison, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one = {"cartpole": found.references["cartpole"]}
    rows = [row for row in found.rows if row["task"] == "cartpole" and row["seed"] < 3]
    failed = [{"job": "a/b/seed3", "error": "gone"}]
    paths = publish(Comparison("T", rows, one, failed, 99), tmp_path, figures=True)
    names = {path.name for path in paths}
    figures = {"curves", "flips", "scores", "improvement", "profiles"}
    assert {f"{x}.{kind}" for x in figures for kind in ("png", "svg")} <= names
    assert all(path.stat().st_size for path in paths)
    text = (tmp_path / "report.md").read_text()
    assert "![scores](scores.png)" in text
    assert "- failed: a/b/seed3: gone" in text
    assert "80 of 99 jobs are still to be done." in text
    assert len(list(csv.DictReader(io.StringIO((tmp_path / "pairs.csv").read_text())))) > 4


def test_what_settings_are_worth_is_written_where_a_suite_asks(
    found: Comparison, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    sides = {"the chip": (("rivc",), ("float then converted",))}
    publish(replace(found, sides=sides), tmp_path, figures=True)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "effects.csv").read_text())))
    assert {row["effect"] for row in rows} == {"the chip"}
    assert "## What each is worth" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "effects.svg").stat().st_size


def test_a_suite_names_the_settings(row: Make, tmp_path: Path) -> None:
    suite, results = load_suite("smoke"), Table(tmp_path / "table.jsonl")
    jobs = suite.jobs()
    for job in jobs:
        results.append(row(job, 100.0))
    found = Comparison.of_suite(suite, jobs, results)
    assert {effect.name for effect in found.effects} == {"everything"}


def test_the_first_variant_of_a_suite_is_the_reference_though_its_first_job_failed(
    row: Make, tmp_path: Path
) -> None:
    suite, results = load_suite("smoke"), Table(tmp_path / "table.jsonl")
    first, *rest = suite.jobs()
    results.append({**first.identity(), "status": "failed", "error": "gone"})
    for job in rest:
        results.append(row(job, 100.0))
    found = Comparison.of_suite(suite, [first, *rest], results)
    assert found.rows[0]["variant"] != "rivc"
    assert found.reference == "rivc"
    assert {pair.first.variant for pair in found.pairs} == {"rivc"}
    assert next(iter(found.contest)).variant == "rivc"


def test_what_is_not_of_one_kind_is_told(found: Comparison) -> None:
    one, two, *rest = found.rows
    mixed = [{**one, "versions": {"torch": "2.0", "rivc": "1"}, "failures": 2}, *rest]
    mixed.append({**two, "versions": {"torch": "2.1", "rivc": "1"}})
    told = state(replace(found, rows=mixed, jobs=len(mixed)))
    assert told == [
        f"- went on after 2 failures: {one['job']}",
        "- rows of several versions of torch: 2.0, 2.1",
    ]


def test_a_variant_without_all_tasks_has_no_curve_over_all(found: Comparison) -> None:
    together, *_ = curve_panels(found.rows, found.references)
    assert "rivc" in together[0].curves
    assert "SB3 DQN, tuned (float)" not in together[0].curves


def test_nothing_done_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no job is done"):
        publish(Comparison("T", [], {}), tmp_path, figures=False)


def test_a_suite_that_is_not_finished_is_reported(found: Comparison, tmp_path: Path) -> None:
    """Each variant has another seed only: there is nothing to pair."""
    variants = {"rivc": 0, "SB3 DQN": 1}
    rows = [r for r in found.rows if variants.get(r["variant"]) == r["seed"]]
    publish(Comparison("T", rows, found.references), tmp_path, figures=False)
    assert "## Pairs" not in (tmp_path / "report.md").read_text()
