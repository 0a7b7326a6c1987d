"""Contenders side by side: which are paired, and what the tables say."""

from __future__ import annotations

import csv
import io

import pytest

from rivc.report.comparison import (
    Contender,
    Contest,
    Outcome,
    contest,
    lines,
    pairs,
)
from rivc.report.tables import grids, lines_csv, markdown, outcomes_csv, pairs_csv, span

ALL, NONE = Contender("all", 2, "chip"), Contender("none", 2, "chip")
WIDE, TICKS = Contender("none", 4, "chip"), Contender("none", 2, "2 ticks")
PEER = Contender("DQN", 32, "fpnn")


def made(scores: dict[Contender, dict[str, list[float]]]) -> Contest:
    """Outcomes of the scores of seeds 0, 1, ..."""
    return contest(
        Outcome(contender, task, seed, score, 100 * score, flip_rate=0.5, cpu_seconds=60.0)
        for contender, tasks in scores.items()
        for task, values in tasks.items()
        for seed, score in enumerate(values)
    )


def test_a_line_holds_score_and_returns() -> None:
    [line] = lines(made({ALL: {"a": [0.0, 1.0, 1.0, 9.0], "b": [1.0] * 4}}))
    assert sum(line.runs.values()) == 8
    assert line.score is not None
    assert line.score.value == 1.0
    assert line.returns["a"].value == 100.0
    assert (line.flip_rate, line.cpu_seconds) == (0.5, 60.0)


def test_runs_are_counted_task_by_task() -> None:
    found = lines(made({ALL: {"a": [0.0, 1.0], "b": [1.0] * 3}}))
    rows = list(csv.DictReader(io.StringIO(lines_csv(found))))
    assert [(row["task"], row["runs"]) for row in rows] == [("all", "5"), ("a", "2"), ("b", "3")]


def test_tasks_that_cannot_be_put_together_are_not() -> None:
    [line] = lines(made({ALL: {"a": [1.0], "b": [2.0]}}), together=False)
    assert line.score is None
    assert "## All tasks" not in markdown("t", grids([line], [], ""), [])


def test_equal_widths_and_forms_are_paired_and_chips_with_float_peers() -> None:
    scores = {"a": [1.0, 2.0]}
    found = pairs(made(dict.fromkeys([ALL, NONE, WIDE, TICKS, PEER], scores)), "all")
    assert [(p.first, p.second) for p in found] == [(ALL, NONE), (ALL, PEER)]


def test_a_pair_is_of_shared_tasks_and_its_difference_of_shared_seeds() -> None:
    found = made({ALL: {"a": [3.0, 3.0, 3.0], "b": [9.0]}, NONE: {"a": [1.0, 1.0]}})
    [pair] = pairs(found, "all")
    assert (pair.tasks, pair.runs, pair.runs_of_second) == (1, 3, 2)
    assert pair.improvement.value == 1.0
    assert pair.difference.value == 2.0


def test_contenders_without_a_common_seed_are_not_paired() -> None:
    one = Outcome(ALL, "a", 0, 1.0, 1.0)
    assert pairs(contest([one, Outcome(NONE, "a", 1, 1.0, 1.0)]), "all") == []


def test_one_seed_has_no_interval() -> None:
    found = made({ALL: {"a": [0.5], "b": [0.7]}, NONE: {"a": [0.1], "b": [0.3]}})
    [line, _], [pair] = lines(found), pairs(found, "all")
    assert line.score is not None
    assert span(line.score) == "0.60, one seed"
    assert span(line.returns["b"], 1) == "70.0, one seed"
    assert span(pair.difference) == "0.40, one seed"
    rows = list(csv.DictReader(io.StringIO(lines_csv([line]))))
    assert {(row["low"], row["high"]) for row in rows} == {("", "")}
    [row] = csv.DictReader(io.StringIO(pairs_csv([pair])))
    assert (row["difference_low"], row["improvement_high"]) == ("", "")


def test_the_luck_of_one_seed_is_in_no_interval() -> None:
    [pair] = pairs(made({ALL: {"a": [0.5, 0.6, 0.7]}, NONE: {"a": [0.1]}}), "all")
    assert span(pair.improvement) == "1.00, one seed"
    assert span(pair.difference) == "0.40, one seed"


def test_equal_seeds_have_an_interval_without_width() -> None:
    [line] = lines(made({ALL: {"a": [0.5, 0.5], "b": [0.7]}}))
    assert line.score is not None
    assert span(line.returns["a"], 1) == "50.0 [50.0, 50.0]"
    assert span(line.score) == "0.60 [0.60, 0.60], one seed of some tasks"


def test_csv_holds_every_outcome_and_every_interval() -> None:
    found = made({ALL: {"a": [0.5, 1.5]}, NONE: {"a": [0.0, 1.0]}})
    every = list(csv.DictReader(io.StringIO(outcomes_csv(found))))
    assert len(every) == 4
    assert (every[1]["seed"], every[1]["score"], every[1]["return_mean"]) == ("1", "1.5", "150.0")
    [first, *_] = csv.DictReader(io.StringIO(lines_csv(lines(found))))
    assert (first["task"], first["iqm"], first["runs"]) == ("all", "1.0", "2")
    [pair] = csv.DictReader(io.StringIO(pairs_csv(pairs(found, "all"))))
    assert (pair["improvement"], pair["difference"]) == ("0.75", "0.5")


def test_markdown_holds_every_part() -> None:
    found = made({ALL: {"a": [0.5, 1.5], "b": [1.0, 1.0]}, NONE: {"a": [0.0, 1.0]}})
    text = markdown(
        "Suite s", grids(lines(found), pairs(found, "all"), "random 0"), ["- failed: x: y"]
    )
    assert "| all, 2 bits | 2 | 4 | 1.00 [0.75, 1.25] | 50.00% | 60 |" in text
    assert "| none, 2 bits | 50.0 [0.0, 100.0] |" in text
    assert "| all, 2 bits | none, 2 bits | 1 | 2 | 2 | 0.75 [" in text
    assert text.endswith("- failed: x: y\n")


@pytest.mark.parametrize(
    ("contender", "label"),
    [
        (ALL, "all, 2 bits"),
        (TICKS, "none, 2 bits, 2 ticks"),
        (PEER, "DQN, float"),
        (Contender("all", 1, "fpnn"), "all, 1 bit, FPNN"),
    ],
)
def test_labels(contender: Contender, label: str) -> None:
    assert contender.label == label
