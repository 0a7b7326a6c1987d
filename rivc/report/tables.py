"""What is computed of contenders as tables: text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rivc.report.comparison import EVERY_TASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rivc.report.comparison import Contest, Line, Pair
    from rivc.report.statistics import Estimate

_INTERVAL: Final = "95 % interval of a stratified bootstrap over seeds"
LEGEND: Final = f"Interquartile mean, {_INTERVAL}"
ALL, PAIRS = "All tasks", "Pairs"
CHANCE: Final = f"Probability of improvement, {_INTERVAL}"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as text.

    Attributes:
        title: what it holds.
        note: how to read it; may be empty.
        head: names of the columns.
        rows: cells, as many as the head has.
    """

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def grids(found: Sequence[Line], against: Sequence[Pair], note: str) -> list[Grid]:
    """Return the tables that there is something for: all tasks, each task, pairs.

    Args:
        found: of each contender.
        against: of the reference and each other.
        note: what the scores over all tasks are.
    """
    scored = [_all_cells(line) for line in found if line.score]
    made = [
        Grid(ALL, note, _ALL, scored),
        *(
            Grid(task, "", _ONE, [_task_cells(x, task) for x in found if task in x.returns])
            for task in _tasks(found)
        ),
        Grid(PAIRS, "", _PAIR, [_pair_cells(pair) for pair in against]),
    ]
    return [grid for grid in made if grid.rows]


def markdown(title: str, tables: Sequence[Grid], notes: Sequence[str]) -> str:
    """Return everything as Markdown."""
    parts = [f"# {title}", "", f"{LEGEND}; pairs: the same intervals.", ""]
    for grid in tables:
        parts += [f"## {grid.title}", ""]
        parts += [grid.note, ""] if grid.note else []
        parts += [*_rows(grid.head, grid.rows), ""]
    return "\n".join([*parts, *notes, *([""] if notes else [])])


def outcomes_csv(found: Contest) -> str:
    """Return every outcome as a line of CSV."""
    head = ["task", "variant", "bit_width", "form", "seed", "score", "return_mean"]
    head += ["success_rate", "flip_rate", "cpu_seconds"]
    rows = [
        [
            *(o.task, c.variant, c.bit_width, c.form, o.seed, o.score),
            *(o.return_mean, o.success_rate, o.flip_rate, o.cpu_seconds),
        ]
        for c, tasks in found.items()
        for seeds in tasks.values()
        for o in seeds.values()
    ]
    return as_csv(head, rows)


def lines_csv(found: Sequence[Line]) -> str:
    """Return the lines as CSV, one a contender and task; all tasks together are the task `all`."""
    head = ["variant", "bit_width", "form", "task", "iqm", "low", "high", "runs"]
    rows = [
        [c.variant, c.bit_width, c.form, task, *ends(value), runs]
        for line in found
        for c in [line.contender]
        for task, value, runs in with_all(line.score, line.returns, line.runs)
        if value is not None
    ]
    return as_csv(head, rows)


def pairs_csv(found: Sequence[Pair]) -> str:
    """Return the pairs as CSV."""
    head = ["first", "second", "tasks", "runs", "runs_of_second"]
    head += [f"{x}{end}" for x in ("improvement", "difference") for end in ("", "_low", "_high")]
    rows = [
        [
            *(p.first.label, p.second.label, p.tasks, p.runs, p.runs_of_second),
            *ends(p.improvement),
            *ends(p.difference),
        ]
        for p in found
    ]
    return as_csv(head, rows)


def with_all(
    score: Estimate | None, by_task: dict[str, Estimate], runs: dict[str, int]
) -> list[tuple[str, Estimate | None, int]]:
    """Return name, estimate and number of runs of all tasks together, and of each."""
    each = [(task, value, runs[task]) for task, value in by_task.items()]
    return [(EVERY_TASK, score, sum(runs.values())), *each]


def span(value: Estimate, digits: int = 2) -> str:
    """Return an estimate as text.

    >>> span(Estimate(0.5, 0.25, 1.0))
    '0.50 [0.25, 1.00]'
    """
    if value.is_one_seed:
        return f"{value.value:.{digits}f}, one seed"
    ends = f"[{value.low:.{digits}f}, {value.high:.{digits}f}]"
    return f"{value.value:.{digits}f} {ends}{value.luck}"


def ends(value: Estimate) -> tuple[float, float | None, float | None]:
    """Return an estimate as numbers, without an interval where one seed has none."""
    interval = (None, None) if value.is_one_seed else (float(value.low), float(value.high))
    return float(value.value), *interval


def _tasks(found: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(task for line in found for task in line.returns))


_ALL: Final = ("contender", "tasks", "runs", "score", "flipped actions", "CPU s a run")
_ONE: Final = ("contender", "return")
_PAIR: Final = (
    *("first", "second", "tasks", "runs", "runs of second"),
    *("P(first better)", "difference of scores"),
)


def _all_cells(line: Line) -> list[str]:
    return [
        line.contender.label,
        str(len(line.returns)),
        str(sum(line.runs.values())),
        span(line.score) if line.score else "",
        "" if line.flip_rate is None else f"{line.flip_rate:.2%}",
        "" if line.cpu_seconds is None else f"{line.cpu_seconds:,.0f}",
    ]


def _task_cells(line: Line, task: str) -> list[str]:
    return [line.contender.label, span(line.returns[task], 1)]


def _pair_cells(pair: Pair) -> list[str]:
    return [
        pair.first.label,
        pair.second.label,
        str(pair.tasks),
        str(pair.runs),
        str(pair.runs_of_second),
        span(pair.improvement),
        span(pair.difference),
    ]


def _rows(head: Sequence[str], cells: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---", *["---:"] * (len(head) - 1)], *cells):
        yield f"| {' | '.join(row)} |"


def as_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()
