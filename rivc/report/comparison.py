"""Contenders side by side over tasks and seeds: what is computed of them.

Scores are normalised task by task, random 0 and solved 1. Every estimate draws from a generator of
its own, so that a line of a table does not depend on which other lines there are.
"""

from __future__ import annotations

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
    from collections.abc import Iterable

    from rivc.report.statistics import Array

CHIP, FPNN = "chip", "fpnn"
FLOAT_BITS: Final = 32
EVERY_TASK: Final = "all"  # a name that no task may have


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
