"""From rows of the table to what a report is made of."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.report.comparison import CHIP, FLOAT_BITS, FPNN, Contender, Outcome, bits
from rivc.report.curves import efficiency, flip_curve
from rivc.report.plots import Axis, Panel
from rivc.report.statistics import Estimate
from rivc.train.margins import EDGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rivc.compare.table import Row
    from rivc.report.statistics import Array

    Reference = tuple[float, float] | None  # returns that count as 0 and as 1; None: is its score
    References = Mapping[str, Reference]  # by task

COLUMNS: Final = 3
SHARES: Final = np.linspace(
    0.05, 1.0, 20
)  # of the env steps of a run, where tasks are put together


def outcomes(rows: Sequence[Row], references: References, variants: Sequence[str]) -> list[Outcome]:
    """Return an outcome for every form of every row: chips first, by form, width and variant.

    Args:
        rows: of jobs that are done.
        references: of their tasks.
        variants: in order; those of all rows are among them.
    """
    forms = list(dict.fromkeys([CHIP, FPNN, *(r["form"] for row in rows for r in row["results"])]))
    found = [
        Outcome(
            Contender(row["variant"], result["bit_width"], result["form"]),
            row["task"],
            row["seed"],
            normalised(result["return_mean"], references[row["task"]]),
            result["return_mean"],
            result["success_rate"],
            result.get("flip_rate"),
            row["cpu_seconds"],
        )
        for row in rows
        for result in row["results"]
    ]

    def place(outcome: Outcome) -> tuple[int, int, int]:
        c = outcome.contender
        return forms.index(c.form), c.bit_width, variants.index(c.variant)

    return sorted(found, key=place)


def normalised(value: Any, reference: Reference) -> Any:
    """Return a return, or returns, as a score: random 0, solved 1."""
    if reference is None:
        return value
    random, solved = reference
    return (value - random) / (solved - random)


def widths_of(rows: Iterable[Row]) -> list[int]:
    """Return the bit widths of all chips, ascending."""
    return sorted({r["bit_width"] for row in rows for r in row["results"]} - {FLOAT_BITS})


def series(variant: str, bit_width: int) -> str:
    """Return the name of a line or dot in a figure of one bit width."""
    return f"{variant} (float)" if bit_width == FLOAT_BITS else variant


def curve_panels(rows: Sequence[Row], references: References) -> list[list[Panel]]:
    """Return panels of returns over env steps: a column a bit width, a row a task.

    All tasks together come first, if there are several that can be put together, in scores over the
    share of env steps.
    """
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    widths = widths_of(rows)
    panels = [[_alone(rows, task, width) for width in widths] for task in tasks]
    if len(tasks) > 1 and are_comparable(references):
        panels.insert(0, [_together(rows, references, width) for width in widths])
    return panels


def are_comparable(references: References) -> bool:
    """Return whether scores of all tasks can be put together: one task, or all normalised."""
    return len(references) == 1 or None not in references.values()


def flip_panels(rows: Sequence[Row]) -> list[list[Panel]]:
    """Return panels of flips over gap / error, a line a form: all bit widths, then each."""
    widths = widths_of(rows)
    groups = [("all bit widths", set(widths)), *((bits(w), {w}) for w in widths)]
    panels = [_flips(rows, title, among) for title, among in groups[len(widths) == 1 :]]
    return [panels[i : i + COLUMNS] for i in range(0, len(panels), COLUMNS)]


def _together(rows: Sequence[Row], references: References, width: int) -> Panel:
    curves = {}
    for name, by_task in _curves(rows, width).items():
        if len(by_task) < len(references):
            continue  # an easy task alone would lift the curve
        scores = [_as_scores(by_task[task], references[task]) for task in by_task]
        curves[name] = SHARES, efficiency(scores, [SHARES for _ in by_task])
    x, y = Axis("share of env steps"), Axis("score (random 0, solved 1)")
    return Panel(f"all tasks, {bits(width)}", x, y, curves)


def _alone(rows: Sequence[Row], task: str, width: int) -> Panel:
    curves: dict[str, tuple[Array, Estimate]] = {}
    for name, by_task in _curves(rows, width).items():
        if task in by_task:
            grid = np.unique(np.concatenate([curve[:, 0] for curve in by_task[task]]))
            curves[name] = grid, efficiency([by_task[task]], [grid])
    return Panel(f"{task}, {bits(width)}", Axis("env steps"), Axis("return"), curves)


def _as_scores(curves: list[Array], reference: Reference) -> list[Array]:
    """Curves in scores, over the share of their env steps."""
    return [np.stack([c[:, 0] / c[-1, 0], normalised(c[:, 1], reference)], axis=1) for c in curves]


def _curves(rows: Sequence[Row], width: int) -> dict[str, dict[str, list[Array]]]:
    """Curves of a bit width, and of float peers, by name and task, one a seed."""
    found: dict[str, dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["bit_width"] in {width, FLOAT_BITS} and row["curve"]:
            name = series(row["variant"], row["bit_width"])
            found[name][row["task"]].append(np.array(row["curve"], np.float64))
    return found


def _flips(rows: Sequence[Row], title: str, widths: set[int]) -> Panel:
    counted: dict[str, list[tuple[list[int], list[int]]]] = defaultdict(list)
    for row in rows:
        for result in row["results"]:
            if result["bit_width"] in widths and "ratio_counts" in result:
                counted[result["form"]].append((result["ratio_counts"], result["ratio_flips"]))
    centres = np.sqrt(EDGES[1:] * EDGES[:-1])
    curves = {}
    for form, pairs in counted.items():
        counts, flips = (np.array(part)[:, 1:-1] for part in zip(*pairs, strict=True))
        value = flip_curve(counts, flips)
        shown = np.isfinite(value.value)
        if shown.any():
            parts = (part[shown] for part in (value.value, value.low, value.high))
            curves[form] = centres[shown], Estimate(*parts)
    x = Axis("action gap / conversion error", (EDGES[0], EDGES[-1]), mark=2.0, is_log=True)
    return Panel(title, x, Axis("flipped actions"), curves)


def by_width(found: Mapping[Contender, Any], form: str, width: int) -> dict[str, Any]:
    """Return what is known of the contenders of a form and width, and of float peers, by name."""
    return {
        series(c.variant, c.bit_width): value
        for c, value in found.items()
        if (c.form, c.bit_width) == (form, width)
        or (form == CHIP and (c.form, c.bit_width) == (FPNN, FLOAT_BITS))
    }
