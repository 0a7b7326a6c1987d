"""Figures of comparisons: dots with intervals, and lines with bands, labelled where they stand."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import MissingError

if TYPE_CHECKING:
    from rivc.report.statistics import Array, Estimate

REMEDY: Final = "pip install 'rivc[plots]'"
# Okabe and Ito (2008): told apart also by those who see fewer colours; the yellow is too pale here
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195")
GREY: Final = "#6A7380"
STYLE: Final[dict[str, Any]] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "svg.fonttype": "none",
    "svg.hashsalt": "rivc",
}
DOTS: Final = 150  # of a PNG, an inch
LETTERS_PER_INCH: Final = 13  # of a title
FORMATS: Final = ("png", "svg")
STYLES: Final = ("-", "--", ":")
_ROW, _HEAD, _WIDTH, _HEIGHT = 0.17, 0.5, 2.3, 2.0  # inches: a dot, title and ticks, a panel
_LABEL, _LETTER = 0.135, 0.06  # inches: between two labels, and a letter of them


@dataclass(frozen=True)
class Axis:
    """What is drawn along an axis.

    Attributes:
        label: with its unit.
        limits: lower and upper end; None: what is there.
        mark: where a thin line stands, such as chance; None: nowhere.
        is_log: base 2.
    """

    label: str
    limits: tuple[float, float] | None = None
    mark: float | None = None
    is_log: bool = False


@dataclass(frozen=True)
class Panel:
    """Named curves, or named points, and the axes that they are drawn along.

    Attributes:
        title: above it.
        x: the axis that curves run along, or that points lie on.
        y: the axis of the estimates of curves; None for points, whose names stand there.
        curves: places and the estimates there by name, for `line_figure`.
        points: estimates by name, for `dot_figure`.
    """

    title: str
    x: Axis
    y: Axis | None = None
    curves: Mapping[str, tuple[Array, Estimate]] = field(default_factory=dict)
    points: Mapping[str, Estimate] = field(default_factory=dict)


Panels = Sequence[Sequence[Panel]]
"""Rows of panels; those of a row stand side by side."""


def dot_figure(panels: Panels, names: Sequence[str], title: str) -> dict[str, bytes]:
    """Draw estimates as dots with their intervals, a line a name.

    Args:
        panels: every row of them shows the names that it has anything for.
        names: in order, which fixes their colours in all figures.
        title: of the figure.

    Returns:
        The file by its format, as `FORMATS`; equal arguments give equal bytes.

    Raises:
        MissingError: if matplotlib is not installed.
    """
    shown = [[n for n in names if any(n in p.points for p in row)] for row in panels]
    with _style():
        heights = [_HEAD + _ROW * len(rows) for rows in shown]
        figure, axes = _figure(panels, heights, _WIDTH, title)
        for row, places, rows in zip(panels, axes, shown, strict=True):
            for panel, place in zip(row, places, strict=False):
                _dots(place, panel, rows, names)
            places[0].set_yticks(range(len(rows)), rows)
        _label(axes, panels)
        return _saved(figure)


def line_figure(panels: Panels, names: Sequence[str], title: str) -> dict[str, bytes]:
    """Draw estimates along x as lines with bands, each named beside its end.

    Args:
        panels: what is drawn.
        names: in order, which fixes their colours in all figures.
        title: of the figure.

    Returns:
        The file by its format, as `FORMATS`.

    Raises:
        MissingError: if matplotlib is not installed.
    """
    most = max(len(panel.curves) for row in panels for panel in row)
    height = max(_HEIGHT, _LABEL * most + _HEAD)
    shown = [name for row in panels for panel in row for name in panel.curves]
    with _style():
        width = _WIDTH + _LETTER * max(map(len, shown), default=0)
        figure, axes = _figure(panels, [height] * len(panels), width, title)
        for row, places in zip(panels, axes, strict=True):
            for panel, place in zip(row, places, strict=False):
                _lines(place, panel, names, _LABEL / (height - _HEAD))
        _label(axes, panels)
        return _saved(figure)


def require() -> None:
    """Raise what stands against drawing a figure.

    Raises:
        MissingError: if matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingError(f"figures need matplotlib: {REMEDY}; --no-figures does without")


