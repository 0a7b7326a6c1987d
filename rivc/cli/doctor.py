"""`rivc doctor`."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Final

import click

from rivc import __version__
from rivc.cli.output import emit_json, json_option, table, verb
from rivc.cli.packages import BASE, EXTRAS, install
from rivc.errors import FailedError, MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON: Final = (3, 11)
OPTIONAL: Final = [extra for extra in EXTRAS if extra != "train"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for.

    Attributes:
        name: of the thing.
        ok: it is there.
        found: version or kind; what is wrong if it is not there.
        needed: training does not work without it.
        remedy: the command that brings it; empty if none is needed.
    """

    name: str
    ok: bool
    found: str
    needed: bool
    remedy: str = ""


@verb(example="rivc doctor")
@json_option
def command(as_json: bool) -> None:
    """Tell what is installed, what is missing, and the remedy.

    Leaves with 0 if training works here, with 1 otherwise. Drawing, filming and NIR are extras.
    """
    checks = list(examine())
    missing = [check.name for check in checks if check.needed and not check.ok]
    if as_json:
        emit_json({"ok": not missing, "checks": [asdict(check) for check in checks]})
    else:
        rows = [[check.name, _state(check), check.found, check.remedy] for check in checks]
        click.echo(table(["what", "state", "found", "remedy"], rows))
    if missing:
        raise FailedError(f"training does not work here: {', '.join(missing)} missing")


def _state(check: Check) -> str:
    if check.ok:
        return "ok"
    return "missing" if check.needed else "optional"


def examine() -> Iterator[Check]:
    """Look for everything that rivc can use, what is needed first."""
    enough = sys.version_info[:2] >= PYTHON
    yield Check(
        "python",
        enough,
        sys.version.split()[0],
        needed=True,
        remedy="" if enough else "Python 3.11",
    )
    yield Check("rivc", ok=True, found=__version__, needed=True)
    for name in BASE:
        yield _package(name, "pip install rivc")
    for name in EXTRAS["train"]:
        yield _package(name, install("train"))
    for extra in OPTIONAL:
        for name in EXTRAS[extra]:
            yield _package(name, install(extra), needed=False)
    yield _package("onnxruntime", "pip install onnxruntime", needed=False)
    yield _working_folder()
    yield _gl()
    yield _ffmpeg()
    yield _compiler()
    yield _byte_products()


def _byte_products() -> Check:
    """What makes the emulator and training several times faster, with numba: `rivc.quant.lanes`."""
    try:
        from rivc.quant.lanes import instruction_lanes
    except ImportError:
        return Check("byte products", ok=False, found="", needed=False, remedy=install("fast"))
    lanes = instruction_lanes()
    found = f"VNNI, {32 * lanes} bits" if lanes else "not in this processor; floats do"
    return Check("byte products", lanes > 0, found, needed=False)


def _compiler() -> Check:
    """What `rivc verify` builds exported C with."""
    from rivc.neurochip.export.c99 import compiler_version

    try:
        return Check("C compiler", ok=True, found=compiler_version(), needed=False)
    except MissingError:
        return Check("C compiler", ok=False, found="", needed=False, remedy="apt install gcc")


def _package(name: str, remedy: str, *, needed: bool = True) -> Check:
    try:
        return Check(name, ok=True, found=version(name), needed=needed)
    except PackageNotFoundError:
        return Check(name, ok=False, found="", needed=needed, remedy=remedy)


def _working_folder() -> Check:
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        here = None
    writable = here is not None and os.access(here, os.W_OK)
    remedy = "" if writable else "cd to a folder of yours"
    return Check("working folder", writable, f"{here or 'gone'}", needed=True, remedy=remedy)


def _gl() -> Check:
    """OpenGL, for camera=gl and for films; camera=ray needs none."""
    try:
        from rivc.envs import gl_status
    except ImportError:
        return Check("OpenGL", ok=False, found="", needed=False, remedy=install("train"))
    status = gl_status()
    found = f"{status.backend}, {status.renderer}" if status.backend else status.problem
    return Check("OpenGL", status.backend is not None, found, needed=False, remedy=status.remedy)


def _ffmpeg() -> Check:
    """What writes films: the one that comes with imageio-ffmpeg, or the system's."""
    try:
        return Check(
            "ffmpeg", ok=True, found=f"imageio-ffmpeg {version('imageio-ffmpeg')}", needed=False
        )
    except PackageNotFoundError:
        path = which("ffmpeg")
        return Check(
            "ffmpeg",
            path is not None,
            path or "",
            needed=False,
            remedy="" if path else install("video"),
        )
