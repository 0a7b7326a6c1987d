"""YAML files of settings: those of a user, and those that are shipped."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rivc.errors import ConfigError, MissingError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.resources.abc import Traversable

    from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class Shelf:
    """YAML files that are shipped with rivc.

    Attributes:
        what: they are called in an error.
        folder: that holds them, from the top of the source tree.
    """

    what: str
    folder: str

    def names(self) -> list[str]:
        """Return the names of the files on it."""
        entries = self._place().iterdir()
        return sorted(Path(x.name).stem for x in entries if x.name.endswith(".yaml"))

    def text(self, name: str) -> str:
        """Return what is in one of the files."""
        return (self._place() / f"{name}.yaml").read_text()

    def _place(self) -> Traversable:
        return files("rivc").joinpath(*self.folder.split("/"))


def read_tree(source: str, shelf: Shelf) -> dict[str, Any]:
    """Return what a YAML file, or a shipped one, holds; its `name` is the file's if it has none.

    Raises:
        MissingError: if there is neither such a file nor such a name.
        ConfigError: if it is not YAML, or not keys and values.
    """
    text, name = _read(source, shelf)
    return {"name": name} | parse_tree(text, source)


def parse_tree(text: str, source: str) -> dict[str, Any]:
    """Return the keys and values of a text; errors name `source`.

    Raises:
        ConfigError: if it is not YAML, or not keys and values.
    """
    try:
        tree = yaml.safe_load(text) or {}
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{source} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{source} must hold keys and values, not a {type(tree).__name__}")
    return tree


def _read(source: str, shelf: Shelf) -> tuple[str, str]:
    path = Path(source)
    try:
        if path.is_file():
            return path.read_text(), path.stem
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {source}: {error}") from error
    names = shelf.names()
    if (
        path.stem in names
        and path.parent in {Path(), Path(shelf.folder)}
        and path.suffix in {"", ".yaml"}
    ):
        return shelf.text(path.stem), path.stem
    raise MissingError(
        f"no {shelf.what} {source!r}; shipped: {', '.join(names)}{nearest(source, names)}"
    )


def explain(error: ValidationError, known: Iterable[str]) -> str:
    """Return one problem in one line: an unknown key, with the nearest known one, or the first."""
    problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(
        str(part) for part in problem["loc"] if not (isinstance(part, str) and "[" in part)
    )
    if problem["type"] == "extra_forbidden":
        if "." in key and key in known:
            return f"unknown key {key!r}: write each part on a line of its own, one below the other"
        return f"unknown key {key!r}{nearest(key, known)}"
    return f"{key}: {problem['msg']}, got {problem['input']!r}"
