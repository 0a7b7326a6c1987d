r"""What one setting is worth: variants that have it against the same ones without.

With :math:`x_{m,n}` the mean score of seed n on task m over the variants that have the setting, and
:math:`y_{m,n}` over those that do not, the effect on a task is the mean of
:math:`x_{m,n} - y_{m,n}` over its seeds, and on all tasks the mean of these. Means, for an effect
on a quarter of all runs would not show in an interquartile mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.report.comparison import FPNN, Contender, bits, form_name
from rivc.report.statistics import difference, mean
from rivc.report.tables import Grid, as_csv, ends, span, with_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rivc.report.comparison import Contest, Seeds
    from rivc.report.statistics import Array, Estimate

    Sides = Mapping[str, tuple[Sequence[str], Sequence[str]]]
    Two = tuple[Array, Array]

TITLE: Final = "What each is worth"
NOTE: Final = (
    "Mean score with it less mean score without, 95 % interval of a stratified bootstrap over "
    "seeds, the same ones on both sides."
)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a setting changes at a bit width, where policies are judged in one form.

    Attributes:
        name: of the setting.
        bit_width: of all policies.
        form: likewise.
        runs: how many have the setting, by task; as many have it not.
        score: over all tasks.
        tasks: by task.
    """

    name: str
    bit_width: int
    form: str
    runs: dict[str, int]
    score: Estimate
    tasks: dict[str, Estimate]


def effects(found: Contest, sides: Sides) -> list[Effect]:
    """Return the effect of every setting, at every width and in every form that there are runs of.

    Args:
        found: the outcomes, whose order of forms and widths is kept.
        sides: by setting, variants that have it and variants that do not. A seed of a task counts
            if all of them have it.
    """
    places = dict.fromkeys((c.form, c.bit_width) for c in found if c.form != FPNN)
    made = [
        _effect(name, form, width, *_paired(found, form, width, with_it, without))
        for name, (with_it, without) in sides.items()
        for form, width in places
    ]
    return [effect for effect in made if effect is not None]


def _effect(
    name: str, form: str, width: int, pairs: dict[str, Two], variants: int
) -> Effect | None:
    if not pairs:
        return None
    tasks = {task: _estimate([pair]) for task, pair in pairs.items()}
    runs = {task: variants * len(x) for task, (x, _) in pairs.items()}
    return Effect(name, width, form, runs, _estimate([*pairs.values()]), tasks)


def _estimate(pairs: Sequence[Two]) -> Estimate:
    x, y = zip(*pairs, strict=True)
    return difference(x, y, np.random.default_rng(0), statistic=mean)


def _paired(
    found: Contest, form: str, width: int, with_it: Sequence[str], without: Sequence[str]
) -> tuple[dict[str, Two], int]:
    """Return mean scores of both sides by task, seed by seed, and how many variants have it."""
    every = [found.get(Contender(name, width, form), {}) for name in (*with_it, *without)]
    ours, theirs = every[: len(with_it)], every[len(with_it) :]
    pairs = {}
    for task in every[0]:
        shared = sorted(set.intersection(*(set(tasks.get(task, {})) for tasks in every)))
        if shared:
            pairs[task] = _means(ours, task, shared), _means(theirs, task, shared)
    return pairs, len(with_it)


def _means(side: Sequence[Mapping[str, Seeds]], task: str, seeds: Sequence[int]) -> Array:
    return np.array([np.mean([tasks[task][seed].score for tasks in side]) for seed in seeds])


def effects_grid(found: Sequence[Effect]) -> Grid:
    """Return effects as a table."""
    tasks = list(dict.fromkeys(task for effect in found for task in effect.tasks))
    return Grid(
        TITLE, NOTE, ("setting", "judged on", "runs", "all tasks", *tasks), [*_rows(found, tasks)]
    )


def _rows(found: Sequence[Effect], tasks: Sequence[str]) -> Iterator[list[str]]:
    for effect in found:
        where = f"{form_name(effect.form)}, {bits(effect.bit_width)}"
        each = [span(effect.tasks[task]) if task in effect.tasks else "" for task in tasks]
        yield [effect.name, where, str(sum(effect.runs.values())), span(effect.score), *each]


def effects_csv(found: Sequence[Effect]) -> str:
    """Return effects as CSV, one a task; all tasks together are the task `all`."""
    head = ["effect", "bit_width", "form", "task", "difference", "low", "high", "runs"]
    rows = [
        [e.name, e.bit_width, e.form, task, *ends(value), runs]
        for e in found
        for task, value, runs in with_all(e.score, e.tasks, e.runs)
        if value is not None
    ]
    return as_csv(head, rows)
