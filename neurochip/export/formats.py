"""The formats that a program can leave in: one row each.

Whatever the format, ``program.npz`` and the golden vectors lie in the folder too; a format adds the
files that a chip, a compiler or another library takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rivc.errors import MissingError, nearest
from rivc.neurochip.export import nir
from rivc.neurochip.export.akida import read_akida, write_akida
from rivc.neurochip.export.c99 import read_c99, write_c99
from rivc.neurochip.export.onnx import read_onnx, write_onnx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rivc.neurochip.compare import Form
    from rivc.snn_convert import SpikingProgram


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What an export may be asked for beside its format.

    Attributes:
        prefix: begins every public name of generated source code.
        compress: whether to write the program in its smallest form as well.
    """

    prefix: str = "rivc_policy"
    compress: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a program down.

    Attributes:
        name: as the command line knows it.
        summary: one line.
        write: puts the format's own files into a folder.
        read_back: returns what the files of a folder compute, as forms by name; a second folder is
            for what it builds on the way. Raises MissingError, with the remedy, if what runs the
            files is not installed here.
    """

    name: str
    summary: str
    write: Callable[[SpikingProgram, Path, ExportOptions], None]
    read_back: Callable[[Path, Path], dict[str, Form]]


_ROWS: Final = (
    Format(
        "program",
        "the program itself, for every rivc back end",
        write=lambda *_: None,
        read_back=lambda *_: {},
    ),
    Format(
        "c99",
        "C source for any processor: integers only, no heap, packed weights",
        write=write_c99,
        read_back=read_c99,
    ),
    Format(
        "onnx",
        "ONNX with integer operators only, uint8 counts to int64 readout",
        write=write_onnx,
        read_back=read_onnx,
    ),
    Format(
        "akida",
        "the model of an Akida chip, and what its host adds",
        write=write_akida,
        read_back=read_akida,
    ),
    Format(
        "nir",
        "NIR graphs, for simulators and chips that read this exchange format",
        write=nir.write,
        read_back=nir.read_back,
    ),
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
