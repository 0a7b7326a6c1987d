"""Figures: what is drawn, and that equal figures are equal files."""

from __future__ import annotations

import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from rivc.errors import MissingError
from rivc.report import plots
from rivc.report.plots import Axis, Panel, dot_figure, limits, line_figure, look, spread
from rivc.report.statistics import Estimate

pytest.importorskip("matplotlib", reason="pip install 'rivc[plots]'")

NAMES = ["all", "no gap", "none"]
POINTS = {"all": Estimate(0.9, 0.8, 1.0), "none": Estimate(0.2, 0.1, 0.4)}
X = Axis("score", (0.0, 1.2), mark=1.0)


def lines() -> Panel:
    at = np.array([1.0, 2.0, 4.0])
    curve = Estimate(at / 4, at / 4 - 0.1, at / 4 + 0.1)
    return Panel("cartpole, 2 bits", Axis("env steps"), Axis("return"), {"all": (at, curve)})


def texts(svg: bytes) -> set[str]:
    return set(re.findall(r">([^<>\n]+)</text>", svg.decode()))


def test_dots_are_named_and_rows_without_any_are_left_out() -> None:
    files = dot_figure([[Panel("chip, 2 bits", X, points=POINTS)]], NAMES, "Scores")
    assert {"all", "none", "chip, 2 bits", "score", "Scores"} <= texts(files["svg"])
    assert "no gap" not in texts(files["svg"])


def test_lines_are_named_at_their_ends() -> None:
    files = line_figure([[lines(), lines()], [lines()]], NAMES, "Curves")
    assert {"all", "env steps", "return", "Curves"} <= texts(files["svg"])
    with Image.open(io.BytesIO(files["png"])) as picture:
        assert picture.format == "PNG"
        assert picture.width > picture.height / 2


def test_equal_figures_are_equal_files() -> None:
    panels = [[Panel("chip", X, points=POINTS)]]
    assert dot_figure(panels, NAMES, "t") == dot_figure(panels, NAMES, "t")


def test_an_empty_panel_is_drawn() -> None:
    empty = Panel("1 bit", Axis("x", is_log=True, limits=(0.5, 2.0)), Axis("y"))
    assert set(line_figure([[lines(), empty]], NAMES, "t")) == {"png", "svg"}


def test_no_two_names_look_alike() -> None:
    names = [str(i) for i in range(21)]
    assert len({look(name, names) for name in names}) == 21


@pytest.mark.parametrize("heights", [[0.0] * 5, [0.1, 0.11, 0.5, 0.95, 0.96], [-1.0, 0.0, 1.0]])
def test_labels_stand_apart_in_order(heights: list[float]) -> None:
    found = spread(heights, 0.1)
    assert found[0] >= 0
    assert (np.diff(found) >= 0.1 - 1e-6).all()


def test_labels_that_do_not_touch_stay() -> None:
    assert spread([0.1, 0.5, 0.9], 0.1) == [0.1, 0.5, 0.9]


def test_limits_hold_every_finite_interval() -> None:
    low, high = limits([*POINTS.values(), Estimate(0.0, np.nan, np.inf)])
    assert low < 0.1
    assert high > 1.0
    assert np.isfinite([low, high]).all()


def test_missing_matplotlib_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match=r"pip install 'rivc\[plots\]'"):
        line_figure([[lines()]], NAMES, "t")


def test_the_module_loads_without_matplotlib() -> None:
    assert "matplotlib.pyplot" not in sys.modules
