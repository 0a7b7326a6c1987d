"""A program made ready to leave: a folder with deployment files, golden vectors and a manifest.

A format is one row of `FORMATS`: a function that writes its files and one that runs them.
"""

from rivc.neurochip.export.compressed import Compression, load_compressed, save_compressed
from rivc.neurochip.export.folder import (
    Export,
    export_program,
    is_export,
    load_export,
    load_verified,
)
from rivc.neurochip.export.formats import FORMATS, ExportOptions, Format, find_format
from rivc.neurochip.export.golden import Golden, load_golden, make_golden, save_golden

__all__ = [
    "FORMATS",
    "Compression",
    "Export",
    "ExportOptions",
    "Format",
    "Golden",
    "export_program",
    "find_format",
    "is_export",
    "load_compressed",
    "load_export",
    "load_golden",
    "load_verified",
    "make_golden",
    "save_compressed",
    "save_golden",
]
