"""The tables of the ablation in docs/results.md, from the files beside it.

``python -m tests.learning.ablation_tables [FOLDER]`` prints them; FOLDER, ``docs/ablation`` unless
named, holds ``scores.csv`` and ``effects.csv`` as `rivc compare --suite ablation` writes them.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Row = dict[str, str]
    Cells = dict[tuple[str, str], str]  # by the name of the line and that of the column

FOLDER: Final = Path("docs/ablation")
CHIP: Final = "chip"
ALL: Final = "all"
WIDTHS: Final = {"1": "1 bit", "2": "2 bits", "3": "3 bits", "4": "4 bits", "8": "8 bits"}
FORMS: Final = {
    CHIP: "exact chip",
    "2 ticks": "2 ticks",
    "5 ticks": "5 ticks",
    "membrane noise 0.5": "membrane noise",
    "5 % of spikes dropped": "dropped spikes",
}
TASKS: Final = {
    "cartpole": "CartPole",
    "pan servo": "PanServo",
    "tracker": "VisualTracker",
    "arm reach": "ArmReach",
}
PER_TASK: Final = {  # where tasks are told apart
    ("QAT", "1"): "QAT, 1 bit",
    ("QAT", "2"): "QAT, 2 bits",
    ("QAT", "4"): "QAT, 4 bits",
    ("gap, with QAT", "1"): "gap, with QAT, 1 bit",
    ("gap, with QAT", "2"): "gap, with QAT, 2 bits",
    ("gap, with QAT", "4"): "gap, with QAT, 4 bits",
    ("gap, without QAT", "1"): "gap, without QAT, 1 bit",
    ("gap, without QAT", "2"): "gap, without QAT, 2 bits",
    ("gap, without QAT", "4"): "gap, without QAT, 4 bits",
}


def tables(folder: Path) -> list[str]:
    """Return the tables: scores, what settings are worth by width, by chip and by task."""
    scores, effects = (_rows(folder / f"{name}.csv") for name in ("scores", "effects"))
    by_width = {(row["effect"], row["bit_width"]): _effect(row) for row in _of(effects, CHIP, ALL)}
    by_chip = {
        (row["effect"], row["form"]): _effect(row)
        for row in effects
        if row["task"] == ALL and row["bit_width"] == "4"
    }
    return [
        _table("trained with", WIDTHS, _scores(_of(scores, CHIP, ALL))),
        _table("worth on the exact chip", WIDTHS, by_width, ("trained on", "gap, trained on")),
        _table("worth at 4 bits, judged on", FORMS, by_chip),
        _table("worth on the exact chip", TASKS, _per_task(effects)),
    ]


def _rows(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _of(rows: Iterable[Row], form: str, task: str) -> list[Row]:
    return [row for row in rows if row["form"] == form and row["task"] == task]


def _scores(rows: Iterable[Row]) -> Cells:
    """Those of variants that differ in more than the chip they were trained on."""
    named = ((row["variant"], row) for row in rows if " on " not in row["variant"])
    return {(name, row["bit_width"]): _cell(row, "iqm") for name, row in named}


def _per_task(effects: Iterable[Row]) -> Cells:
    found = {
        (row["effect"], row["bit_width"], row["task"]): _effect(row)
        for row in effects
        if row["form"] == CHIP
    }
    return {
        (line, task): found[*what, task]
        for what, line in PER_TASK.items()
        for task in TASKS
        if (*what, task) in found
    }


def _effect(row: Row) -> str:
    return _cell(row, "difference")


def _cell(row: Row, name: str) -> str:
    value, low, high = (f"{float(row[key]):.2f}" for key in (name, "low", "high"))
    return f"{value} [{low}, {high}]".replace("-0.00", "0.00")


def _table(corner: str, columns: dict[str, str], cells: Cells, without: Sequence[str] = ()) -> str:
    """A Markdown table; lines whose names begin with one of `without` are left out."""
    names = dict.fromkeys(line for line, _ in cells if not line.startswith(tuple(without)))
    lines = [[name, *(cells.get((name, column), "") for column in columns)] for name in names]
    head, *body = (f"| {' | '.join(line)} |" for line in [[corner, *columns.values()], *lines])
    return "\n".join([head, "|---" * (len(columns) + 1) + "|", *body])


def main() -> None:
    """Print them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    sys.stdout.write("\n\n".join(tables(folder)) + "\n")


if __name__ == "__main__":
    main()
