"""Charts: finite for finite numbers, escaped, and plain where there is nothing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.report.plots import Axis, Panel
from rivc.report.scale import Scale, short
from rivc.report.statistics import Estimate
from rivc.report.svg import MOST_POINTS, NOTHING, Bars, bars, dots, lines, rows

FINITE = st.floats(allow_nan=False, allow_infinity=False)
ANY = st.floats()
AXES = st.builds(Axis, st.just("x"), is_log=st.booleans())
NAMES = st.text(st.characters(exclude_categories=["C"]), max_size=80)
HOSTILE = '</text><script>alert(1)</script>"&\x00'
NUMBER = re.compile(r"-?\d+(\.\d+)?")


def coordinates(svg: str) -> list[float]:
    """Every number that says where something is; fails on what is no number."""
    root = ET.fromstring(svg)
    found: list[float] = []
    for element in root.iter():
        for key in ("x", "y", "cx", "cy", "r", "d", "viewBox"):
            text = element.get(key, "")
            assert set(NUMBER.sub("", text)) <= set("MLHVvz ")
            found += [float(match[0]) for match in NUMBER.finditer(text)]
    return found


def curve(points: list[tuple[float, float]]) -> tuple[np.ndarray, Estimate]:
    at, value = np.array(points, np.float64).reshape(-1, 2).T
    return at, Estimate(value, value / 2, value)


CURVES = st.dictionaries(NAMES, st.lists(st.tuples(ANY, ANY), max_size=20).map(curve), max_size=20)


@given(CURVES, AXES, AXES)
def test_lines_are_finite_and_inside(
    curves: dict[str, tuple[np.ndarray, Estimate]], x: Axis, y: Axis
) -> None:
    svg = lines(Panel("title", x, y, curves))
    assert all(np.isfinite(coordinates(svg)))
    assert all(-1e4 < number < 1e4 for number in coordinates(svg))


@given(st.dictionaries(NAMES, st.tuples(ANY, ANY, ANY), max_size=20), AXES)
def test_dots_are_finite(points: dict[str, tuple[float, float, float]], x: Axis) -> None:
    svg = dots(Panel("title", x, points={n: Estimate(*ends) for n, ends in points.items()}))
    assert all(np.isfinite(coordinates(svg)))


@given(st.lists(ANY, min_size=4, max_size=4), st.lists(FINITE, min_size=5, max_size=5), AXES)
def test_bars_are_finite(heights: list[float], edges: list[float], x: Axis) -> None:
    chart = Bars("t", x, Axis("y"), np.sort(edges), {"h": np.array(heights)}, {"mark": edges[0]})
    assert all(np.isfinite(coordinates(bars(chart))))


@given(st.dictionaries(NAMES, ANY, max_size=9))
def test_rows_are_finite(values: dict[str, float]) -> None:
    assert all(np.isfinite(coordinates(rows("title", Axis("x"), values))))


@given(FINITE, FINITE, st.booleans())
def test_ticks_are_few_ascending_and_inside(a: float, b: float, is_log: bool) -> None:
    scale = Scale.over(Axis("x", is_log=is_log), [np.array([a, b])], 0.0, 100.0)
    ticks = scale.ticks()
    assert len(ticks) <= 7
    assert all(low < high for low, high in pairwise(ticks))
    assert all(0 <= scale.at(tick) <= 100 for tick in ticks)
    assert all(len(short(tick)) <= 9 for tick in ticks)


def test_equal_distances_are_equal_and_limits_hold() -> None:
    scale = Scale.over(Axis("x", (0.0, 4.0)), [np.array([100.0])], 10.0, 50.0)
    assert scale(np.array([0.0, 1.0, 2.0, 4.0, 9.0])).tolist() == [10.0, 20.0, 30.0, 50.0, 50.0]
    logarithmic = Scale.over(Axis("x", is_log=True), [np.array([1.0, 16.0])], 0.0, 40.0)
    assert logarithmic(np.array([1.0, 2.0, 4.0, 16.0])).tolist() == [0.0, 10.0, 20.0, 40.0]


@pytest.mark.parametrize(
    "svg",
    [
        lines(Panel("t", Axis("x"), Axis("y"))),
        lines(Panel("t", Axis("x"), Axis("y"), {"a": curve([(1.0, np.nan)])})),
        dots(Panel("t", Axis("x"))),
        bars(Bars("t", Axis("x"), Axis("y"), np.arange(3.0), {"a": np.zeros(2)})),
        rows("t", Axis("x"), {"a": np.inf}),
    ],
)
def test_nothing_is_said_to_be_nothing(svg: str) -> None:
    assert NOTHING in svg
    assert "<desc>no data</desc>" in svg


def test_names_are_never_markup() -> None:
    panel = Panel(
        HOSTILE, Axis(HOSTILE), Axis(HOSTILE), {HOSTILE: curve([(0, 1), (1, 2)]), "b": curve([])}
    )
    points = Panel(HOSTILE, Axis(HOSTILE), points={HOSTILE: Estimate(1.0, 0.0, 2.0)})
    histogram = Bars(
        HOSTILE, Axis(HOSTILE), Axis(HOSTILE), np.arange(3.0), {HOSTILE: np.ones(2)}, {HOSTILE: 1.0}
    )
    charts = lines(panel), dots(points), bars(histogram), rows(HOSTILE, Axis(""), {HOSTILE: 1.0})
    for svg in charts:
        assert "<script" not in svg
        assert "&lt;/text&gt;&lt;script&gt;" in svg


def test_a_line_has_no_more_points_than_are_seen_and_keeps_its_ends() -> None:
    at = np.arange(10_000.0)
    svg = lines(Panel("t", Axis("x"), Axis("y"), {"a": (at, Estimate(at, at, at))}))
    (path,) = re.findall(r'class="s0 line"[^>]* d="([^"]*)"', svg)
    assert path.count("L") == MOST_POINTS - 1
    assert path.startswith("M44.0 166.0L")
    assert path.endswith("L344.0 26.0")


def test_a_chart_is_told_in_words() -> None:
    svg = lines(
        Panel("Return", Axis("env steps"), Axis("return"), {"chip": curve([(0, 1), (9, 5)])})
    )
    assert "<title>Return</title><desc>return over env steps: chip from 1 to 5</desc>" in svg


def test_bars_stand_where_their_bins_are() -> None:
    svg = bars(Bars("t", Axis("x"), Axis("y"), np.arange(4.0), {"a": np.array([1.0, 0.0, 2.0])}))
    (path,) = re.findall(r'class="s0 bar" d="([^"]*)"', svg)
    assert path == "M44.4 166.0V96.0H143.6V166.0M244.4 166.0V26.0H343.6V166.0"


def test_a_name_has_one_colour_in_every_chart() -> None:
    names = ["a", "b", "c"]
    one = lines(Panel("t", Axis("x"), Axis("y"), {"c": curve([(0, 1), (1, 2)])}), names)
    two = dots(Panel("t", Axis("x"), points={"c": Estimate(1.0, 0.0, 2.0)}), names)
    assert 'class="s2 line"' in one
    assert 'class="s2 dot"' in two


def test_numbers_below_a_narrow_plot_stand_apart() -> None:
    at = np.arange(200.0, 2601.0, 200.0)
    curves = {"readouts that differ": (at, Estimate(at, at, at)), "b": (at, Estimate(at, at, at))}
    svg = lines(Panel("states", Axis("env steps"), Axis("states"), curves))
    texts = [node for node in ET.fromstring(svg).iter() if node.tag.endswith("text")]
    below = max(float(node.get("y", 0)) for node in texts if node.text == "2,000")
    numbers = sorted(float(node.get("x", 0)) for node in texts if float(node.get("y", 0)) == below)
    assert len(numbers) > 1
    assert min(b - a for a, b in pairwise(numbers)) > 46
