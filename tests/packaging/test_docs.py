"""What the documentation says can be followed: links, anchors, commands, code."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from rivc.cli.main import VERBS, cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "videos" / "index.md"])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(rivc [^`]+)`")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """What can stand behind # in an address: headings, as GitHub and MkDocs spell them."""
    heads = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    plain = [LINK.sub(lambda link: link[0].partition("]")[0].lstrip("!["), head) for head in heads]
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in plain}


def commands(page: Path) -> list[str]:
    """Every command line of a page that calls rivc."""
    blocks = [code for _, code in FENCE.findall(page.read_text())]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    shown = [line.removeprefix("$ ").strip() for line in lines]
    return [line for line in shown if line.startswith("rivc ")] + INLINE.findall(prose(page))


def check(line: str) -> None:
    """Find the verb, and let it parse the rest; nothing is done."""
    command: click.Command = cli
    context = click.Context(cli, info_name="rivc")
    words = shlex.split(line, comments=True)[1:]
    while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z]+", words[0]):
        found = command.get_command(context, words[0])
        assert found is not None, f"no verb {words[0]!r}"
        command = found
        context = click.Context(command, info_name=words.pop(0), parent=context)
    try:
        command.make_context(command.name, words, context)
    except click.NoSuchOption:
        raise
    except (click.UsageError, click.exceptions.Exit):
        pass  # a word that stands for something, or help


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_every_command_has_its_verb_and_options(page: Path) -> None:
    for line in commands(page):
        try:
            check(line)
        except click.NoSuchOption as error:
            pytest.fail(f"{line}: {error.message}")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_example_in_python_compiles(page: Path) -> None:
    for language, code in FENCE.findall(page.read_text()):
        if language == "python":
            compile(code, name(page), "exec")


def test_the_site_has_every_page_once() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    pages = re.findall(r"[\w/.-]+\.md", json.dumps(config["nav"]))
    docs = ROOT / "docs"
    assert sorted(pages) == sorted(p.relative_to(docs).as_posix() for p in docs.rglob("*.md"))


def test_every_verb_is_named_somewhere() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert [verb for verb in VERBS if f"rivc {verb}" not in text] == []
