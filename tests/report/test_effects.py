"""What settings are worth: which runs are set against which."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from rivc.report.comparison import Contender, Contest, Outcome, contest
from rivc.report.effects import effects, effects_csv, effects_grid

SIDES = {"gap": (("both", "gap"), ("margin", "none")), "margin": (("both",), ("gap",))}
SCORES = {
    "both": {"a": [1.0, 0.8], "b": [0.5]},
    "gap": {"a": [0.6, 0.8], "b": [0.1]},
    "margin": {"a": [0.4, 0.0], "b": [0.5]},
    "none": {"a": [0.0, 0.4, 9.0], "b": [0.5]},
}


def made(scores: dict[str, dict[str, list[float]]], width: int = 2, form: str = "chip") -> Contest:
    return contest(
        Outcome(Contender(variant, width, form), task, seed, score, score)
        for variant, tasks in scores.items()
        for task, values in tasks.items()
        for seed, score in enumerate(values)
    )


def test_an_effect_is_the_difference_of_means_over_variants_seeds_and_tasks() -> None:
    gap, margin = effects(made(SCORES), SIDES)
    assert gap.tasks["a"].value == pytest.approx((0.6 + 0.6) / 2)  # seed 2 is not everyone's
    assert gap.tasks["b"].value == pytest.approx(-0.2)
    assert gap.score.value == pytest.approx((0.6 - 0.2) / 2)
    assert (gap.name, gap.bit_width, gap.form, sum(gap.runs.values())) == ("gap", 2, "chip", 6)
    assert margin.tasks["a"].value == pytest.approx(0.2)
    assert sum(margin.runs.values()) == 3


def test_runs_are_counted_task_by_task() -> None:
    gap, _ = effects(made(SCORES), SIDES)
    rows = list(csv.DictReader(io.StringIO(effects_csv([gap]))))
    assert [(row["task"], row["runs"]) for row in rows] == [("all", "6"), ("a", "4"), ("b", "2")]


def test_its_interval_is_that_of_seeds_drawn_together() -> None:
    """Seeds differ by far more than the setting does, and alike on both sides."""
    seeds = np.arange(8.0)
    [effect] = effects(
        made({"both": {"a": [*(seeds + 1)]}, "gap": {"a": [*seeds]}}),
        {"margin": (("both",), ("gap",))},
    )
    assert (effect.score.low, effect.score.high) == pytest.approx((1.0, 1.0))
    apart = made({"both": {"a": [1.0, 3.0]}, "gap": {"a": [0.0, 0.0]}})
    [effect] = effects(apart, {"margin": (("both",), ("gap",))})
    assert (effect.score.low, effect.score.high) == (1.0, 3.0)


def test_means_are_taken_which_an_effect_on_few_runs_moves() -> None:
    found = made({"both": {"a": [0.5, 0.5, 0.5, 0.5, 2.5]}, "gap": {"a": [0.5] * 5}})
    [effect] = effects(found, {"margin": (("both",), ("gap",))})
    assert effect.score.value == pytest.approx(0.4)


def test_widths_and_forms_are_kept_apart_in_the_order_of_the_outcomes() -> None:
    found: Contest = {}
    for width, form in ((2, "chip"), (4, "chip"), (2, "fpnn"), (4, "noise"), (4, "2 ticks")):
        found |= made(SCORES, width, form)
    kept = [(e.form, e.bit_width) for e in effects(found, SIDES) if e.name == "gap"]
    assert kept == [("chip", 2), ("chip", 4), ("noise", 4), ("2 ticks", 4)]


def test_nothing_is_said_where_a_variant_is_missing() -> None:
    scores = {name: tasks for name, tasks in SCORES.items() if name != "none"}
    assert [effect.name for effect in effects(made(scores), SIDES)] == ["margin"]
    no_b = {name: {"a": tasks["a"]} if name == "none" else tasks for name, tasks in SCORES.items()}
    assert [list(effect.tasks) for effect in effects(made(no_b), SIDES)] == [["a"], ["a", "b"]]


def test_tables_hold_every_effect() -> None:
    found = effects(made(SCORES), SIDES)
    grid = effects_grid(found)
    assert grid.head == ("setting", "judged on", "runs", "all tasks", "a", "b")
    assert [row[:3] for row in grid.rows] == [
        ["gap", "chip, 2 bits", "6"],
        ["margin", "chip, 2 bits", "3"],
    ]
    assert grid.rows[0][5] == "-0.20, one seed"
    rows = list(csv.DictReader(io.StringIO(effects_csv(found))))
    assert [row["task"] for row in rows] == ["all", "a", "b"] * 2
    assert float(rows[1]["difference"]) == pytest.approx(0.6)
    assert [bool(row["low"]) for row in rows[:3]] == [True, True, False]  # b has one seed
