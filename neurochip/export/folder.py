"""The exported folder: written whole or not at all, and never over something else."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc import __version__
from rivc.errors import DamagedFileError, MismatchError, MissingError, UsageError
from rivc.neurochip.compare import compare_all, program_forms
from rivc.neurochip.export.compressed import COMPRESSED_FILE, load_compressed, save_compressed
from rivc.neurochip.export.formats import FORMATS, ExportOptions, find_format
from rivc.neurochip.export.golden import GOLDEN_FILE, Golden, load_golden, make_golden, save_golden
from rivc.snn_convert import SpikingProgram, reference
from rivc.snn_convert.storage import PROGRAM_FILE, read_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rivc.neurochip.compare import Form

MANIFEST_FILE: Final = "manifest.json"
FORMAT_VERSION: Final = 1
MAX_NAME: Final = 100  # of a name that an error quotes


@dataclass(frozen=True)
class Export:
    """What an exported folder holds.

    Attributes:
        program: the program.
        golden: its vectors.
        manifest: format, hash of the program, versions, files.
        folder: where it lies.
    """

    program: SpikingProgram
    golden: Golden
    manifest: dict[str, Any]
    folder: Path

    def forms(self, scratch: Path) -> dict[str, Form]:
        """Return what the compressed program, and the format's own files, compute.

        Raises:
            MissingError: if what runs the format's files is not installed here.
            DamagedFileError: if a file is not what it ought to be.
        """
        return {**self.compressed_form(), **self.format_forms(scratch)}

    def compressed_form(self) -> dict[str, Form]:
        """Return what the compressed program computes, which runs anywhere; nothing without one.

        Raises:
            DamagedFileError: if it is not a whole program.
        """
        if COMPRESSED_FILE not in self.manifest["files"]:
            return {}
        program = load_compressed(self.folder / COMPRESSED_FILE)
        return {"compressed": partial(reference.run, program)}

    def format_forms(self, scratch: Path) -> dict[str, Form]:
        """Return what the format's own files compute; see `Format.read_back`.

        Raises:
            MissingError: if what runs them is not installed here.
            DamagedFileError: if they are not what they ought to be.
        """
        return find_format(self.manifest["format"]).read_back(self.folder, scratch)


def export_program(
    program: SpikingProgram,
    folder: str | Path,
    *,
    format: str = "program",
    options: ExportOptions | None = None,
    origin: Mapping[str, Any] | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> Export:
    """Write a program, golden vectors and a manifest into a folder.

    Args:
        program: what to export.
        folder: new, empty, or an earlier export, which is replaced.
        format: one of `FORMATS`.
        options: of the format; default: none.
        origin: where the program comes from, noted in the manifest.
        extra: more files for the folder, by name.

    Raises:
        MissingError: if there is no such format, or what writes it is not installed.
        ChipLimitError: if the format cannot hold the program.
        UsageError: if the folder holds anything but an export, or cannot be written.
    """
    chosen, folder = find_format(format), Path(folder)
    part = _beside(folder, f"{os.getpid()}.part")  # a writer's own: another may be at work
    try:
        require_own(folder)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        program.save(part / PROGRAM_FILE)
        options = options or ExportOptions()
        chosen.write(program, part, options)
        for name, data in (extra or {}).items():
            write_atomically(part / name, data)
        compression = _compressed(program, part) if options.compress else {}
        golden = make_golden(program)
        save_golden(golden, part / GOLDEN_FILE)
        manifest = _manifest(program, golden, format, origin or {})
        manifest |= compression
        manifest["files"] = sorted(path.name for path in part.iterdir())
        write_atomically(part / MANIFEST_FILE, json.dumps(manifest, indent=1).encode())
        _put_in_place(part, folder.absolute())
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Export(program, golden, manifest, folder)


def _compressed(program: SpikingProgram, folder: Path) -> dict[str, Any]:
    """Write the small form, and return what goes into the manifest."""
    return {"compression": asdict(save_compressed(program, folder / COMPRESSED_FILE))}


def _manifest(
    program: SpikingProgram, golden: Golden, format_name: str, origin: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "format": format_name,
        "format_version": FORMAT_VERSION,
        "program_sha256": program.sha256,
        "versions": {"rivc": __version__, "numpy": np.__version__},
        "origin": dict(origin),
        "input": {
            "kind": program.encoding.kind,
            "shape": list(program.encoding.shape),
            "bit_width": program.encoding.bit_width,
        },
        "action_layout": list(program.action_layout),
        "profile": program.profile,
        "golden": {"states": len(golden.inputs), **golden.kinds},
    }


def require_own(folder: Path) -> None:
    """Raise a `UsageError` unless a folder is new, empty, or an export and nothing else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder that --out may make")
    known = {MANIFEST_FILE, *read_manifest(folder)["files"]} if is_export(folder) else set()
    foreign = sorted({path.name for path in folder.iterdir()} - known)
    if foreign:
        raise UsageError(
            f"{folder} holds other files than an export, as {foreign[0]!r}; choose another --out"
        )


