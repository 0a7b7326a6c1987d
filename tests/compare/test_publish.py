"""What a comparison leaves behind, from rows that were made up."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rivc.compare.outcomes import curve_panels, flip_panels, outcomes
from rivc.compare.publish import Comparison, drawings, publish, state
from rivc.compare.suite import load_suite
from rivc.compare.table import Table
from rivc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivc.compare.suite import Suite

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
    raw = curve_panels(found.rows, dict.fromkeys(found.references))
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


def test_a_float_peer_stands_beside_each_width_as_it_was_paired_with_it(row: Make) -> None:
    suite = load_suite("peers")
    worth = {("rivc", 2): 0.5, ("rivc", 4): 1.0}
    scale = suite.references()

    def value(job: Any) -> float:
        random, solved = scale[job.task] or (0, 1)
        return float(random + worth.get((job.variant, job.bit_width), 0.8) * (solved - random))

    rows = [row(job, value(job)) for job in suite.jobs()]
    shown = drawings(Comparison.of_suite(suite, suite.jobs(), table_of(rows)))["improvement"]
    found = {p.title: float(p.points["SB3 DQN (float)"].value) for p in shown.panels[0]}
    assert found == {"chip, 2 bits": 0.0, "chip, 4 bits": 1.0}


def table_of(rows: list[dict[str, Any]]) -> Any:
    """A table in memory."""
    table = Table(Path("nowhere"))
    table.rows = rows
    return table


def test_a_curve_goes_as_far_as_any_seed_whichever_comes_first(found: Comparison) -> None:
    short, long = ({**found.rows[0], "seed": seed} for seed in (0, 1))
    short["curve"] = short["curve"][:1]
    for rows in ([short, long], [long, short]):
        [[panel, *_]] = curve_panels(rows, {short["task"]: None})
        [(at, _)] = panel.curves.values()
        assert at.tolist() == [80, 160, 240]


def test_a_task_between_0_and_1_is_scored_and_one_without_references_is_not(
    row: Make, tiny: Suite
) -> None:
    rows = [row(job, 0.5) for job in tiny.jobs()]
    scored, raw = (Comparison("T", rows, {"cartpole": r}) for r in ((0.0, 1.0), None))
    assert scored.is_scored
    assert not raw.is_scored
    labels = {name: drawings(c)["scores"].panels[0][0].x for name, c in (("s", scored), ("r", raw))}
    assert (labels["s"].label, labels["s"].mark) == ("score (random 0, solved 1)", 1.0)
    assert (labels["r"].label, labels["r"].mark) == ("return", None)
    assert "profiles" in drawings(scored)
    assert "profiles" not in drawings(raw)
    two = Comparison("T", rows, {"cartpole": (0.0, 1.0), "other": (0.0, 1.0)})
    assert two.is_normalised


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
