"""The panel of action values: a bar for each action, the greedy one in the accent colour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Final

from rivc.report.layout import CAPTION, ROW, Box
from rivc.report.theme import (
    ACCENT,
    CAPTION_SIZE,
    GAP,
    LABEL_SIZE,
    MUTED,
    QUIET,
    TEXT,
    TRACK,
    font,
    shorten,
    text_width,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.ImageDraw import ImageDraw

    from rivc.report.scene import Moment, Scene

COMFORTABLE: Final = 21  # a row lower than this is worth another column of groups
LEGIBLE: Final = 9
NARROWEST_BAR: Final = 48
NARROWEST_COLUMN: Final = 112
NAME_GAP: Final = 12
VALUE_GAP: Final = 10
SHORTEST: Final = 0.02  # share of the track that the least value gets


@dataclass(frozen=True, slots=True)
class Rows:
    """How the bars of d groups of n actions share a box.

    Attributes:
        box: of all rows.
        column_width: of one column of groups.
        groups: in a column.
        lines: rows of a group, with its name and the space after it.
        heading: 1 if groups have names, else 0.
        pitch: height of a row, in pixels.
        text_size: of names and numbers; 0 where none is legible.
        name_width: of the longest name of an action.
        value_width: of a value; 0 where none is shown.
        decimals: of a value.
    """

    box: Box
    column_width: int
    groups: int
    lines: float
    heading: int
    pitch: float
    text_size: int
    name_width: int
    value_width: int
    decimals: int

    def at(self, group: int, line: int) -> Box:
        """Return the box of a row; line 0 is the group's name where groups have names."""
        column, place = divmod(group, self.groups)
        y = self.box.y + round((place * self.lines + line) * self.pitch)
        x = self.box.x + column * (self.column_width + GAP)
        return Box(x, y, self.column_width, max(1, round(self.pitch)))

    def bar(self, group: int, action: int) -> Box:
        """Return the box of the track of an action's bar."""
        row = self.at(group, action + self.heading)
        left = self.name_width + NAME_GAP if self.name_width else 0
        right = self.value_width + VALUE_GAP if self.value_width else 0
        height = max(1, round(self.pitch * 0.42))
        y = row.y + (row.height - height) // 2
        return Box(row.x + left, y, row.width - left - right, height)


def letter_values(draw: ImageDraw, box: Box, scene: Scene) -> None:
    """Name groups and actions, and draw the tracks of the bars."""
    draw.text((box.x, box.y + CAPTION_SIZE), "Q-values", MUTED, font(CAPTION_SIZE), anchor="ls")
    rows = plan_rows(scene, box)
    for group, name in enumerate(scene.group_names):
        if rows.heading and rows.text_size:
            row = rows.at(group, 0)
            text = shorten(name, rows.text_size, row.width)
            draw.text(_left(row), text, MUTED, font(rows.text_size), anchor="lm")
    for group, action in _bars(scene):
        _name(draw, rows, scene, (group, action), is_greedy=False)
        _fill(draw, rows.bar(group, action), 1.0, TRACK)


def paint_values(draw: ImageDraw, box: Box, scene: Scene, moment: Moment) -> None:
    """Draw the bars, the greedy one of each group in the accent colour, and its lead."""
    _lead(draw, box, moment.lead)
    rows = plan_rows(scene, box)
    values, greedy = moment.readout * scene.value_step, moment.action
    for group, action in _bars(scene):
        value, is_greedy = float(values[group, action]), bool(greedy[group] == action)
        bar = rows.bar(group, action)
        _fill(draw, bar, _share(value, scene.value_range), ACCENT if is_greedy else QUIET)
        if is_greedy:
            _name(draw, rows, scene, (group, action), is_greedy=True)
        if rows.value_width:
            at = (bar.right + VALUE_GAP + rows.value_width, bar.y + bar.height / 2)
            colour = TEXT if is_greedy else MUTED
            draw.text(at, _number(value, rows.decimals), colour, font(rows.text_size), anchor="rm")


