"""Spike rasters: runs of one state under several schedules, one above the other on one clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageDraw

from rivc.report.theme import (
    ACCENT,
    BACKGROUND,
    CAPTION_SIZE,
    GAP,
    MARGIN,
    MUTED,
    QUIET,
    TEXT,
    TRACK,
    Colour,
    font,
    text_width,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from rivc.snn_convert.schedules import SpikingRun

CELL: Final = 15
MARK: Final = 11  # a cell without the gap to the next one
SKIP: Final = 8  # between the rows of two layers
LABELS: Final = 84
HEAD: Final = CAPTION_SIZE + 12
LEGEND: Final = CAPTION_SIZE + 12
TAKEN_BACK: Final[Colour] = (92, 170, 255)
SURE: Final[Colour] = (88, 196, 132)


def draw_rasters(runs: Mapping[str, SpikingRun]) -> Image.Image:
    """Return a picture of recorded runs of one state, by title.

    A column is a tick and a row a neuron, layer below layer; the last row tells in which ticks the
    readout is the final one.
    """
    ticks = max(len(run.readouts) for run in runs.values())
    high = sum(HEAD + _height(run) + GAP for run in runs.values())
    size = (2 * MARGIN + LABELS + ticks * CELL, 2 * MARGIN + LEGEND + high)
    picture = Image.new("RGB", size, BACKGROUND)
    draw, y = ImageDraw.Draw(picture), MARGIN
    for title, run in runs.items():
        _paint_run(draw, y, title, run)
        y += HEAD + _height(run) + GAP
    _paint_legend(draw, y)
    return picture


def _height(run: SpikingRun) -> int:
    return sum(len(rows) * CELL + SKIP for _, rows in _bands(run)) - SKIP


def _bands(run: SpikingRun) -> list[tuple[str, NDArray[np.int8]]]:
    """The rows of each layer, [neurons, ticks]; then whether the readout is the final one."""
    layers = [raster[:, 0].reshape(len(raster), -1).T for raster in run.rasters]
    same = (run.readouts[:, 0] == run.readout[0]).all(axis=(1, 2))
    stays = np.logical_and.accumulate(same[::-1])[::-1]
    named = [(f"layer {i}", rows) for i, rows in enumerate(layers, 1)]
    return [*named, ("readout", stays[None].astype(np.int8))]


def _paint_run(draw: ImageDraw.ImageDraw, y: int, title: str, run: SpikingRun) -> None:
    cost = f"{run.ticks[0]} ticks, {run.spike_counts[:, 0].sum()} spikes"
    base = y + CAPTION_SIZE
    draw.text((MARGIN + LABELS, base), title, TEXT, font(CAPTION_SIZE), anchor="ls")
    beside = MARGIN + LABELS + text_width(f"{title}   ", CAPTION_SIZE)
    draw.text((beside, base), cost, MUTED, font(CAPTION_SIZE), anchor="ls")
    y += HEAD
    for label, rows in _bands(run):
        middle = y + (len(rows) * CELL - (CELL - MARK)) // 2
        draw.text((MARGIN, middle), label, QUIET, font(CAPTION_SIZE), anchor="lm")
        colours = {0: TRACK, 1: SURE if label == "readout" else ACCENT, -1: TAKEN_BACK}
        for (row, tick), spike in np.ndenumerate(rows):
            _mark(draw, (MARGIN + LABELS + tick * CELL, y + row * CELL), colours[int(spike)])
        y += len(rows) * CELL + SKIP


def _paint_legend(draw: ImageDraw.ImageDraw, y: int) -> None:
    x = MARGIN + LABELS
    for colour, text in ((ACCENT, "spike"), (TAKEN_BACK, "taken back"), (SURE, "final readout")):
        _mark(draw, (x, y), colour)
        draw.text((x + CELL + 4, y + MARK // 2), text, MUTED, font(CAPTION_SIZE), anchor="lm")
        x += CELL + 4 + text_width(text, CAPTION_SIZE) + GAP


def _mark(draw: ImageDraw.ImageDraw, corner: tuple[int, int], colour: Colour) -> None:
    x, y = corner
    draw.rectangle((x, y, x + MARK - 1, y + MARK - 1), colour)
