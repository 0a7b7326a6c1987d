"""A page: what it says as plain values, and the one template that makes them HTML.

The file needs nothing but itself: no script, no font, no picture from elsewhere. Whatever text
comes in is escaped by the template; only charts of `rivc.report.svg`, which escape their own, are
markup.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from rivc.report.plots import COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Template
    from markupsafe import Markup

Verdict = Literal["good", "bad", "plain"]
TEMPLATE: Final = "page.html"


@dataclass(frozen=True)
class Card:
    """One answer at the top of a page.

    Attributes:
        question: in a few words.
        answer: a number or a word.
        note: what it is measured against.
        verdict: said in colour and by a sign.
    """

    question: str
    answer: str
    note: str
    verdict: Verdict = "plain"

    @property
    def sign(self) -> str:
        """For those who see no colours."""
        return {"good": "✓", "bad": "✗", "plain": ""}[self.verdict]


@dataclass(frozen=True)
class Table:
    """Rows under a head; the first column names the row, the others are flushed right.

    Attributes:
        caption: what it holds.
        head: names of the columns.
        rows: cells as text, as many as the head has.
        wide: columns of text, flushed left.
    """

    kind: ClassVar = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    wide: Sequence[str] = ()


@dataclass(frozen=True)
class Charts:
    """Charts side by side, as many as there is room for.

    Attributes:
        charts: of `rivc.report.svg`.
        caption: how to read them.
        is_small: many small ones rather than a few large ones.
    """

    kind: ClassVar = "charts"
    charts: Sequence[Markup]
    caption: str = ""
    is_small: bool = False


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar = "text"
    text: str


@dataclass(frozen=True)
class Code:
    """Commands, or a file."""

    kind: ClassVar = "code"
    text: str


@dataclass(frozen=True)
class Film:
    """A film inside the page.

    Attributes:
        data: the bytes of the file.
        media_type: such as ``video/mp4``.
        caption: what it shows.
    """

    kind: ClassVar = "film"
    data: bytes
    media_type: str
    caption: str

    @property
    def is_video(self) -> bool:
        """True for a video, False for a picture that moves."""
        return self.media_type.startswith("video/")

    @property
    def uri(self) -> str:
        """The whole film as an address."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown when asked for."""

    kind: ClassVar = "folded"
    title: str
    blocks: Sequence[Block]


Block = Table | Charts | Text | Code | Film | Folded


@dataclass(frozen=True)
class Section:
    """A heading, what it comes to in a sentence, and what shows it.

    Attributes:
        anchor: its name in addresses.
        title: the heading.
        lead: the sentence.
        blocks: what shows it.
    """

    anchor: str
    title: str
    lead: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
        title: heading and name of the window.
        subtitle: below it.
        cards: the answers, at the top.
        sections: in order.
        made_by: the last line.
    """

    title: str
    subtitle: str
    cards: Sequence[Card]
    sections: Sequence[Section]
    made_by: str


def render(page: Page) -> str:
    """Return a page as HTML; equal pages give equal text.

    Example:
        >>> page = Page("<b>", "", [], [Section("a", "A", "lead", [Text("x < y")])], "")
        >>> html = render(page)
        >>> "&lt;b&gt;" in html, "<b>" in html, "x &lt; y" in html
        (True, False, True)
    """
    return _template().render(page=page, colours=COLOURS)


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(files("rivc.report").joinpath(TEMPLATE).read_text("utf-8"))