def look(name: str, names: Sequence[str]) -> tuple[str, str]:
    """Return the colour and the line style of a name; styles tell apart what shares a colour."""
    i = list(names).index(name)
    return COLOURS[i % len(COLOURS)], STYLES[i // len(COLOURS) % len(STYLES)]


def spread(heights: Sequence[float], apart: float) -> list[float]:
    """Return ascending heights, moved so that neighbours stand apart and none is below 0.

    >>> spread([0.0, 0.5, 0.5], 0.2), spread([0.0, 0.0], 0.5)
    ([0.0, 0.4, 0.6], [0.0, 0.5])
    """
    runs: list[tuple[float, int]] = []  # lowest and length of each run of labels
    for height in heights:
        low, length = max(height, 0.0), 1
        while runs and low < runs[-1][0] + apart * runs[-1][1]:
            before, count = runs.pop()
            middle = (before * count + (low - apart * count) * length) / (count + length)
            low, length = max(middle, 0.0), count + length
        runs.append((low, length))
    return [round(low + apart * i, 6) for low, length in runs for i in range(length)]


def limits(values: Iterable[Estimate]) -> tuple[float, float]:
    """Return limits that hold estimates with their intervals, and a little air."""
    ends = np.array([[value.low, value.high] for value in values]).ravel()
    known = ends[np.isfinite(ends)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    air = 0.04 * ((high - low) or 1.0)
    return low - air, high + air


@contextmanager
def _style() -> Iterator[None]:
    require()
    from matplotlib import rc_context

    with rc_context(STYLE):
        yield


def _figure(panels: Panels, heights: Sequence[float], width: float, title: str) -> tuple[Any, Any]:
    """An empty figure and its axes, [rows][columns]; those without a panel are not drawn."""
    from matplotlib.figure import Figure

    columns = max(map(len, panels))
    inches = width * columns + 1.2
    figure = Figure((inches, sum(heights) + 0.4), layout="constrained")
    lines = textwrap.fill(title, int(LETTERS_PER_INCH * inches))
    figure.suptitle(lines, x=0.01, ha="left", fontsize=10)
    axes = figure.subplots(len(panels), columns, squeeze=False, height_ratios=heights)
    for row, places in zip(panels, axes, strict=True):
        for place in places[len(row) :]:
            place.set_axis_off()
    return figure, axes


def _dots(place: Any, panel: Panel, rows: Sequence[str], names: Sequence[str]) -> None:
    _frame(place, panel)
    for name, value in panel.points.items():
        at, (shade, _) = rows.index(name), look(name, names)
        place.plot([value.low, value.high], [at, at], color=shade, linewidth=2, alpha=0.5)
        place.plot([value.value], [at], "o", color=shade, markersize=3.2)
    place.set_yticks(range(len(rows)), [""] * len(rows))
    place.tick_params(axis="y", length=0, labelcolor="black")
    place.set_ylim(len(rows) - 0.5, -0.5)


def _lines(place: Any, panel: Panel, names: Sequence[str], apart: float) -> None:
    _frame(place, panel)
    ends = {}
    for name, (at, value) in panel.curves.items():
        shade, style = look(name, names)
        place.fill_between(at, value.low, value.high, color=shade, alpha=0.13, linewidth=0)
        place.plot(at, value.value, style, color=shade, linewidth=1.3)
        ends[name] = float(value.value[-1])
    low, high = place.get_ylim()
    order = sorted(ends, key=lambda name: ends[name])
    heights = spread([(ends[name] - low) / (high - low) for name in order], apart)
    for name, height in zip(order, heights, strict=True):
        shade, style = look(name, names)
        place.plot(
            [1.01, 1.06], [height] * 2, style, color=shade, transform=place.transAxes, clip_on=False
        )
        place.annotate(
            name, (1.08, height), xycoords="axes fraction", color=shade, va="center", fontsize=7
        )


def _frame(place: Any, panel: Panel) -> None:
    """Title, scales, limits and marks."""
    place.set_title(panel.title)
    for axis, scale, limit, mark in (
        (panel.x, place.set_xscale, place.set_xlim, place.axvline),
        (panel.y, place.set_yscale, place.set_ylim, place.axhline),
    ):
        if axis is None:
            continue
        if axis.is_log:
            scale("log", base=2)
        else:
            (place.xaxis if axis is panel.x else place.yaxis).set_major_formatter(_short)
        if axis.limits:
            limit(*axis.limits)
        if axis.mark is not None:
            mark(axis.mark, color=GREY, linewidth=0.6, zorder=0)


def _short(value: float, _: int) -> str:
    """A tick's number: thousands as k."""
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"


def _label(axes: Any, panels: Panels) -> None:
    """Label axes where the panel below, or to the left, has another one or is none."""
    for i, row in enumerate(panels):
        for k, panel in enumerate(row):
            below = panels[i + 1][k] if i + 1 < len(panels) and k < len(panels[i + 1]) else None
            if below is None or below.x.label != panel.x.label:
                axes[i][k].set_xlabel(panel.x.label)
            left = row[k - 1].y if k else None
            if panel.y is not None and (left is None or left.label != panel.y.label):
                axes[i][k].set_ylabel(panel.y.label)


def _saved(figure: Any) -> dict[str, bytes]:
    files = {}
    for kind in FORMATS:
        data = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(data, format=kind, dpi=DOTS, metadata=metadata)
        files[kind] = data.getvalue()
    return files
