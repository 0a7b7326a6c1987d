"""A hook of MkDocs: formulas become MathML when the site is built, so that pages need no script."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

SIZES = re.compile(r"\\[bB]igg?[lr]?(?![a-zA-Z])")  # MathML stretches fences by itself
FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Replace the formulas that Arithmatex has marked."""
    return FORMULA.sub(_formula, content)


def _formula(found: re.Match[str]) -> str:
    tex = html.unescape(found[2]).strip()[2:-2]  # without \( \) or \[ \]
    formula = str(convert(SIZES.sub("", tex), display="inline" if found[1] == "span" else "block"))
    if "\\" in formula:
        raise ValueError(f"no MathML for {tex}")
    return formula
