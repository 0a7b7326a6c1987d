"""Figures of comparisons: dots with intervals, and lines with bands, labelled where they stand."""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
FORMATS: Final = ("png", "svg")
_ROW, _HEAD, _WIDTH, _HEIGHT = 0.19, 0.75, 2.6, 2.1  # inches
_APART: Final = 0.075  # least distance of two labels, of the height of a panel


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
    """Named curves, or named points.

    Attributes:
        title: above it.
        curves: x and the estimate there by name, for `line_figure`.
        points: estimates by name, for `dot_figure`.
    """

    title: str
    curves: Mapping[str, tuple[Array, Estimate]] | None = None
    points: Mapping[str, Estimate] | None = None


def dot_figure(
    panels: Sequence[Sequence[Panel]], names: Sequence[str], x: Axis, title: str
) -> dict[str, bytes]:
    """Draw estimates as dots with their intervals, a row a name.

    Args:
        panels: rows of panels.
        names: rows of every panel, from the top; a panel need not have all.
        x: the axis of the estimates.
        title: of the figure.

    Returns:
        The file by its format, as `FORMATS`; equal arguments give equal bytes.

    Raises:
        MissingError: if matplotlib is not installed.
    """
    height = _HEAD + _ROW * len(names)
    figure, axes = _figure(panels, height, title)
    for row, places in zip(panels, axes, strict=True):
        for panel, place in zip(row, places, strict=False):
            _dots(place, panel, names, x)
            place.set_yticks(range(len(names)), names if place is places[0] else [""] * len(names))
            place.tick_params(axis="y", length=0, labelcolor="black")
            place.set_ylim(len(names) - 0.5, -0.5)
    _label_bottom(axes, panels, x.label)
    return _saved(figure)


def line_figure(
    panels: Sequence[Sequence[Panel]], names: Sequence[str], x: Axis, y: Axis, title: str
) -> dict[str, bytes]:
    """Draw estimates along x as lines with bands, each named at its end.

    Args:
        panels: rows of panels.
        names: of all lines, which fix their colours.
        x: the axis along which they run.
        y: the axis of the estimates.
        title: of the figure.

    Returns:
        The file by its format, as `FORMATS`.

    Raises:
        MissingError: if matplotlib is not installed.
    """
    figure, axes = _figure(panels, _HEIGHT, title, width=_WIDTH + 0.09 * max(map(len, names)))
    for row, places in zip(panels, axes, strict=True):
        for panel, place in zip(row, places, strict=False):
            _lines(place, panel, names, x, y)
        places[0].set_ylabel(y.label)
    _label_bottom(axes, panels, x.label)
    return _saved(figure)


def colour(name: str, names: Sequence[str]) -> str:
    """Return the colour of a name."""
    return COLOURS[list(names).index(name) % len(COLOURS)]


def _figure(
    panels: Sequence[Sequence[Panel]], height: float, title: str, width: float = _WIDTH
) -> tuple[Any, Any]:
    """An empty figure and its axes, [rows][columns]; those without a panel are not drawn."""
    if find_spec("matplotlib") is None:
        raise MissingError(f"figures need matplotlib: {REMEDY}")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    columns = max(map(len, panels))
    with rc_context(STYLE):
        size = (width * columns + 1.2, height * len(panels) + 0.5)
        figure = Figure(size, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        axes = figure.subplots(len(panels), columns, squeeze=False)
    for row, places in zip(panels, axes, strict=True):
        for place in places[len(row) :]:
            place.set_axis_off()
    return figure, axes


def _dots(place: Any, panel: Panel, names: Sequence[str], x: Axis) -> None:
    place.set_title(panel.title)
    _frame(place, x)
    for name, value in (panel.points or {}).items():
        at, shade = list(names).index(name), colour(name, names)
        place.plot([value.low, value.high], [at, at], color=shade, linewidth=2.2, alpha=0.45)
        place.plot([value.value], [at], "o", color=shade, markersize=4)


def _lines(place: Any, panel: Panel, names: Sequence[str], x: Axis, y: Axis) -> None:
    place.set_title(panel.title)
    _frame(place, x)
    if y.limits:
        place.set_ylim(*y.limits)
    if y.mark is not None:
        place.axhline(y.mark, color=GREY, linewidth=0.6, zorder=0)
    ends = {}
    for name, (at, value) in (panel.curves or {}).items():
        shade = colour(name, names)
        place.fill_between(at, value.low, value.high, color=shade, alpha=0.15, linewidth=0)
        place.plot(at, value.value, color=shade, linewidth=1.3)
        ends[name] = float(at[-1]), float(value.value[-1])
    _name_ends(place, ends, names)


def _name_ends(place: Any, ends: dict[str, tuple[float, float]], names: Sequence[str]) -> None:
    """Write each name at the end of its line, moved up where it would cover another."""
    low, high = place.get_ylim()
    shares = {name: (y - low) / ((high - low) or 1.0) for name, (_, y) in ends.items()}
    order = sorted(shares, key=lambda name: shares[name])
    heights = spread([shares[name] for name in order], _APART)
    for name, height in zip(order, heights, strict=True):
        place.annotate(
            name,
            (1.02, height),
            xycoords="axes fraction",
            color=colour(name, names),
            va="center",
            annotation_clip=False,
            fontsize=7,
        )


def spread(heights: Sequence[float], apart: float) -> list[float]:
    """Return ascending heights, moved as a whole run so that neighbours stand apart.

    >>> spread([0.0, 0.5, 0.5], 0.2)
    [0.0, 0.4, 0.6]
    """
    runs: list[tuple[float, int]] = []  # centre and length of each run of labels
    for height in heights:
        centre, length = height, 1
        while runs and centre - runs[-1][0] < apart * (length + runs[-1][1]) / 2:
            before, count = runs.pop()
            centre = (before * count + centre * length) / (count + length)
            length += count
        runs.append((centre, length))
    return [
        round(centre + apart * (i - (length - 1) / 2), 6)
        for centre, length in runs
        for i in range(length)
    ]


def _frame(place: Any, x: Axis) -> None:
    if x.is_log:
        place.set_xscale("log", base=2)
    if x.limits:
        place.set_xlim(*x.limits)
    if x.mark is not None:
        place.axvline(x.mark, color=GREY, linewidth=0.6, zorder=0)


def _label_bottom(axes: Any, panels: Sequence[Sequence[Panel]], label: str) -> None:
    """Label the lowest panel of each column."""
    for column in range(axes.shape[1]):
        rows = [i for i, row in enumerate(panels) if len(row) > column]
        axes[rows[-1]][column].set_xlabel(label)


def _saved(figure: Any) -> dict[str, bytes]:
    from matplotlib import rc_context

    files = {}
    with rc_context(STYLE):
        for kind in FORMATS:
            data = io.BytesIO()
            metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(data, format=kind, dpi=DOTS, metadata=metadata)
            files[kind] = data.getvalue()
    return files


def finite_range(values: Sequence[Array]) -> tuple[float, float]:
    """Return limits that hold all finite values, with a little air."""
    known = np.concatenate([np.ravel(v) for v in values])
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    air = 0.04 * ((high - low) or 1.0)
    return low - air, high + air
