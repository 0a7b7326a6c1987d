"""From a moment of a scene to a frame: a pure function; what stands still is drawn once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from rivc.report import panels
from rivc.report.layout import plan
from rivc.report.theme import BACKGROUND
from rivc.report.values import letter_values, paint_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.report.layout import Layout
    from rivc.report.scene import Moment, Scene


def draw_frame(scene: Scene, moment: Moment) -> NDArray[np.uint8]:
    """Return the frame of one decision, uint8, [H, W, 3], sides multiples of 16.

    Equal arguments give equal pixels.
    """
    layout = layout_of(scene)
    frame = _backdrop(scene).copy()
    draw = ImageDraw.Draw(frame)
    if layout.world is not None and moment.world is not None:
        panels.paint_world(frame, layout.world, moment.world)
    panels.paint_stats(draw, layout.stats, scene, moment)
    panels.paint_input(frame, draw, layout.chip_input, scene, moment)
    panels.paint_spikes(frame, layout.spikes, scene, moment)
    paint_values(draw, layout.values, scene, moment)
    return np.asarray(frame)


def layout_of(scene: Scene) -> Layout:
    """Return where the panels of a scene stand."""
    d, n = scene.action_layout
    return plan(scene.world_size, d * (n + scene.has_group_names))


@lru_cache(maxsize=4)
def _backdrop(scene: Scene) -> Image.Image:
    """Everything that does not change in a film."""
    layout = layout_of(scene)
    frame = Image.new("RGB", layout.size, BACKGROUND)
    draw = ImageDraw.Draw(frame)
    panels.letter_header(draw, layout.header, scene)
    panels.letter_input(draw, layout.chip_input, scene)
    panels.letter_spikes(draw, layout.spikes, scene)
    letter_values(draw, layout.values, scene)
    return frame
