"""Boxes: inside the frame, apart from each other, and large enough for what they hold."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.report.layout import Box, plan, plan_raster

WORLDS = st.none() | st.tuples(st.integers(16, 2000), st.integers(16, 2000))


def overlap(a: Box, b: Box) -> bool:
    return a.x < b.right and b.x < a.right and a.y < b.bottom and b.y < a.bottom


@given(world=WORLDS, lines=st.integers(2, 100))
def test_panels_lie_apart_and_inside(world: tuple[int, int] | None, lines: int) -> None:
    layout = plan(world, lines)
    boxes = [layout.header, layout.chip_input, layout.spikes]
    boxes += [layout.world] if layout.world else []
    if lines > 3:  # below that the figures stand in the unused part of the panel of values
        boxes += [layout.values, layout.stats]
    for box in boxes:
        assert box.x >= 0
        assert box.y >= 0
        assert box.width > 0
        assert box.height > 0
        assert box.right <= layout.size[0]
        assert box.bottom <= layout.size[1]
    assert not any(overlap(a, b) for a, b in combinations(boxes, 2))


def test_a_usual_view_gives_a_usual_frame() -> None:
    assert plan((640, 480), 7).size == (960, 544)


@pytest.mark.parametrize("size", [(640, 480), (480, 480), (600, 400), (160, 210)])
def test_the_view_keeps_its_proportions(size: tuple[int, int]) -> None:
    world = plan(size, 4).world
    assert world is not None
    assert world.width / world.height == pytest.approx(size[0] / size[1], rel=0.01)


@given(cells=st.lists(st.integers(1, 4096), min_size=1, max_size=6).map(tuple))
def test_rasters_fit_and_hold_every_cell(cells: tuple[int, ...]) -> None:
    raster = plan_raster(cells, 160, 160)
    assert raster.columns * raster.width <= 160
    assert sum(map(raster.total, cells)) <= 160 + 8
    assert all(raster.rows(n) * raster.columns * raster.pool >= n for n in cells)


def test_a_program_too_deep_to_fit_still_gets_rasters() -> None:
    assert plan_raster((64,) * 100, 160, 160).pool >= 64
