"""Robustness of runs side by side: as rows of text, as Markdown and as a chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from PIL import Image, ImageDraw

from rivc.report import theme
from rivc.train.stress import CONDITIONS, NOMINAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivc.report.theme import Colour
    from rivc.train.stress import Robustness

LEGEND: Final = "mean return ± standard deviation over episodes, share of nominal, success"
KEPT: Final = 0.9  # a share that counts as robust
COLOURS: Final[tuple[Colour, ...]] = (
    theme.ACCENT,
    (92, 178, 236),
    (123, 204, 130),
    (218, 122, 176),
    (178, 152, 240),
)
_LABELS, _WIDTH, _VALUES = 190, 520, 60  # columns, in pixels
_BAR, _ROW_GAP = 14, 10
_TOP_SHARE: Final = 1.1  # the right end of the chart


def label(found: Robustness) -> str:
    """Return what a column is called: the run and its bit width."""
    return f"{found.run} ({found.bit_width} bits)"


def rows(results: Sequence[Robustness]) -> list[list[str]]:
    """Return a row for every condition: its name, then a cell a run."""
    return [
        [condition.replace("_", " "), *(_cell(found, condition) for found in results)]
        for condition in _shown(results)
    ]


def markdown(results: Sequence[Robustness], title: str) -> str:
    """Return the table as Markdown, with a caption that says what a cell holds."""
    head = ["disturbance", *map(label, results)]
    lines = [head, ["---", *["---:"] * len(results)], *rows(results)]
    return "\n".join(
        [f"{title}: {LEGEND}.", "", *(f"| {' | '.join(line)} |" for line in lines), ""]
    )


def facts(found: Robustness) -> dict[str, Any]:
    """Return a result as plain values; a condition that could not be drawn is null."""
    scores = {
        condition: score
        and {
            "return_mean": score.return_mean,
            "return_std": score.return_std,
            "share_of_nominal": found.share(condition),
            "success_rate": score.success_rate,
        }
        for condition, score in found.scores.items()
    }
    return {
        "run": found.run,
        "bit_width": found.bit_width,
        "env_id": found.env_id,
        "policy": found.policy,
        "program_sha256": found.sha256,
        "conditions": scores,
    }


def chart(results: Sequence[Robustness], title: str) -> Image.Image:
    """Return a chart of the shares of nominal: a row a condition, a bar a run."""
    shown = _shown(results)[1:]  # nominal is 100 % by definition
    row_height = _BAR * len(results) + _ROW_GAP
    top = theme.MARGIN + 2 * theme.GAP + theme.GAP * len(results)
    size = (
        2 * theme.MARGIN + _LABELS + _WIDTH + _VALUES,
        top + row_height * len(shown) + theme.MARGIN,
    )
    image = Image.new("RGB", size, theme.BACKGROUND)
    draw = ImageDraw.Draw(image)
    _letter_head(draw, results, title)
    left = theme.MARGIN + _LABELS
    for i, condition in enumerate(shown):
        y = top + i * row_height
        name = condition.replace("_", " ")
        middle = y + (row_height - _ROW_GAP) // 2
        _letter(draw, (left - 12, middle), name, theme.TEXT, "rm")
        for k, found in enumerate(results):
            _paint_bar(draw, (left, y + k * _BAR), found.share(condition), _colour(k))
    kept = left + round(KEPT / _TOP_SHARE * _WIDTH)
    draw.line([(kept, top - 4), (kept, size[1] - theme.MARGIN)], theme.MUTED)
    _letter(draw, (kept, top - 6), f"{KEPT:.0%}", theme.MUTED, "mb")
    return image


def _shown(results: Sequence[Robustness]) -> list[str]:
    return [name for name in CONDITIONS if any(name in found.scores for found in results)]


def _cell(found: Robustness, condition: str) -> str:
    """Return a score in one cell; empty if the run's task has no such condition."""
    if condition not in found.scores:
        return ""
    score, share = found.scores[condition], found.share(condition)
    if score is None:
        return "no OpenGL here"
    parts = [f"{score.return_mean:.1f} ± {score.return_std:.1f}"]
    parts += [f"{share:.0%}"] if share is not None and condition != NOMINAL else []
    parts += [] if score.success_rate is None else [f"{score.success_rate:.0%}"]
    return ", ".join(parts)


def _letter_head(draw: ImageDraw.ImageDraw, results: Sequence[Robustness], title: str) -> None:
    y = theme.MARGIN
    draw.text((theme.MARGIN, y), title, theme.TEXT, theme.font(theme.TITLE_SIZE))
    for k, found in enumerate(results):
        y += theme.GAP
        x = theme.MARGIN
        draw.rectangle([x, y + 6, x + _BAR, y + 6 + _BAR - 4], _colour(k))
        nominal = found.scores[NOMINAL]
        value = f", nominal {nominal.return_mean:.1f}" if nominal else ""
        draw.text(
            (x + 24, y + 3), label(found) + value, theme.MUTED, theme.font(theme.CAPTION_SIZE)
        )


def _paint_bar(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], share: float | None, colour: Colour
) -> None:
    (x, y), bottom = at, at[1] + _BAR - 3
    draw.rectangle([x, y, x + _WIDTH, bottom], theme.TRACK)
    if share is None:
        return
    length = round(min(max(share, 0.0), _TOP_SHARE) / _TOP_SHARE * _WIDTH)
    draw.rectangle([x, y, x + length, bottom], colour)
    _letter(draw, (x + _WIDTH + 8, (y + bottom) // 2), f"{share:.0%}", theme.MUTED, "lm")


def _letter(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, colour: Colour, anchor: str
) -> None:
    draw.text(at, text, colour, theme.font(theme.CAPTION_SIZE), anchor)


def _colour(k: int) -> Colour:
    return COLOURS[k % len(COLOURS)]
