"""The page of a comparison: who works, who is better, and when an error flips the action."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from rivc import __version__
from rivc.compare.publish import SCALE, drawings, state
from rivc.report import comparison
from rivc.report.comparison import bits, form_name
from rivc.report.effects import NOTE, TITLE
from rivc.report.page import Card, Charts, Code, Folded, Page, Section, Table, Text
from rivc.report.svg import dots, lines
from rivc.report.tables import ALL, CHANCE, LEGEND, PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rivc.compare.publish import Comparison, Drawing
    from rivc.report.page import Block
    from rivc.report.statistics import Estimate
    from rivc.report.tables import Grid


ELSEWHERE: Final = {ALL, PAIRS, TITLE}  # tables that have a section of their own
MOST_ROWS: Final = 24  # of a table that is not folded


def comparison_page(found: Comparison, commands: Sequence[str]) -> Page:
    """Return the page of a comparison.

    Args:
        found: rows and references.
        commands: that made it, to be told at its end.

    Raises:
        UsageError: if no job is done.
    """
    grids = {grid.title: grid for grid in found.grids}
    shown = drawings(found)
    return Page(
        title=found.title,
        subtitle=_size(found),
        cards=[_jobs_card(found), *_best_card(found), *_pair_card(found), *_flip_card(found)],
        sections=[
            _what(found),
            _works(grids, shown),
            *_better(found, grids, shown),
            *_worth(grids, shown),
            *_flips(shown),
            _tasks(grids, shown),
            Section("again", "How to reproduce", _left(found), [Code("\n".join(commands))]),
        ],
        made_by=f"Made by rivc {__version__}. {LEGEND}.",
    )


def _jobs_card(found: Comparison) -> Card:
    failed, done = len(found.failed), len(found.rows)
    note = f"jobs done; {failed:,} failed"
    verdict = "bad" if failed else "good" if done == found.jobs else "plain"
    return Card("Is it complete?", f"{done:,} of {found.jobs:,}", note, verdict)  # type: ignore[arg-type]


def _best_card(found: Comparison) -> list[Card]:
    scored = [
        (x.score, x)
        for x in found.lines
        if x.score is not None and x.contender.is_plain and len(x.returns) == len(found.references)
    ]
    if not scored:
        return []
    score, best = max(scored, key=lambda pair: float(pair[0].value))
    unit = f"score, {SCALE}" if found.is_scored else "return"
    note = f"{best.contender.label}; {unit}"
    return [_estimate_card("Who scores most?", score, note)]


def _pair_card(found: Comparison) -> list[Card]:
    """The pair that is nearest to a tie, the hardest claim."""
    plain = [pair for pair in found.pairs if pair.first.is_plain and pair.second.is_plain]
    if not plain:
        return []
    pair = min(plain, key=lambda pair: abs(float(pair.improvement.value) - 0.5))
    note = f"probability that {pair.first.label} beats {pair.second.label}, the closest pair"
    return [_estimate_card("Is the first better?", pair.improvement, note)]


def _estimate_card(question: str, found: Estimate, note: str) -> Card:
    extent = "one seed" if found.is_one_seed else f"{found.low:.2f} to {found.high:.2f}"
    return Card(question, f"{found.value:.2f}", f"{extent}{found.luck}: {note}")


def _flip_card(found: Comparison) -> list[Card]:
    rates = [
        line.flip_rate
        for line in found.lines
        if line.contender.variant == found.reference
        and line.contender.form == comparison.CHIP
        and line.flip_rate is not None
    ]
    if not rates:
        return []
    note = f"of the actions of {found.reference} are flipped by its chip, worst bit width"
    return [
        Card("Does the chip agree?", f"{max(rates):.2%}", note, "plain" if max(rates) else "good")
    ]


def _what(found: Comparison) -> Section:
    rows = found.rows
    lead = (
        f"Every variant was trained on every task; {found.reference} is the one "
        "that others are compared with. FPNN is the network as it was trained."
    )
    forms = [form_name(r["form"]) for row in rows for r in row["results"]]
    facts = {
        "tasks": _listed(row["task"] for row in rows),
        "variants": _listed(row["variant"] for row in rows),
        "bit widths": _listed(bits(r["bit_width"]) for row in rows for r in row["results"]),
        "forms": _listed(forms),
        "seeds": f"up to {len({row['seed'] for row in rows})}",
        "env steps": _listed(f"{row['env_steps']:,}" for row in rows),
    }
    table = Table("The suite", ("what", "value"), [*facts.items()], wide=("value",))
    scale = [[task, *(f"{x:g}" for x in ends)] for task, ends in found.references.items() if ends]
    blocks: list[Block] = [table]
    if scale:
        blocks.append(Table("Scores", ("task", "return that is 0", "return that is 1"), scale))
    return Section("what", "What it is", lead, blocks)


def _works(grids: dict[str, Grid], shown: dict[str, Drawing]) -> Section:
    blocks = [*_charts(shown, "scores", LEGEND), *_table(grids, ALL)]
    profiles = "Share of runs whose score is above each level: the higher a line, the better."
    blocks += _charts(shown, "profiles", profiles)
    lead = (
        "The middle half of all scores counts; the interval says how much of it is luck of the "
        "seeds."
    )
    return Section("works", "Does it work", lead, blocks or [Text("Tasks have no references.")])


def _better(found: Comparison, grids: dict[str, Grid], shown: dict[str, Drawing]) -> list[Section]:
    if PAIRS not in grids:
        return []
    lead = (
        f"How probably a run of {found.reference} is better than one of another variant: 0.5 is a "
        "tie, and an interval that holds 0.5 decides nothing."
    )
    blocks = [*_charts(shown, "improvement", CHANCE), *_table(grids, PAIRS)]
    return [Section("better", "Who is better", lead, blocks)]


def _worth(grids: dict[str, Grid], shown: dict[str, Drawing]) -> list[Section]:
    if TITLE not in grids:
        return []
    lead = "An interval that holds 0 decides nothing; where it is narrow, the setting does nothing."
    blocks = [*_charts(shown, "effects", NOTE), *_table(grids, TITLE)]
    return [Section("worth", TITLE, lead, blocks)]


def _flips(shown: dict[str, Drawing]) -> list[Section]:
    caption = (
        "Share of states in which a form acts otherwise than the network, by action gap over "
        "conversion error. Right of the mark at 2 there can be none."
    )
    lead = "An error flips an action only where the action gap is no more than twice the error."
    blocks = _charts(shown, "flips", caption)
    return [Section("flips", "When an error flips the action", lead, blocks)] if blocks else []


def _tasks(grids: dict[str, Grid], shown: dict[str, Drawing]) -> Section:
    caption = "Greedy return while training: interquartile mean with its interval."
    blocks = _charts(shown, "curves", caption)
    blocks += [block for name in grids if name not in ELSEWHERE for block in _table(grids, name)]
    lead = "Learning curves, and what each form of the final policies returns."
    return Section("tasks", "Task by task", lead, blocks)


def _left(found: Comparison) -> str:
    return " ".join(state(found)) or "Every job is done; the same commands give the same page."


def _table(grids: dict[str, Grid], name: str) -> list[Block]:
    """A table, folded where it is long; nothing where there is none."""
    grid = grids.get(name)
    if grid is None:
        return []
    caption = f"{grid.title}. {grid.note}" if grid.note else grid.title
    table = Table(caption, grid.head, grid.rows, wide=[h for h in grid.head if h == "second"])
    is_long = len(grid.rows) > MOST_ROWS
    return [Folded(f"{caption} ({len(grid.rows)} rows)", [table]) if is_long else table]


def _charts(shown: dict[str, Drawing], name: str, caption: str) -> list[Block]:
    """The charts of a drawing; of dots those of the chip, and folded those of other forms."""
    drawing = shown.get(name)
    if drawing is None:
        return []
    draw = dots if drawing.is_dotted else lines
    first, *rest = drawing.panels if drawing.is_dotted else [list(chain(*drawing.panels))]
    charts, others = ([draw(p, drawing.names) for p in panels] for panels in (first, chain(*rest)))
    folded = [Folded("Other forms", [Charts(others, caption)])] if others else []
    return [Charts(charts, caption), *folded]


def _size(found: Comparison) -> str:
    counts = {key: len({row[key] for row in found.rows}) for key in ("task", "variant", "seed")}
    parts = [f"{count:,} {key}{'s' * (count != 1)}" for key, count in counts.items()]
    return f"{len(found.rows):,} runs: {', '.join(parts)}"


def _listed(values: Iterable[Any]) -> str:
    return "; ".join(dict.fromkeys(map(str, values)))  # names may hold commas