def _bars(scene: Scene) -> Iterator[tuple[int, int]]:
    d, n = scene.action_layout
    return ((group, action) for group in range(d) for action in range(n))


def _lead(draw: ImageDraw, box: Box, lead: int) -> None:
    """Write how far the greedy action is ahead, right of the caption."""
    y = box.y + CAPTION_SIZE
    unit = " readout step" if lead == 1 else " readout steps"
    x = box.right
    for text, colour in ((unit, MUTED), (f"{lead:,}", ACCENT), ("lead ", MUTED)):
        draw.text((x, y), text, colour, font(CAPTION_SIZE), anchor="rs")
        x -= text_width(text, CAPTION_SIZE)


def _name(
    draw: ImageDraw, rows: Rows, scene: Scene, bar: tuple[int, int], *, is_greedy: bool
) -> None:
    if rows.name_width:
        group, action = bar
        at = _left(rows.at(group, action + rows.heading))
        text = shorten(scene.action_names[action], rows.text_size, rows.name_width)
        draw.text(at, text, TEXT if is_greedy else MUTED, font(rows.text_size), anchor="lm")


def _left(row: Box) -> tuple[float, float]:
    return row.x, row.y + row.height / 2


def _fill(draw: ImageDraw, track: Box, share: float, colour: tuple[int, int, int]) -> None:
    width = max(1, round(track.width * share))
    draw.rectangle((track.x, track.y, track.x + width - 1, track.bottom - 1), colour)


def _share(value: float, value_range: tuple[float, float]) -> float:
    """How much of its track a bar fills."""
    low, high = value_range
    place = (value - low) / (high - low) if high > low else 1.0
    return SHORTEST + (1 - SHORTEST) * min(max(place, 0.0), 1.0)


@lru_cache(maxsize=4)
def plan_rows(scene: Scene, box: Box) -> Rows:
    """Share a panel out; text is left away where it would not be legible."""
    d, n = scene.action_layout
    heading = int(scene.has_group_names)
    lines = n + heading + (0.5 if d > 1 else 0)
    rows = box.below(CAPTION)
    columns = _columns(rows, d, lines)
    groups = ceil(d / columns)
    pitch = _pitch(rows, groups * lines)
    width = (rows.width - (columns - 1) * GAP) // columns
    size = min(LABEL_SIZE, floor(pitch) - 3)
    size = size if size >= LEGIBLE else 0
    names, numbers = _text_widths(scene, size, width) if size else (0, 0)
    decimals = _decimals(scene.value_range)
    return Rows(rows, width, groups, lines, heading, pitch, size, names, numbers, decimals)


def _columns(rows: Box, d: int, lines: float) -> int:
    """As few columns of groups as leave rows comfortable, or as many as there is room for."""
    most = max(1, min(d, rows.width // NARROWEST_COLUMN))
    comfortable = (c for c in range(1, most) if _pitch(rows, ceil(d / c) * lines) >= COMFORTABLE)
    return next(comfortable, most)


def _text_widths(scene: Scene, size: int, width: int) -> tuple[int, int]:
    """Room for the names of actions and for values; 0 for values where the bars need it."""
    names = max(text_width(name, size) for name in scene.action_names)
    names = min(names, width * 2 // 5)
    decimals = _decimals(scene.value_range)
    widest = (10 * value for value in scene.value_range)  # outliers take a digit more
    numbers = max(text_width(_number(value, decimals), size) for value in widest)
    has_room = width - names - numbers - NAME_GAP - VALUE_GAP >= NARROWEST_BAR
    return names, numbers if has_room else 0


def _number(value: float, decimals: int) -> str:
    """A number without the sign of what rounds to zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def _pitch(box: Box, lines: float) -> float:
    return min(ROW, box.height / lines)


def _decimals(value_range: tuple[float, float]) -> int:
    """Enough to tell a hundredth of the range or less."""
    span = value_range[1] - value_range[0]
    return min(max(2 - floor(log10(span)), 0), 4) if span > 0 else 2
