"""Charts as SVG text, for pages: colours come from the page's style, so they follow its theme.

Written by hand: a page needs four kinds of chart, and what matplotlib draws is not installed
everywhere, ten times as large, neither follows a dark theme nor is read aloud. The panels are those
that `rivc.report.plots` draws with it. All text is escaped. Coordinates are finite for whatever
finite numbers there are; what is not finite is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from markupsafe import Markup

from rivc.report.plots import COLOURS, STYLES, spread
from rivc.report.scale import Scale, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rivc.report.plots import Axis, Panel
    from rivc.report.statistics import Array, Estimate

WIDTH: Final = 360.0  # of every chart, in units of which text is 11 high
LEFT, RIGHT, TOP, BOTTOM = 44.0, 16.0, 26.0, 36.0
PLOT: Final = 140.0  # height of a plot
ROW: Final = 17.0  # height of a dot or bar
LETTER: Final = 5.8  # width of a letter, on average
TICK: Final = 48.0  # a number below an axis, with the gap to the next
LABEL: Final = 12.0  # from one label to the next below it
MOST_POINTS: Final = 240  # of a line
FEW_POINTS: Final = 16  # each of which is marked
_HIGHEST: Final = 1e300  # of a bar
NOTHING: Final = "no data"
_DASHES: Final = dict(zip(STYLES, ("none", "5 3", "1.5 2.5"), strict=True))


@dataclass(frozen=True)
class Bars:
    """A histogram, or several over each other.

    Attributes:
        title: above it.
        x: the axis that the bins lie on.
        y: the axis of their heights.
        edges: of the bins, ascending, [bins + 1].
        heights: of the bars by name, [bins].
        marks: where thin lines stand, by what they mean.
    """

    title: str
    x: Axis
    y: Axis
    edges: Array
    heights: Mapping[str, Array]
    marks: Mapping[str, float] = field(default_factory=dict)


def lines(panel: Panel, names: Sequence[str] = ()) -> Markup:
    """Draw estimates along x as lines with bands, each named beside its end.

    Args:
        panel: with `curves`.
        names: in order, which fixes their colours in all charts; default: those of the panel.
    """
    curves = {name: _thinned(*curve) for name, curve in panel.curves.items()}
    curves = {name: points for name, points in curves.items() if len(points)}
    if not curves or panel.y is None:
        return _empty(panel.title)
    names = names or list(curves)
    room = min(LETTER * max(map(len, curves)) + 18, 0.42 * WIDTH) if len(curves) > 1 else RIGHT
    height = max(PLOT, LABEL * (len(curves) + 1))
    every = list(curves.values())
    x = Scale.over(panel.x, [p[:, 0] for p in every], LEFT, WIDTH - room)
    y = Scale.over(panel.y, [p[:, 1:] for p in every], TOP + height, TOP)
    parts = [*_axes(x, y, panel.x, panel.y), *_marks(x, y, {"": panel.x.mark})]
    for name, points in curves.items():
        parts += _line(x(points[:, 0]), y(points[:, 1:]), _number(names, name), len(curves))
    if len(curves) > 1:
        ends = {name: y.at(points[-1, 1]) - TOP for name, points in curves.items()}
        parts += _end_labels(ends, names, x.stop, height)
    told = "; ".join(
        f"{name} from {short(p[0, 1])} to {short(p[-1, 1])}" for name, p in curves.items()
    )
    return _svg(panel.title, f"{panel.y.label} over {panel.x.label}: {told}", parts, height)


def dots(panel: Panel, names: Sequence[str] = ()) -> Markup:
    """Draw estimates as dots with their intervals, a row a name.

    Args:
        panel: with `points`.
        names: as for `lines`.
    """
    points = {
        name: [float(v) for v in (value.low, value.value, value.high)]
        for name, value in panel.points.items()
        if np.isfinite([value.low, value.value, value.high]).all()
    }
    if not points:
        return _empty(panel.title)
    names = names or list(points)
    left, height = _label_room(points), ROW * len(points)
    x = Scale.over(panel.x, [np.array(v) for v in points.values()], left, WIDTH - 14)
    y = Scale(0.0, len(points), TOP, TOP + height)
    parts = [*_axes(x, y, panel.x, None), *_marks(x, y, {"": panel.x.mark})]
    for i, (name, ends) in enumerate(points.items()):
        low, middle, high = (x.at(end) for end in ends)
        parts += [
            _text(left - 6, y.at(i + 0.5) + 4, _fitted(name, left - 8), "end", "name"),
            Markup('<path class="s{} line" d="M{:.1f} {:.1f}H{:.1f}"/>').format(
                _number(names, name) % len(COLOURS), low, y.at(i + 0.5), high
            ),
            _dot(middle, y.at(i + 0.5), _number(names, name), 3.4),
        ]
    told = "; ".join(
        f"{name} {short(ends[1])}, {_extent(panel.points[name], ends)}"
        for name, ends in points.items()
    )
    return _svg(panel.title, f"{panel.x.label}: {told}", parts, height)


def _extent(value: Estimate, ends: Sequence[float]) -> str:
    extent = f"{short(ends[0])} to {short(ends[2])}"
    return "one seed" if value.is_one_seed else f"{extent}{value.luck}"


def bars(chart: Bars) -> Markup:
    """Draw a histogram; several lie over each other, the first one filled."""
    heights = {name: np.nan_to_num(h, posinf=0, neginf=0) for name, h in chart.heights.items()}
    if not any(h.any() for h in heights.values()):
        return _empty(chart.title)
    air = 1.15 if chart.marks else 1.0  # for what the marks mean
    top = np.array([0.0, *(air * min(float(h.max()), _HIGHEST) for h in heights.values())])
    x = Scale.over(chart.x, [chart.edges], LEFT, WIDTH - RIGHT)
    y = Scale.over(chart.y, [top], TOP + PLOT, TOP)
    parts = _axes(x, y, chart.x, chart.y)
    for i, (name, height) in enumerate(heights.items()):
        outline = _outline(x(chart.edges), y(height), y.start)
        parts.append(
            Markup('<path class="s{} {}" d="{}"><title>{}</title></path>').format(
                i % len(COLOURS), "line" if i else "bar", outline, name
            )
        )
    parts += _marks(x, y, chart.marks)
    highest = {name: int(h.argmax()) for name, h in heights.items()}
    told = "; ".join(
        f"{name}: most from {short(chart.edges[i])} to {short(chart.edges[i + 1])}"
        for name, i in highest.items()
    )
    return _svg(chart.title, f"{chart.y.label} over {chart.x.label}. {told}", parts, PLOT)


def rows(title: str, axis: Axis, values: Mapping[str, float]) -> Markup:
    """Draw a horizontal bar a name, with its number."""
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    if not known:
        return _empty(title)
    left, height = _label_room(known), ROW * len(known)
    x = Scale.over(axis, [np.array([0.0, *known.values()])], left, WIDTH - 60)
    y = Scale(0.0, len(known), TOP, TOP + height)
    parts = []
    for i, (name, value) in enumerate(known.items()):
        start, end = sorted((x.at(0.0), x.at(value)))
        parts += [
            _text(left - 6, y.at(i + 0.5) + 4, _fitted(name, left - 8), "end", "name"),
            Markup('<path class="s0 bar" d="M{:.1f} {:.1f}H{:.1f}v{:.1f}H{:.1f}z"/>').format(
                start, y.at(i) + 3, max(end, start + 0.5), ROW - 6, start
            ),
            _text(max(end, start) + 5, y.at(i + 0.5) + 4, short(value), "start"),
        ]
    told = "; ".join(f"{name} {short(value)}" for name, value in known.items())
    return _svg(title, f"{axis.label}: {told}", parts, height, bottom=4)


def _thinned(at: Array, value: Estimate) -> Array:
    """Places, values and both ends of their bands where all are finite, [P, 4], P bounded."""
    columns = np.broadcast_arrays(at, value.value, value.low, value.high)
    points = np.stack(columns, axis=-1).reshape(-1, 4).astype(np.float64)
    points = points[np.isfinite(points).all(1)]
    chosen = np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).astype(int)
    return np.asarray(points[chosen])


def _line(x: Array, y: Array, index: int, among: int) -> list[Markup]:
    """A band, fainter among many, a line above it, and its points where they are few."""
    colour = index % len(COLOURS)
    dash = _DASHES[STYLES[index // len(COLOURS) % len(STYLES)]]
    value, low, high = y.T
    parts = []
    if np.abs(low - high).max() > 0.05:
        area = _path(np.concatenate([x, x[::-1]]), np.concatenate([low, high[::-1]]))
        band = Markup('<path class="s{} band" opacity="{:.2f}" d="{}z"/>')
        parts.append(band.format(colour, 0.5 / (among + 2), area))
    path = Markup('<path class="s{} line" stroke-dasharray="{}" d="{}"/>')
    parts.append(path.format(colour, dash, _path(x, value)))
    if len(x) <= FEW_POINTS and len(x) != 2:  # two make a straight line
        parts += [_dot(a, b, index, 2.2) for a, b in zip(x, value, strict=True)]
    return parts


def _path(x: Array, y: Array) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _outline(edges: Array, tops: Array, floor: float) -> str:
    """The outline of the bars of a histogram, gaps between them left open."""
    return "".join(
        f"M{a + 0.4:.1f} {floor:.1f}V{top:.1f}H{max(b - 0.4, a + 0.5):.1f}V{floor:.1f}"
        for (a, b), top in zip(pairwise(edges), tops, strict=True)
        if top < floor
    )


def _axes(x: Scale, y: Scale, along: Axis, up: Axis | None) -> list[Markup]:
    """Grid, numbers and names of both axes."""
    floor = max(y.start, y.stop)
    parts = [
        Markup('<path class="axis" d="M{:.1f} {:.1f}H{:.1f}"/>').format(x.start, floor, x.stop)
    ]
    for tick in x.ticks(min(5, max(2, int((x.stop - x.start) / TICK)))):
        at = x.at(tick)
        parts.append(_text(at, floor + 13, short(tick), "middle" if at < x.stop - 8 else "end"))
    parts.append(_text((x.start + x.stop) / 2, floor + 28, along.label, "middle"))
    if up is None:
        return parts
    parts.append(_text(WIDTH - 4, 13, up.label, "end"))
    for tick in y.ticks(4):
        at = y.at(tick)
        grid = Markup('<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>')
        parts += [grid.format(x.start, at, x.stop), _text(x.start - 5, at + 4, short(tick), "end")]
    return parts


def _marks(x: Scale, y: Scale, marks: Mapping[str, float | None]) -> list[Markup]:
    """Thin upright lines with what they mean."""
    parts = []
    for i, (name, value) in enumerate(marks.items()):
        if value is None or not x.low <= value <= x.high:
            continue
        at, low, high = x.at(value), max(y.start, y.stop), min(y.start, y.stop)
        is_left = at < (x.start + x.stop) / 2
        parts += [
            Markup('<path class="mark" d="M{:.1f} {:.1f}V{:.1f}"/>').format(at, low, high),
            _text(at + (4 if is_left else -4), high + 9 + LABEL * i, name, _side(is_left)),
        ]
    return parts


def _end_labels(
    depths: Mapping[str, float], names: Sequence[str], x: float, height: float
) -> list[Markup]:
    """The names of lines beside their ends, moved apart where they would meet."""
    order = sorted(depths, key=lambda name: depths[name])
    downwards = spread([depths[name] for name in order], LABEL)
    upwards = spread([height - depth for depth in downwards[::-1]], LABEL)
    element = Markup('<text class="s{} tint" x="{:.1f}" y="{:.1f}">{}</text>')
    return [
        element.format(
            _number(names, name) % len(COLOURS),
            x + 7,
            TOP + height - up + 4,
            _fitted(name, WIDTH - x - 9),
        )
        for name, up in zip(order[::-1], upwards, strict=True)
    ]


def _number(names: Sequence[str], name: str) -> int:
    """The place of a name in the order that fixes colours."""
    return list(names).index(name)


def _dot(x: float, y: float, index: int, radius: float) -> Markup:
    circle = Markup('<circle class="s{} dot" cx="{:.1f}" cy="{:.1f}" r="{}"/>')
    return circle.format(index % len(COLOURS), x, y, radius)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "note") -> Markup:
    element = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return element.format(kind, x, y, anchor, text)


def _side(is_left: bool) -> str:
    return "start" if is_left else "end"


def _label_room(names: Iterable[str]) -> float:
    return min(LETTER * max(map(len, names)) + 14, 0.5 * WIDTH)


def _fitted(name: str, room: float) -> str:
    """A name, cut to what has room."""
    most = max(int(room / LETTER), 4)
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


def _empty(title: str) -> Markup:
    return _svg(title, NOTHING, [_text(WIDTH / 2, TOP + 30, NOTHING, "middle")], 50, bottom=0)


def _svg(
    title: str, told: str, parts: Sequence[Markup], height: float, bottom: float = BOTTOM
) -> Markup:
    """The chart, with its title in sight and its content in words for those who do not see it."""
    whole = Markup(
        '<svg class="chart" role="img" viewBox="0 0 {:.0f} {:.0f}"><title>{}</title>'
        '<desc>{}</desc><text class="head" x="4" y="13">{}</text>{}</svg>'
    )
    size = WIDTH, TOP + height + bottom
    return whole.format(*size, title, told, _fitted(title, WIDTH), Markup("").join(parts))
