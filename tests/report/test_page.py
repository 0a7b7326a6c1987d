"""The page and its template: every block, nothing from elsewhere, no text that becomes markup."""

from __future__ import annotations

from markupsafe import Markup

from rivc.report.page import Card, Charts, Code, Film, Folded, Page, Section, Table, Text, render
from tests.html import parse

HOSTILE = (
    "</style></title><script>alert('1')</script><img src=x onerror=alert(1)> \" ' & ${x} {{ y }}"
)


def page(text: str) -> Page:
    chart = Markup("<svg><title>t</title><desc>d</desc></svg>")
    blocks = [
        Table(text, (text, text), [(text, text)], wide=(text,)),
        Charts([chart], text),
        Charts([chart], is_small=True),
        Text(text),
        Code(text),
        Film(b"film", "image/gif", text),
        Film(b"film", "video/mp4", text),
        Folded(text, [Text(text), Folded(text, [Code(text)])]),
    ]
    return Page(
        text, text, [Card(text, text, text, "good")], [Section("a", text, text, blocks)], text
    )


def test_every_block_is_on_the_page() -> None:
    found = parse(render(page("words")))
    assert {"table", "svg", "pre", "video", "img", "details", "nav", "main"} <= set(found.tags)
    assert found.text.count("words") == 24
    assert found.tags.count("details") == 2


def test_no_text_becomes_markup() -> None:
    plain, hostile = (parse(render(page(text))) for text in ("words", HOSTILE))
    assert hostile.tags == plain.tags
    assert hostile.text.count(HOSTILE) == plain.text.count("words")
    assert hostile.style == plain.style


def test_a_film_is_inside_the_page() -> None:
    assert 'src="data:video/mp4;base64,ZmlsbQ=="' in render(page("words"))


def test_a_verdict_is_said_without_colour() -> None:
    answers = [Card("q", "1", "n", verdict) for verdict in ("good", "bad", "plain")]
    text = parse(render(Page("t", "s", answers, [], ""))).text
    assert (text.count("✓"), text.count("✗")) == (1, 1)


def test_the_page_follows_theme_and_printer() -> None:
    style = parse(render(page("words"))).style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