def _put_in_place(part: Path, folder: Path) -> None:
    """Rename the finished folder, over an earlier one if there is one."""
    if not folder.exists() or not any(folder.iterdir()):
        part.rename(folder)
        return
    old = _beside(folder, f"{os.getpid()}.old")
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    try:
        part.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)  # the new one is in place, whatever becomes of it


def _beside(folder: Path, what: str) -> Path:
    """A hidden folder on the same disk, so that a rename puts it in place at once."""
    place = folder.absolute()
    return place.with_name(f".{place.name}.{what}")


def is_export(folder: str | Path) -> bool:
    """Tell whether a folder claims to be an export."""
    try:
        return "format" in read_json(Path(folder) / MANIFEST_FILE)
    except DamagedFileError:
        return False


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an export.

    Raises:
        DamagedFileError: if it does not say what an export says.
    """
    path = folder / MANIFEST_FILE
    manifest = read_json(path)
    named = manifest.get("files")
    files: list[Any] = named if isinstance(named, list) else [None]
    texts = [manifest.get("format"), manifest.get("program_sha256"), *files]
    if not all(isinstance(text, str) for text in texts):
        raise DamagedFileError(f"{path} does not name format, program and files of an export")
    if any(Path(name).name != name for name in files):
        raise DamagedFileError(f"{path} names files outside of its folder")
    return manifest


def load_export(folder: str | Path) -> Export:
    """Read an exported folder.

    The hash in the manifest is not compared here: a program that was exchanged is for `verify` to
    tell, by its integers.

    Raises:
        MissingError: if it is no export, or a file of it is gone.
        DamagedFileError: if a file is not what it ought to be.
    """
    folder = Path(folder)
    if not is_export(folder):
        raise MissingError(
            f"no export at {folder}: there is no {MANIFEST_FILE} that names a format"
        )
    manifest = read_manifest(folder)
    if manifest["format"] not in FORMATS:
        named = manifest["format"][:MAX_NAME]
        raise DamagedFileError(f"{folder / MANIFEST_FILE}: no format {named!r}")
    present = {path.name for path in folder.iterdir() if path.is_file()}
    for name in manifest["files"]:
        if name not in present:
            where = folder / name[:MAX_NAME]
            raise DamagedFileError(f"{where} is gone, or no plain file; export again")
    program = SpikingProgram.load(folder / PROGRAM_FILE)
    return Export(program, load_golden(folder / GOLDEN_FILE, program), manifest, folder)


def load_verified(folder: str | Path) -> Export:
    """Read an exported or published folder, and prove its program on the golden vectors.

    The program is run by the reference and the chips of `program_forms`, and so is its compressed
    form if there is one. A format's own files are not run: that is for ``rivc verify``.

    Raises:
        MissingError, DamagedFileError: as `load_export`.
        MismatchError: if the program is not that of the manifest, or one of these answers a vector
            with another integer.
    """
    export = load_export(folder)
    stated = export.manifest["program_sha256"]
    if export.program.sha256 != stated:
        raise MismatchError(
            f"{folder}: the program has hash {export.program.sha256[:12]}, "
            f"the manifest says {stated[:12]}"
        )
    with program_forms(export.program, None) as forms:
        every = export.compressed_form() | forms
        results = compare_all(every, export.golden.inputs, export.golden.readout)
    for name, result in results.items():
        if result.first is not None:
            raise MismatchError(f"{folder}: {name} differs from its golden vectors; {result.first}")
    return export
