"""Frames: pure, complete for any task, and showing what happened."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rivc.report.draw import draw_frame, layout_of
from rivc.report.layout import CAPTION, Box, plan_raster
from rivc.report.scene import LayerCells, Moment, Scene
from rivc.report.theme import ACCENT, QUIET, TRACK
from rivc.report.values import plan_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    MakeMoment = Callable[..., Moment]


def crop(frame: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    return frame[box.y : box.bottom, box.x : box.right]


def colours_of_bars(scene: Scene, frame: NDArray[np.uint8]) -> dict[tuple[int, int], Any]:
    """The colour that the bar of each action begins with."""
    rows = plan_rows(scene, layout_of(scene).values)
    d, n = scene.action_layout
    bars = {(g, a): rows.bar(g, a) for g in range(d) for a in range(n)}
    return {key: tuple(frame[bar.y + bar.height // 2, bar.x].tolist()) for key, bar in bars.items()}


SCENES = st.builds(
    Scene,
    title=st.text(max_size=60),
    subtitle=st.text(max_size=120),
    input_shape=st.one_of(
        st.tuples(st.integers(1, 400)),
        st.tuples(st.integers(1, 210), st.integers(1, 210), st.sampled_from([1, 3])),
    ),
    input_levels=st.just(255),
    layers=st.lists(st.integers(1, 3000), max_size=8).map(
        lambda sizes: tuple(LayerCells(f"dense {size}", size) for size in sizes)
    ),
    group_names=st.one_of(
        st.just(("",)),
        st.integers(2, 40).map(lambda d: tuple(f"joint {i}" for i in range(d))),
    ),
    action_names=st.lists(st.text(max_size=30), min_size=2, max_size=40).map(tuple),
    value_step=st.floats(1e-6, 1e6),
    value_range=st.tuples(st.floats(-1e6, 0), st.floats(0, 1e6)),
    world_size=st.none() | st.tuples(st.integers(16, 1200), st.integers(16, 1200)),
    episodes=st.integers(1, 3),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=SCENES)
def test_any_task_gets_frames_whose_sides_suit_video_coders(
    drawn: Scene, make_moment: MakeMoment
) -> None:
    frame = draw_frame(drawn, make_moment(drawn))
    assert frame.dtype == np.uint8
    assert frame.ndim == 3
    assert frame.shape[0] % 16 == frame.shape[1] % 16 == 0


def test_equal_moments_give_equal_pixels(scene: Scene, make_moment: MakeMoment) -> None:
    first = draw_frame(scene, make_moment(scene))
    draw_frame(scene, make_moment(scene, step=99, readout=np.arange(4)[None]))
    assert np.array_equal(draw_frame(scene, make_moment(scene)), first)


@pytest.mark.parametrize("greedy", range(4))
def test_the_bar_of_the_greedy_action_alone_has_the_accent(
    scene: Scene, make_moment: MakeMoment, greedy: int
) -> None:
    readout = np.full((1, 4), 20)
    readout[0, greedy] = 50
    colours = colours_of_bars(scene, draw_frame(scene, make_moment(scene, readout=readout)))
    assert colours == {(0, a): ACCENT if a == greedy else QUIET for a in range(4)}


def test_each_group_has_its_greedy_bar(scene: Scene, make_moment: MakeMoment) -> None:
    arm = replace(
        scene, group_names=tuple(f"joint {i}" for i in range(6)), action_names=("-", "0", "+")
    )
    readout = np.zeros((6, 3), np.int64)
    readout[np.arange(6), [0, 1, 2, 2, 1, 0]] = 30
    moment = make_moment(arm, readout=readout)
    colours = colours_of_bars(arm, draw_frame(arm, moment))
    accents = {key for key, colour in colours.items() if colour == ACCENT}
    assert accents == set(enumerate([0, 1, 2, 2, 1, 0]))


def test_ties_go_to_the_action_that_is_taken(scene: Scene, make_moment: MakeMoment) -> None:
    moment = make_moment(scene, readout=np.array([[5, 9, 9, 1]]))
    assert moment.action.tolist() == [1]
    assert moment.lead == 0
    assert colours_of_bars(scene, draw_frame(scene, moment))[0, 1] == ACCENT


def test_bars_are_as_long_as_values_are_high(scene: Scene, make_moment: MakeMoment) -> None:
    values = np.array([[-100, -50, 0, 100]])  # of -1 to 1
    frame = draw_frame(scene, make_moment(scene, readout=values))
    rows = plan_rows(scene, layout_of(scene).values)
    bars = [crop(frame, rows.bar(0, a))[3] for a in range(4)]
    filled = [(bar != TRACK).any(-1).mean() for bar in bars]
    assert filled == pytest.approx([0.02, 0.265, 0.51, 1.0], abs=0.01)


def test_only_the_panel_of_values_changes_with_the_values(
    scene: Scene, make_moment: MakeMoment
) -> None:
    before = draw_frame(scene, make_moment(scene, readout=np.array([[5, 9, 2, 1]])))
    after = draw_frame(scene, make_moment(scene, readout=np.array([[5, 9, 60, 1]])))
    changed = (before != after).any(-1)
    inside = crop(changed[..., None], layout_of(scene).values)
    assert changed.sum() == inside.sum() > 0


def test_the_chips_picture_is_enlarged_pixel_for_pixel(
    scene: Scene, make_moment: MakeMoment
) -> None:
    moment = make_moment(scene)
    box = layout_of(scene).chip_input.below(CAPTION)
    shown = crop(draw_frame(scene, moment), box)
    zoom = 160 // 16
    assert np.array_equal(shown[: 16 * zoom : zoom, : 16 * zoom : zoom], moment.counts)
    assert np.array_equal(shown[zoom - 1 :: zoom, zoom - 1 :: zoom][:16, :16], moment.counts)


def test_counts_of_a_vector_are_bars(scene: Scene, make_moment: MakeMoment) -> None:
    numbers = replace(scene, input_shape=(3,))
    counts = np.array([0, 128, 255], np.uint8)
    frame = draw_frame(numbers, make_moment(numbers, counts=counts))
    panel = crop(frame, layout_of(numbers).chip_input.below(CAPTION))
    filled = (panel == QUIET).all(-1).sum(0)
    third = panel.shape[1] // 3
    heights = [int(filled[i * third : (i + 1) * third].max()) for i in range(3)]
    assert heights[0] == 0
    assert heights[1] == pytest.approx(heights[2] / 2, abs=1)


def test_cells_are_as_bright_as_their_neurons_fire(scene: Scene, make_moment: MakeMoment) -> None:
    rates = (np.array([0.0, 1.0] * 4), np.zeros(32))
    frame = draw_frame(scene, make_moment(scene, rates=rates))
    box = layout_of(scene).spikes
    raster = plan_raster((8, 32), box.width, box.height - CAPTION)
    y = box.y + CAPTION + raster.title
    row = [tuple(frame[y, box.x + i * raster.width].tolist()) for i in range(8)]
    assert row == [TRACK, ACCENT] * 4


def test_a_task_without_a_view_gets_a_smaller_frame(scene: Scene, make_moment: MakeMoment) -> None:
    unseen = replace(scene, world_size=None)
    assert draw_frame(unseen, make_moment(unseen)).size < draw_frame(scene, make_moment(scene)).size


def test_a_view_that_fails_midway_leaves_its_place_empty(
    scene: Scene, make_moment: MakeMoment
) -> None:
    seen, lost = (draw_frame(scene, make_moment(scene, **w)) for w in ({}, {"world": None}))
    world = layout_of(scene).world
    assert world is not None
    assert seen.shape == lost.shape
    assert len(np.unique(crop(lost, world).reshape(-1, 3), axis=0)) == 1
