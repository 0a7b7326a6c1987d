"""Rate against return as a Markdown table, a CSV file and a figure."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.report.plots import Axis, Panel, line_figure
from rivc.report.statistics import Estimate
from rivc.train.tradeoff import Point

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HEAD: Final = (
    "sent", "return", "of the teacher's", "intra", "inter", "below fp32", "bits a weight",
)  # fmt: skip


def cells(points: Sequence[Point]) -> list[list[str]]:
    """Return the cells of `HEAD` for each point.

    Returns are held against the first's; of one that is not positive there are no shares.
    """
    teacher = points[0].return_mean
    return [
        [
            point.name,
            f"{point.return_mean:.1f} ± {point.return_std:.1f}",
            f"{100 * point.return_mean / teacher:.1f} %" if teacher > 0 else "",
            _number(point.intra_bytes),
            _number(point.inter_bytes),
            _below(point),
            _number(point.bits_per_weight, 3),
        ]
        for point in points
    ]


def markdown(points: Sequence[Point]) -> str:
    """Return the points as a Markdown table with its legend; bytes are those of a frame."""
    lines = ["| " + " | ".join(row) + " |" for row in (HEAD, ["---"] * len(HEAD), *cells(points))]
    legend = (
        f"Mean ± standard deviation over {points[0].episodes} greedy episodes on the emulator. "
        "Bytes a frame: packets with header and checksum, pictures as bare files."
    )
    return "\n".join([*lines, "", legend, ""])


def comma_separated(points: Sequence[Point]) -> str:
    """Return the points as CSV, a field of `Point` a column."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [one.name for one in fields(Point)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(point) for point in points)
    return text.getvalue()


def figure(points: Sequence[Point], title: str) -> dict[str, bytes]:
    """Return the return over what is sent, as files by format; none if nothing differs in it.

    Args:
        points: the teacher first, then students, then pictures.
        title: of the figure.

    Raises:
        MissingError: if matplotlib is not installed.
    """
    rows = [[Panel("", Axis(label, is_log=True), _Y, curves)] for label, curves in _panels(points)]
    names = [name for [panel] in rows for name in panel.curves]
    return line_figure(rows, names, title) if rows else {}


_Y: Final = Axis("return")
_CURVES: Final[Mapping[str, Callable[[Point], float | None]]] = {
    "counts, intra": lambda point: point.intra_bytes if point.fp32_bytes else None,
    "counts, inter": lambda point: point.inter_bytes,
    "webp": lambda point: point.intra_bytes if point.name.startswith("webp") else None,
    "jpeg": lambda point: point.intra_bytes if point.name.startswith("jpeg") else None,
}


def _panels(points: Sequence[Point]) -> list[tuple[str, dict[str, tuple[np.ndarray, Estimate]]]]:
    """The label of x and the curves of each panel that has any with two points."""
    panels = [
        ("bytes a frame", {name: _curve(points, of) for name, of in _CURVES.items()}),
        ("bits a weight", {"weights": _curve(points, lambda point: point.bits_per_weight)}),
    ]
    shown = [
        (label, {name: curve for name, curve in curves.items() if len(set(curve[0])) > 1})
        for label, curves in panels
    ]
    return [(label, curves) for label, curves in shown if curves]


def _curve(
    points: Sequence[Point], of: Callable[[Point], float | None]
) -> tuple[np.ndarray, Estimate]:
    """Ascending places, and returns with one standard error to either side."""
    known = ((x, point) for point in points if (x := of(point)) is not None)
    found = sorted(known, key=lambda pair: pair[0])
    mean = np.array([point.return_mean for _, point in found])
    error = np.array([point.return_std / point.episodes**0.5 for _, point in found])
    return np.array([x for x, _ in found]), Estimate(mean, mean - error, mean + error)


def _below(point: Point) -> str:
    if point.fp32_bytes is None:
        return ""
    sizes = (point.intra_bytes, point.inter_bytes)
    return " / ".join(f"{point.fp32_bytes / size:.0f}x" for size in sizes if size)


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
