"""The panels of a frame: `letter_*` draws what stands still, `paint_*` what moves."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from rivc.report.layout import CAPTION, Box, Raster, plan_raster
from rivc.report.theme import (
    BACKGROUND,
    CAPTION_SIZE,
    MUTED,
    NUMBER_SIZE,
    QUIET,
    TEXT,
    TITLE_SIZE,
    TRACK,
    font,
    glow,
    shorten,
    text_width,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.ImageDraw import ImageDraw

    from rivc.report.scene import Moment, Scene

SHARP_ZOOM: Final = 4  # from here on pixels are enlarged by whole numbers
WIDEST_BAR: Final = 24
COUNT_SIZE: Final = 13


def letter_header(draw: ImageDraw, box: Box, scene: Scene) -> None:
    """Write what is filmed."""
    subtitle = shorten(scene.subtitle, CAPTION_SIZE, box.width * 2 // 3)
    room = box.width - text_width(subtitle, CAPTION_SIZE) - 16
    title = shorten(scene.title, TITLE_SIZE, room)
    base = box.y + TITLE_SIZE
    draw.text((box.x, base), title, TEXT, font(TITLE_SIZE), anchor="ls")
    draw.text((box.right, base), subtitle, MUTED, font(CAPTION_SIZE), anchor="rs")


def caption(draw: ImageDraw, box: Box, text: str) -> None:
    """Write the name of a panel at its top."""
    draw.text((box.x, box.y + CAPTION_SIZE), text, MUTED, font(CAPTION_SIZE), anchor="ls")


def paint_world(frame: Image.Image, box: Box, world: NDArray[np.uint8]) -> None:
    """Put the view of the world into its box."""
    picture = Image.fromarray(world).resize((box.width, box.height), Image.Resampling.LANCZOS)
    frame.paste(picture, (box.x, box.y))


def paint_stats(draw: ImageDraw, box: Box, scene: Scene, moment: Moment) -> None:
    """Write the figures side by side, each under its name."""
    figures = [
        ("step", str(moment.step)),
        ("reward so far", decimal(moment.episode_return)),
        ("spikes / decision", f"{moment.spike_count:,}"),
    ]
    if scene.episodes > 1:
        figures.insert(0, ("episode", f"{moment.episode} / {scene.episodes}"))
    widths = [text_width(name, CAPTION_SIZE) for name, _ in figures]
    gap = (box.width - sum(widths)) / len(figures)
    for i, (name, value) in enumerate(figures):
        x = box.x + round(sum(widths[:i]) + i * gap)
        draw.text((x, box.y + CAPTION_SIZE), name, MUTED, font(CAPTION_SIZE), anchor="ls")
        draw.text((x, box.bottom - 2), value, TEXT, font(NUMBER_SIZE), anchor="ls")


def decimal(value: float) -> str:
    """Return a number as a viewer reads it: fewer decimals the larger it is."""
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.1f}"


def letter_input(draw: ImageDraw, box: Box, scene: Scene) -> None:
    """Caption what the chip receives."""
    shape = " x ".join(map(str, scene.input_shape))
    unit = " counts" if len(scene.input_shape) == 1 else ""
    caption(draw, box, f"chip input {shape}{unit}")


def paint_input(
    frame: Image.Image, draw: ImageDraw, box: Box, scene: Scene, moment: Moment
) -> None:
    """Show the counts that the chip receives: a picture, or a bar for each number."""
    inner = box.below(CAPTION)
    if len(scene.input_shape) == 3:
        frame.paste(_enlarged(moment.counts, inner.height), (inner.x, inner.y))
    else:
        _count_bars(draw, inner, moment.counts, scene.input_levels)


def _enlarged(counts: NDArray[np.uint8], side: int) -> Image.Image:
    """The picture with its longer side as near to `side` as sharp pixels allow."""
    height, width, channels = counts.shape
    rgb = counts if channels == 3 else counts.mean(-1, keepdims=True).repeat(3, -1)
    zoom = side / max(height, width)
    zoom = float(int(zoom)) if zoom >= SHARP_ZOOM else zoom
    size = round(width * zoom), round(height * zoom)
    return Image.fromarray(rgb.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)


def _count_bars(draw: ImageDraw, box: Box, counts: NDArray[np.uint8], levels: int) -> None:
    """An upright bar for each count; the number below it where there is room."""
    pitch = box.width / len(counts)
    legible = pitch >= text_width("255", COUNT_SIZE) + 2
    floor = box.bottom - (COUNT_SIZE + 6 if legible else 0)
    reach = floor - box.y
    width = max(1, min(WIDEST_BAR, round(pitch * 0.7)))
    for i, count in enumerate(counts.tolist()):
        x = round(box.x + (i + 0.5) * pitch - width / 2)
        draw.rectangle((x, box.y, x + width - 1, floor - 1), TRACK)
        if count:
            top = floor - max(1, round(reach * count / levels))
            draw.rectangle((x, top, x + width - 1, floor - 1), QUIET)
        if legible:
            at = (box.x + (i + 0.5) * pitch, box.bottom)
            draw.text(at, str(count), MUTED, font(COUNT_SIZE), anchor="ms")


def letter_spikes(draw: ImageDraw, box: Box, scene: Scene) -> None:
    """Caption the rasters and name their layers."""
    caption(draw, box, "spikes")
    raster = plan_raster(_cells(scene), box.width, box.height - CAPTION)
    top = box.y + CAPTION
    for layer in scene.layers:
        if raster.title:
            at = (box.x, top + raster.title - 5)
            draw.text(at, layer.name, MUTED, font(COUNT_SIZE), anchor="ls")
        top += raster.total(layer.cells)


def paint_spikes(frame: Image.Image, box: Box, scene: Scene, moment: Moment) -> None:
    """Show every cell as bright as its rate."""
    raster = plan_raster(_cells(scene), box.width, box.height - CAPTION)
    top = box.y + CAPTION
    for layer, rates in zip(scene.layers, moment.rates, strict=True):
        shades = np.rint(_pooled(rates, raster.pool) * 255).astype(np.intp)
        palette = np.concatenate([glow()[shades], [BACKGROUND]])
        picture = palette[_cell_map(layer.cells, raster)].astype(np.uint8)
        frame.paste(Image.fromarray(picture), (box.x, top + raster.title))
        top += raster.total(layer.cells)


def _cells(scene: Scene) -> tuple[int, ...]:
    return tuple(layer.cells for layer in scene.layers)


def _pooled(rates: NDArray[np.float64], pool: int) -> NDArray[np.float64]:
    """The mean of every `pool` neighbours; the last cell may hold fewer."""
    starts = np.arange(0, len(rates), pool)
    return np.asarray(np.add.reduceat(rates, starts) / np.diff(starts, append=len(rates)))


@lru_cache(maxsize=64)
def _cell_map(cells: int, raster: Raster) -> NDArray[np.intp]:
    """For every pixel of a layer the cell it belongs to; -1 between cells."""
    height, width = raster.height, raster.width
    gap = 2 if height >= 8 else 1 if height >= 3 else 0
    y, x = np.ogrid[: raster.rows(cells) * height, : raster.columns * width]
    cell = y // height * raster.columns + x // width
    is_cell = (y % height < height - gap) & (x % width < width - gap) & (cell * raster.pool < cells)
    return np.where(is_cell, cell, -1)
