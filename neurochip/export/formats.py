"""The formats that a program can leave in: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rivc.errors import MissingError, nearest
from rivc.snn_convert import SpikingProgram

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM_FILE: Final = "program.npz"


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a program down.

    Attributes:
        name: as the command line knows it.
        summary: one line.
        write: puts the files of a program into a folder, ``program.npz`` always among them.
        read_back: returns the program that the files of a folder stand for.
    """

    name: str
    summary: str
    write: Callable[[SpikingProgram, Path], None]
    read_back: Callable[[Path], SpikingProgram]


def _write_program(program: SpikingProgram, folder: Path) -> None:
    program.save(folder / PROGRAM_FILE)


def _read_program(folder: Path) -> SpikingProgram:
    return SpikingProgram.load(folder / PROGRAM_FILE)


_ROWS: Final = (
    Format("program", "the program itself, for every rivc back end", _write_program, _read_program),
)
FORMATS: Final = {row.name: row for row in _ROWS}


def find_format(name: str) -> Format:
    """Return a format by name.

    Raises:
        MissingError: if there is none of this name; names those there are.

    Example:
        >>> find_format("program").name
        'program'
    """
    if name not in FORMATS:
        there_are = ", ".join(FORMATS)
        raise MissingError(
            f"no export format {name!r}; there is: {there_are}{nearest(name, FORMATS)}"
        )
    return FORMATS[name]
