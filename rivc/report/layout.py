"""Where things stand in a frame: integer arithmetic on what a scene has to show.

With a view of the world it stands on the left, figures below it, the chip's input, spikes and
action values in a column on the right. Without one the two halves of that column stand side by
side, and the figures where there is room, so that little is left empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import TYPE_CHECKING, Final

from rivc.report.theme import BLOCK, CAPTION_SIZE, GAP, MARGIN, TITLE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER: Final = TITLE_SIZE + 14
TOP: Final = MARGIN + HEADER
STATS: Final = 54
CAPTION: Final = CAPTION_SIZE + 9
SQUARE: Final = 160
COLUMN: Final = 2 * SQUARE + GAP
WORLD_HEIGHT: Final = 414
WORLD_WIDTH: Final = 640
STATS_WIDTH: Final = 340
ROW: Final = 34
CHIP: Final = CAPTION + SQUARE


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The column after the last."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The row after the last."""
        return self.y + self.height

    def below(self, skip: int) -> Box:
        """Return the box without its first rows."""
        return Box(self.x, self.y + skip, self.width, self.height - skip)


@dataclass(frozen=True, slots=True)
class Layout:
    """The boxes of a frame; those of panels include the row of their caption.

    Attributes:
        size: width and height of a frame, multiples of 16.
        header: the title.
        world: the view of the world, exactly; None where there is none.
        stats: the figures.
        chip_input: what the chip receives.
        spikes: what its neurons emit.
        values: the action values.
    """

    size: tuple[int, int]
    header: Box
    world: Box | None
    stats: Box
    chip_input: Box
    spikes: Box
    values: Box


def plan(world_size: tuple[int, int] | None, lines: int) -> Layout:
    """Lay out a frame for a view of the world, or none, and so many lines of action values."""
    return _without_world(lines) if world_size is None else _with_world(world_size)


def _with_world(world_size: tuple[int, int]) -> Layout:
    width, height = world_size
    zoom = min(WORLD_HEIGHT / height, WORLD_WIDTH / width)
    shown = round(width * zoom), round(height * zoom)
    left = max(shown[0], STATS_WIDTH)
    x = MARGIN + left + GAP
    size = _blocks(x + COLUMN + MARGIN), _blocks(TOP + WORLD_HEIGHT + STATS + MARGIN)
    column = Box(x, TOP, size[0] - MARGIN - x, size[1] - MARGIN - TOP)
    chip_input, spikes = _chip(column)
    view = Box(MARGIN, TOP + (WORLD_HEIGHT - shown[1]) // 2, *shown)
    return Layout(
        size=size,
        header=_header(size[0]),
        world=view,
        stats=_stats(Box(MARGIN, TOP, left, column.height)),
        chip_input=chip_input,
        spikes=spikes,
        values=column.below(CHIP + GAP),
    )


def _without_world(lines: int) -> Layout:
    beside = CAPTION + lines * ROW + GAP + STATS
    body = max(CHIP, beside) if beside <= CHIP + GAP else CHIP + GAP + STATS
    size = _blocks(MARGIN + COLUMN + GAP + COLUMN + MARGIN), _blocks(TOP + body + MARGIN)
    width, height = (size[0] - 2 * MARGIN - GAP) // 2, size[1] - MARGIN - TOP
    left = Box(MARGIN, TOP, width, height)
    right = Box(left.right + GAP, TOP, width, height)
    chip_input, spikes = _chip(left)
    return Layout(
        size=size,
        header=_header(size[0]),
        world=None,
        stats=_stats(right if beside <= CHIP + GAP else left),
        chip_input=chip_input,
        spikes=spikes,
        values=right,
    )


def _stats(column: Box) -> Box:
    return column.below(column.height - STATS + 8)


def _chip(column: Box) -> tuple[Box, Box]:
    """The input, square, and the spikes beside it."""
    x = column.x + SQUARE + GAP
    return Box(column.x, column.y, SQUARE, CHIP), Box(x, column.y, column.right - x, CHIP)


def _header(width: int) -> Box:
    return Box(MARGIN, MARGIN - 4, width - 2 * MARGIN, HEADER)


def _blocks(pixels: int) -> int:
    return ceil(pixels / BLOCK) * BLOCK


@dataclass(frozen=True, slots=True)
class Raster:
    """How rasters of several layers share a box.

    Attributes:
        width: of a cell with its gap, in pixels.
        height: of a cell with its gap, in pixels.
        columns: cells in a row.
        title: height of the name above each layer; 0 where names do not fit.
        pool: neurons that share a cell.
    """

    width: int
    height: int
    columns: int
    title: int
    pool: int

    def rows(self, cells: int) -> int:
        """Return how many rows a layer takes."""
        return ceil(ceil(cells / self.pool) / self.columns)

    def total(self, cells: int) -> int:
        """Return the height of a layer with name and gap, in pixels."""
        return self.title + self.rows(cells) * self.height + RASTER_GAP


RASTER_GAP: Final = 8
TALLEST: Final = 12
TITLES: Final = ((CAPTION_SIZE + 4, 5), (0, 2))  # height of a name, least cell that is worth it


@cache
def plan_raster(cells: tuple[int, ...], width: int, height: int) -> Raster:
    """Find the largest cells with which every layer fits; in wide layers neurons share a cell.

    Example:
        >>> plan_raster((16, 32, 128), 160, 160)
        Raster(width=10, height=7, columns=16, title=19, pool=1)
    """
    widest = max(cells, default=1)
    pool = 1
    while True:
        for raster in _rasters(width, pool):
            if sum(map(raster.total, cells)) - RASTER_GAP <= height:
                return raster
        if pool >= widest:
            return raster
        pool *= 2


def _rasters(width: int, pool: int) -> Iterator[Raster]:
    """Every raster of a width, the most legible first."""
    for title, least in TITLES:
        for side in range(TALLEST, least - 1, -1):
            columns = 1 << (width // side).bit_length() - 1  # layers come in powers of two
            yield Raster(width // columns, side, columns, title, pool)
