"""Colours, sizes and type of a film: dark neutrals, one accent, Pillow's own typeface."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from PIL import ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[int, int, int]

BACKGROUND: Final[Colour] = (18, 20, 24)
TRACK: Final[Colour] = (37, 41, 48)
QUIET: Final[Colour] = (106, 115, 128)
MUTED: Final[Colour] = (150, 158, 169)
TEXT: Final[Colour] = (236, 238, 241)
ACCENT: Final[Colour] = (255, 176, 59)

MARGIN: Final = 20
GAP: Final = 24
BLOCK: Final = 16  # video coders work on squares of so many pixels

CAPTION_SIZE: Final = 15
LABEL_SIZE: Final = 16
TITLE_SIZE: Final = 20
NUMBER_SIZE: Final = 26


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the typeface in a size, in pixels."""
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size))


def text_width(text: str, size: int) -> int:
    """Return how wide a text is, in pixels."""
    return round(font(size).getlength(text))


def shorten(text: str, size: int, width: int) -> str:
    """Return the text, cut so that it is at most `width` pixels wide."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


@cache
def glow() -> NDArray[np.uint8]:
    """Return the colours of a spike rate from 0 to 1, from the track to the accent, [256, 3]."""
    share = np.linspace(0, 1, 256)[:, None] ** 0.6
    mixed = (1 - share) * np.array(TRACK) + share * np.array(ACCENT)
    return np.asarray(np.rint(mixed), np.uint8)
