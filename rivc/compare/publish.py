"""What a comparison leaves behind: tables as Markdown and CSV, figures as PNG and SVG."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from rivc.compare.outcomes import (
    are_comparable,
    by_width,
    curve_panels,
    flip_panels,
    outcomes,
    series,
)
from rivc.compare.table import DONE
from rivc.errors import UsageError
from rivc.report import comparison, plots, tables
from rivc.report.comparison import CHIP, FLOAT_BITS, bits, form_name
from rivc.report.effects import TITLE, effects, effects_csv, effects_grid
from rivc.report.plots import Axis, Panel
from rivc.report.statistics import exceeding, interval
from rivc.snn_convert.storage import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rivc.compare.job import Job
    from rivc.compare.outcomes import References
    from rivc.compare.suite import Suite
    from rivc.compare.table import Row, Table
    from rivc.report.comparison import Contender, Contest, Line, Pair
    from rivc.report.effects import Effect, Sides
    from rivc.report.plots import Panels
    from rivc.report.statistics import Estimate
    from rivc.report.tables import Grid

REPORT_FILE: Final = "report.md"
LEVELS: Final = np.linspace(-0.1, 1.2, 66)  # of performance profiles
RESAMPLES: Final = 2_000
SCALE: Final = "random 0, solved 1"


@dataclass(frozen=True)
class Comparison:
    """Everything that is said of some rows; statistics are taken once, when they are asked for.

    Attributes:
        title: of the comparison.
        rows: of jobs that are done.
        references: of their tasks.
        failed: rows of those that failed.
        jobs: how many there are in all.
        variants: in order, the one first that the others are compared with; by default, as the rows
            have them.
        sides: by setting, variants with and without it, of which its effect is said.
    """

    title: str
    rows: Sequence[Row]
    references: References
    failed: Sequence[Row] = ()
    jobs: int = 0
    variants: Sequence[str] = ()
    sides: Sides = field(default_factory=dict)

    @classmethod
    def of_suite(cls, suite: Suite, work: Sequence[Job], results: Table) -> Comparison:
        """Return what a table holds of the jobs of a suite."""
        known = results.of(work)
        return cls(
            title=f"Suite {suite.name}",
            rows=[row for row in known if row["status"] == DONE],
            references=suite.references(),
            failed=[row for row in known if row["status"] != DONE],
            jobs=len(work),
            variants=[*suite.variants],
            sides=suite.sides(),
        )

    @cached_property
    def contest(self) -> Contest:
        """Outcomes by contender, task and seed.

        Raises:
            UsageError: if no job is done.
        """
        if not self.rows:
            raise UsageError("no job is done, so there is nothing to report")
        variants = [*self.variants, *(row["variant"] for row in self.rows)]
        return comparison.contest(outcomes(self.rows, self.references, variants))

    @cached_property
    def lines(self) -> list[Line]:
        """What is said of each contender."""
        return comparison.lines(self.contest, together=self.is_normalised)

    @cached_property
    def pairs(self) -> list[Pair]:
        """How the reference stands against each; none where tasks cannot be put together."""
        return comparison.pairs(self.contest, self.reference) if self.is_normalised else []

    @cached_property
    def effects(self) -> list[Effect]:
        """What settings are worth; none where tasks cannot be put together."""
        return effects(self.contest, self.sides) if self.is_normalised else []

    @property
    def grids(self) -> list[Grid]:
        """All of them as tables."""
        worth = [effects_grid(self.effects)] if self.effects else []
        note = f"Scores: {SCALE}." if self.is_scored else ""
        return worth + tables.grids(self.lines, self.pairs, note)

    @property
    def reference(self) -> str:
        """The variant that the others are compared with: the first, whatever is done of it."""
        return next(iter(self.variants), str(self.rows[0]["variant"]))

    @property
    def is_normalised(self) -> bool:
        """True if scores of all tasks can be put together."""
        return are_comparable(self.references)

    @property
    def is_scored(self) -> bool:
        """True if a score is 0 for random and 1 for solved, False if it is the return."""
        return None not in self.references.values()


@dataclass(frozen=True)
class Drawing:
    """A figure before it is drawn.

    Attributes:
        title: of the whole.
        panels: every one with curves, or every one with points.
        names: in order, which fixes their colours.
    """

    title: str
    panels: Panels
    names: Sequence[str]

    @property
    def has_any(self) -> bool:
        """Whether there is anything to draw."""
        return any(panel.curves or panel.points for row in self.panels for panel in row)

    @property
    def is_dotted(self) -> bool:
        """True for points, False for curves."""
        return any(panel.points for row in self.panels for panel in row)

    def files(self) -> dict[str, bytes]:
        """Draw it with matplotlib; return the file by its format."""
        figure = plots.dot_figure if self.is_dotted else plots.line_figure
        return figure(self.panels, self.names, self.title)


def publish(found: Comparison, folder: Path, *, figures: bool) -> list[Path]:
    """Write tables and figures, and return their paths.

    Raises:
        MissingError: if figures are wanted and matplotlib is not installed.
        UsageError: if a file cannot be written, or no job is done.
    """
    shown = drawings(found) if figures else {}
    drawn = {name: drawing.files() for name, drawing in shown.items()}
    text = tables.markdown(found.title, found.grids, [*_pictures(drawn), *state(found)])
    files = {
        REPORT_FILE: text.encode(),
        "outcomes.csv": tables.outcomes_csv(found.contest).encode(),
        "scores.csv": tables.lines_csv(found.lines).encode(),
        "pairs.csv": tables.pairs_csv(found.pairs).encode(),
    }
    files |= {"effects.csv": effects_csv(found.effects).encode()} if found.effects else {}
    files |= {f"{name}.{kind}": x for name, kinds in drawn.items() for kind, x in kinds.items()}
    for name, content in files.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name, content)
        except OSError as error:
            raise UsageError(f"cannot write {folder / name}: {error.strerror}") from error
    return [folder / name for name in files]


def drawings(found: Comparison) -> dict[str, Drawing]:
    """Return the figures that there is something for, by name."""
    names = list(dict.fromkeys(series(c.variant, c.bit_width) for c in found.contest))
    curves, flips = curve_panels(found.rows, found.references), flip_panels(found.rows)
    drawn = {"curves": Drawing("Greedy return while training: interquartile mean", curves, names)}
    forms = list(dict.fromkeys(name for row in flips for p in row for name in p.curves))
    drawn["flips"] = Drawing("When an error flips the action", flips, forms)
    if found.is_normalised:
        chance = Axis(f"P({found.reference} is better)", (-0.03, 1.03), mark=0.5)
        drawn |= {
            "effects": Drawing(f"{TITLE}: difference of mean scores", *_worth(found)),
            "scores": Drawing(tables.LEGEND, _scores(found), names),
            "improvement": Drawing(tables.CHANCE, _dots(_better(found.pairs), chance), names),
        }
    if found.is_scored:
        drawn["profiles"] = Drawing("Performance profiles", [_profiles(found.contest)], names)
    return {name: drawing for name, drawing in drawn.items() if drawing.has_any}


def _profiles(contest: Contest) -> list[Panel]:
    profile = partial(exceeding, thresholds=LEVELS)
    curves = {
        contender: (
            LEVELS,
            interval(profile, comparison.scores(tasks), np.random.default_rng(0), RESAMPLES),
        )
        for contender, tasks in contest.items()
        if contender.form == CHIP or contender.bit_width == FLOAT_BITS
    }
    x, y = Axis(f"score ({SCALE})"), Axis("share of runs above", (-0.02, 1.02))
    return [Panel(bits(w), x, y, by_width(curves, CHIP, w)) for w in _widths(contest)]


def _scores(found: Comparison) -> Panels:
    """Panels of scores; a float peer stands beside the chips of every width."""
    values = {line.contender: line.score for line in found.lines if line.score is not None}
    places = dict.fromkeys(c.form for c in values if c.bit_width != FLOAT_BITS)
    points = [
        Point(form, width, name, value)
        for form in places
        for width in _widths(values)
        for name, value in by_width(values, form, width).items()
    ]
    label, mark = (f"score ({SCALE})", 1.0) if found.is_scored else ("return", None)
    return _dots(points, Axis(label, plots.limits(values.values()), mark=mark))


def _better(pairs: Iterable[Pair]) -> list[Point]:
    """Of each pair the chance, where its first stands."""
    return [
        Point(
            pair.first.form,
            pair.first.bit_width,
            series(pair.second.variant, pair.second.bit_width),
            pair.improvement,
        )
        for pair in pairs
    ]


def _worth(found: Comparison) -> tuple[Panels, list[str]]:
    """Panels of effects, and the names of all settings."""
    points = [Point(e.form, e.bit_width, e.name, e.score) for e in found.effects]
    limits = plots.limits([point.value for point in points])
    x = Axis("score with it less without", limits, mark=0.0)
    return _dots(points, x), list(dict.fromkeys(point.name for point in points))


class Point(NamedTuple):
    """An estimate, and in which panel it stands under which name."""

    form: str
    bit_width: int
    name: str
    value: Estimate


def _dots(points: Sequence[Point], x: Axis) -> list[list[Panel]]:
    """Panels of points: a row a form, a column a bit width."""
    panels: dict[tuple[str, int], dict[str, Estimate]] = defaultdict(dict)
    for form, width, name, value in points:
        panels[form, width][name] = value
    widths = sorted({width for _, width in panels})
    return [
        [Panel(f"{form_name(form)}, {bits(w)}", x, points=panels[form, w]) for w in widths]
        for form in dict.fromkeys(form for form, _ in list(panels))
    ]


def _widths(found: Iterable[Contender]) -> list[int]:
    return sorted({contender.bit_width for contender in found} - {FLOAT_BITS})


def _pictures(drawn: dict[str, dict[str, bytes]]) -> list[str]:
    return [line for name in drawn for line in (f"![{name}]({name}.png)", "")]


def state(found: Comparison) -> list[str]:
    """Return, as lines of Markdown, what is missing, what failed, and what is not of one kind."""
    missing = found.jobs - len(found.rows) - len(found.failed)
    lines = [f"{missing:,} of {found.jobs:,} jobs are still to be done."] if missing > 0 else []
    lines += [f"- failed: {row['job']}: {row['error']}" for row in found.failed]
    lines += [
        f"- went on after {row['failures']} failures: {row['job']}"
        for row in found.rows
        if row.get("failures")
    ]
    lines += [
        f"- at {row['env_steps']:,} of {row['planned_env_steps']:,} env steps: {row['job']}"
        for row in found.rows
        if row["env_steps"] < row.get("planned_env_steps", 0)
    ]
    return lines + [
        f"- rows of several versions of {name}: {', '.join(versions)}"
        for name, versions in _versions(found.rows).items()
        if len(versions) > 1
    ]


def _versions(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Versions that rows were made with, by package."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, version in row.get("versions", {}).items():
            found.setdefault(name, {})[str(version)] = None
    return {name: [*versions] for name, versions in found.items()}
