"""Contenders side by side over tasks and seeds: what is computed of them, as tables.

Scores are normalised task by task, random 0 and solved 1. Every estimate draws from a generator of
its own, so that a line of a table does not depend on which other lines there are.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.report.statistics import (
    Estimate,
    difference,
    improvement_interval,
    interval,
    iqm,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rivc.report.statistics import Array

CHIP, FPNN = "chip", "fpnn"
FLOAT_BITS: Final = 32
_INTERVAL: Final = "95 % interval of a stratified bootstrap over seeds"
LEGEND: Final = f"Interquartile mean, {_INTERVAL}"
ALL, PAIRS = "All tasks", "Pairs"
EVERY_TASK: Final = "all"  # a name that no task may have
CHANCE: Final = f"Probability of improvement, {_INTERVAL}"


def bits(width: int) -> str:
    """Return a bit width in words."""
    return "1 bit" if width == 1 else f"{width} bits"


def form_name(form: str) -> str:
    """Return what people call a form."""
    return "FPNN" if form == FPNN else form


@dataclass(frozen=True, slots=True)
class Contender:
    """What is compared: a variant at a bit width in one of its forms."""

    variant: str
    bit_width: int
    form: str

    @property
    def label(self) -> str:
        """What people call it."""
        if self.bit_width == FLOAT_BITS:
            return f"{self.variant}, float"
        form = [] if self.form == CHIP else [form_name(self.form)]
        return ", ".join([self.variant, bits(self.bit_width), *form])

    @property
    def is_plain(self) -> bool:
        """True for a program on its chip, and for a peer in floating point."""
        return self.form == CHIP or self.bit_width == FLOAT_BITS


@dataclass(frozen=True, slots=True)
class Outcome:
    """One seed of a contender on one task.

    Attributes:
        contender: whose it is.
        task: by name.
        seed: of the training.
        score: normalised return.
        return_mean: over greedy episodes.
        success_rate: over the same; None where the task has no such thing.
        flip_rate: share of states in which the form acts otherwise than the FPNN; None if unknown.
        cpu_seconds: of training.
    """

    contender: Contender
    task: str
    seed: int
    score: float
    return_mean: float
    success_rate: float | None = None
    flip_rate: float | None = None
    cpu_seconds: float | None = None


Seeds = dict[int, Outcome]
Contest = dict[Contender, dict[str, Seeds]]


@dataclass(frozen=True, slots=True)
class Line:
    """What is said of a contender.

    Attributes:
        contender: itself.
        runs: how many, by task.
        score: interquartile mean over all its tasks; None where they cannot be put together.
        returns: interquartile mean return by task.
        flip_rate: mean over runs, None if unknown.
        cpu_seconds: mean of a run, None if unknown.
    """

    contender: Contender
    runs: dict[str, int]
    score: Estimate | None
    returns: dict[str, Estimate]
    flip_rate: float | None
    cpu_seconds: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """How a contender stands against another, on the tasks that both have.

    Attributes:
        first: whose improvement it is.
        second: over whom.
        tasks: that both have.
        runs: of the first on these tasks.
        runs_of_second: likewise.
        improvement: probability that a run of the first is better, over all of both.
        difference: of the interquartile means, the first's less the second's, over the seeds that
            both have.
    """

    first: Contender
    second: Contender
    tasks: int
    runs: int
    runs_of_second: int
    improvement: Estimate
    difference: Estimate


def contest(outcomes: Iterable[Outcome]) -> Contest:
    """Return outcomes by contender, task and seed, in the order in which they come."""
    found: Contest = {}
    for outcome in outcomes:
        tasks = found.setdefault(outcome.contender, {})
        tasks.setdefault(outcome.task, {})[outcome.seed] = outcome
    return found


def lines(found: Contest, *, together: bool = True) -> list[Line]:
    """Return a line for every contender.

    Args:
        found: the outcomes.
        together: normalised scores of several tasks may be put together.
    """
    return [_line(contender, tasks, together) for contender, tasks in found.items()]


def pairs(found: Contest, reference: str) -> list[Pair]:
    """Return how the reference variant stands against all others.

    Equal bit widths and forms are paired, and its chips with peers in floating point.
    """
    return [
        _pair(first, second, found)
        for first in found
        if first.variant == reference
        for second in found
        if second.variant != reference and _is_fair(first, second)
        if _shared_tasks(found[first], found[second])
    ]


def scores(tasks: dict[str, Seeds]) -> list[Array]:
    """Return normalised scores, one array a task, in ascending order of the seeds."""
    return [np.array([seeds[s].score for s in sorted(seeds)]) for seeds in tasks.values()]


def estimate(tasks: dict[str, Seeds]) -> Estimate:
    """Return the interquartile mean of normalised scores."""
    return interval(iqm, scores(tasks), _rng())


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


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _line(contender: Contender, tasks: dict[str, Seeds], together: bool) -> Line:
    returns = {
        task: interval(iqm, [np.array([o.return_mean for o in seeds.values()])], _rng())
        for task, seeds in tasks.items()
    }
    every = [outcome for seeds in tasks.values() for outcome in seeds.values()]
    return Line(
        contender,
        {task: len(seeds) for task, seeds in tasks.items()},
        estimate(tasks) if together else None,
        returns,
        _mean(o.flip_rate for o in every),
        _mean(o.cpu_seconds for o in every),
    )


def _is_fair(first: Contender, second: Contender) -> bool:
    alike = (first.bit_width, first.form) == (second.bit_width, second.form)
    return alike or (first.form == CHIP and (second.bit_width, second.form) == (FLOAT_BITS, FPNN))


def _pair(first: Contender, second: Contender, found: Contest) -> Pair:
    one, two = found[first], found[second]
    shared = _shared_tasks(one, two)
    x, y = scores({t: one[t] for t in shared}), scores({t: two[t] for t in shared})
    seeds = {t: one[t].keys() & two[t].keys() for t in shared}
    a, b = (scores({t: {s: side[t][s] for s in seeds[t]} for t in shared}) for side in (one, two))
    return Pair(
        first,
        second,
        len(shared),
        sum(map(len, x)),
        sum(map(len, y)),
        improvement_interval(x, y, _rng()),
        difference(a, b, _rng()),
    )


def _shared_tasks(one: dict[str, Seeds], two: dict[str, Seeds]) -> list[str]:
    """The tasks of which both have a seed."""
    return [task for task in one if one[task].keys() & two.get(task, {}).keys()]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


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
