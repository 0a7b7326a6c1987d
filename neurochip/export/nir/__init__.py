"""Programs as NIR graphs, the exchange format of spiking simulators and chips.

============================ ====================================================================
``model.nir``                the unary form, which simulators run alike whatever their reset is
``model_legacy.nir``         the same for nir 1.0.4 and older, which know no ``v_reset``
``model_compact.nir``        one neuron a neuron; its metadata state reset, comparator and phases
============================ ====================================================================

`unary` and `compact` have the equations, ``docs/nir.md`` what a simulator has to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rivc.errors import MissingError

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.neurochip.compare import Form
    from rivc.snn_convert import SpikingProgram

UNARY_FILE: Final = "model.nir"
LEGACY_FILE: Final = "model_legacy.nir"
COMPACT_FILE: Final = "model_compact.nir"
FORMS: Final = {"nir": COMPACT_FILE, "nir_unary": UNARY_FILE, "nir_legacy": LEGACY_FILE}
INSTALL: Final = "pip install 'rivc[nir]'"


def write(program: SpikingProgram, folder: Path, _: object = None) -> None:
    """Write the three files of a program into a folder.

    Raises:
        MissingError: if the nir package is not installed.
        ChipLimitError: if a graph cannot hold the program; names every layer and remedy.
        UsageError: if the folder cannot be written.
    """
    try:
        from rivc.neurochip.export.nir import compact, hdf5, limits, unary
    except ImportError as error:
        raise MissingError(f"nir is not installed: {INSTALL}") from error
    from rivc.snn_convert.storage import write_atomically

    limits.require_fit(program)
    graph = unary.build(program)
    files = {
        UNARY_FILE: hdf5.dump(graph),
        LEGACY_FILE: hdf5.dump_legacy(graph),
        COMPACT_FILE: hdf5.dump(compact.build(program)),
    }
    for name, data in files.items():
        write_atomically(folder / name, data)


def read_back(folder: Path, _: object = None) -> dict[str, Form]:
    """Return what the files of a folder compute, by the reader of this library.

    The program is not looked at: weights, thresholds, phases and layout are those of the files.

    Raises:
        MissingError: if h5py is not installed, or a file is gone.
        DamagedFileError: if a file does not hold such a graph.
    """
    try:
        from rivc.neurochip.export.nir import reader
    except ImportError as error:
        raise MissingError(f"h5py is not installed: {INSTALL}") from error
    return {name: reader.load_form(folder / file) for name, file in FORMS.items()}
