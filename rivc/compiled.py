"""How loops are compiled: on the robot, in training and in cameras. Importing this needs no numba.

A loop is compiled when it is first called with a choice of types, or taken from the disk, with the
loops that it calls inside. Numba looks at the caller's file alone to tell whether what is on the
disk is old, so loops are kept in a folder that is named by all that may be inside: where a file
beside loops has changed, all are compiled anew. Numbers are set one by one in loops: numba takes
several times longer over whole arrays.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager, suppress
from functools import cache
from glob import escape, glob
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rivc.errors import MissingError, in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    F = TypeVar("F", bound=Callable[..., Any])

PACKAGE: Final = Path(__file__).parent
# a file with one of them holds loops
MARKS: Final = b"\n@compiled", b"\n@reordered", b"\n@inlined", b"\n@loop"
UNUSED_S: Final = 30 * 24 * 3600  # after which folders of other versions are removed


def compiled(function: F) -> F:
    """Compile a loop that computes what numpy would, divisions by zero included.

    Raises:
        MissingError: if numba does not work here.
    """
    return _compile(function)


def reordered(function: F) -> F:
    """Compile a loop whose sums may be taken in any order, products and sums in one rounding.

    Raises:
        MissingError: if numba does not work here.
    """
    return _compile(function, fastmath={"reassoc", "nsz", "contract"})


def inlined(function: F) -> F:
    """Compile a loop as part of every loop that calls it.

    For the parts of a pass, which take tuples of many arrays: a call would hand over each of their
    numbers, and every caller optimize once more what lies below. Sums are taken as the caller's.

    Raises:
        MissingError: if numba does not work here.
    """
    return _compile(function, inline="always")


@cache
def why_not() -> str:
    """Return what keeps loops from being compiled here, and the way out; empty if nothing does.

    Found out once in a process: what is missing stays so.
    """
    try:
        compiled(_nothing)
    except MissingError as error:
        return str(error)
    return ""


def is_kept(name: str) -> bool:
    """Return whether a loop, as ``module.function``, was compiled here before.

    Where it was not, its first call takes up to a minute.
    """
    from numba import config

    folder = _folder(config.CACHE_DIR)
    return bool(folder) and any(Path(folder).rglob(f"{name}-*.nbi"))


def digest(package: Path) -> str:
    """Return a name for all that is compiled in a package, 16 hexadecimal digits.

    It changes with any file of a folder where loops are: what they call and the constants that are
    compiled into them lie there.
    """
    found = glob(f"{escape(str(package))}/**/*.py", recursive=True)  # noqa: PTH207 (Path.rglob follows no links)
    paths = sorted(map(Path, found))
    texts = {path: path.read_bytes() for path in paths}
    folders = {path.parent for path, text in texts.items() if any(mark in text for mark in MARKS)}
    sums = [sha256(text).digest() for path, text in texts.items() if path.parent in folders]
    return sha256(b"".join(sums)).hexdigest()[:16]


def _nothing() -> None:
    pass


def _compile(function: F, **options: Any) -> F:
    try:
        from numba import njit

        with _in_our_folder():
            loop: F = njit(cache=True, error_model="numpy", **options)(function)
    except (ImportError, OSError, RuntimeError) as error:  # the last: nowhere to keep loops
        raise MissingError(
            f"compiled loops need numba, which does not work here: {in_one_line(error)}; "
            "pip install 'rivc[fast]', or set NUMBA_CACHE_DIR to a folder that can be written to"
        ) from error
    return loop


@contextmanager
def _in_our_folder() -> Iterator[None]:
    """Let numba keep a loop in our folder; it looks where while decorating, and elsewhere then.

    Where that folder cannot be written to, numba goes on to those it would have taken.
    """
    from numba import config

    theirs = config.CACHE_DIR
    config.CACHE_DIR = _folder(theirs)
    try:
        yield
    finally:
        config.CACHE_DIR = theirs


@cache
def _folder(parent: str) -> str:
    """Return where loops are kept: below what ``NUMBA_CACHE_DIR`` says, or the user's cache."""
    from numba.misc.appdirs import AppDirs

    own = AppDirs("rivc", appauthor=False).user_cache_dir
    root = Path(parent) / "rivc" if parent else Path(own)
    if not (parent or root.is_absolute()):  # a user without a home
        return ""
    folder = root / f"loops-{digest(PACKAGE)}"
    with suppress(OSError):
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # it is in use
        if is_new:
            remove_unused(root)
    return str(folder)


def remove_unused(root: Path) -> None:
    """Remove folders of loops that no process has asked for in thirty days."""
    for folder in root.glob("loops-*"):
        if time.time() - folder.stat().st_mtime > UNUSED_S:
            shutil.rmtree(folder, ignore_errors=True)
