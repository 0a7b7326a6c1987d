"""What a browser would find in a page, without one; and a browser, where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "img", "br", "link", "input"}
ADDRESSES = {"src", "href", "srcset", "poster", "action", "data", "xlink:href"}
BROWSERS = "chromium", "chromium-browser", "google-chrome"


@dataclass
class Found(HTMLParser):
    """Tags, identifiers, addresses, text and style of a page whose tags all match."""

    tags: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    handlers: list[str] = field(default_factory=list)
    unscoped: int = 0
    text: str = ""
    style: str = ""
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.tags[-1:] == ["svg"]:
            assert tag == "title"  # each chart has a name
        self.tags.append(tag)
        known = dict(attrs)
        self.ids += [known["id"] or ""] if "id" in known else []
        self.addresses += [value or "" for key, value in attrs if key in ADDRESSES]
        self.handlers += [key for key, _ in attrs if key.startswith("on")]
        self.unscoped += tag == "th" and "scope" not in known
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.style += data
        else:
            self.text += data


def parse(html: str) -> Found:
    """Read a page, and check what holds for every page."""
    found = Found()
    found.feed(html)
    found.close()
    assert not found._open
    assert len(found.ids) == len(set(found.ids))
    assert found.tags.count("desc") == found.tags.count("svg")  # each chart is told in words
    assert found.tags.count("caption") == found.tags.count("table")
    assert not found.unscoped
    needs_nothing(found)
    return found


def needs_nothing(found: Found) -> None:
    """Check that a page loads nothing and runs nothing."""
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(found.tags)
    assert not found.handlers
    for address in found.addresses:
        assert address.startswith(("data:", "#"))
        assert not address.startswith("#") or address[1:] in found.ids
    assert not re.search(r"url\(|@import|http", found.style)


def browser() -> str | None:
    """Return a browser that runs without a screen, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def browse(command: str, page: Path, *options: str) -> str:
    """Open a page in a browser and return its document."""
    words = [command, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += [f"--user-data-dir={page.parent / 'profile'}", "--allow-file-access-from-files"]
    words += [*options, "--dump-dom", page.resolve().as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout
