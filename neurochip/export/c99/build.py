"""Exported C99 compiled and run on this machine."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import DamagedFileError, MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from rivc.neurochip.compare import Form

COMPILERS: Final = ("cc", "gcc", "clang")
STRICT: Final = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")
TIMEOUT: Final = 600  # seconds, of a compiler
_DECLARED: Final = re.compile(r"^void (\w+)_infer\(", re.MULTILINE)
_DEFINED: Final = re.compile(
    r"^#define \w+_(INPUT_SIZE|GROUPS|ACTIONS) ([0-9]{1,9})$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy as machine code; called with counts, it is a form.

    Attributes:
        infer: the C function: address of the input, address of the readout.
        input_size: counts that it reads.
        action_layout: (d, n) of the integers that it writes.
    """

    infer: Callable[[int, int], None]
    input_size: int
    action_layout: tuple[int, int]

    def __call__(self, counts: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the readout, int64, [B, d, n], of counts, uint8, [B, *shape].

        Raises:
            DamagedFileError: if it reads another number of counts than there are.
        """
        x = np.ascontiguousarray(counts, np.uint8).reshape(len(counts), -1)
        if x.shape[1] != self.input_size:
            raise DamagedFileError(f"policy.h reads {self.input_size} counts of {x.shape[1]}")
        readout = np.empty((len(x), *self.action_layout), np.int32)
        for i in range(len(x)):
            self.infer(
                x.ctypes.data + i * x.strides[0], readout.ctypes.data + i * readout.strides[0]
            )
        return readout.astype(np.int64)


def read_c99(folder: Path, scratch: Path) -> dict[str, Form]:
    """Compile the policy of an exported folder, and return it as a form.

    The code is run in this process: whoever wrote it is trusted as with any other source.

    Raises:
        MissingError: if there is no C compiler.
        DamagedFileError: if the code does not compile, or is not what the header says.
    """
    compiler = Path(find_compiler()).name
    return {f"c99 ({compiler})": load_policy(folder, scratch)}


def find_compiler() -> str:
    """Return the path of a C compiler.

    Raises:
        MissingError: if there is none.
    """
    for name in COMPILERS:
        path = shutil.which(name)
        if path is not None:
            return path
    names = ", ".join(COMPILERS)
    raise MissingError(f"no C compiler on the PATH ({names}); `apt install gcc` brings one")


def compiler_version() -> str:
    """Return the first line of what the compiler says of itself.

    Raises:
        MissingError: if there is none.
    """
    command = [find_compiler(), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT)
    return said.stdout.splitlines()[0]


def compile_c(sources: Sequence[Path], target: Path, options: Sequence[str] = ("-O3",)) -> Path:
    """Compile strict C99 into a program or, with ``-shared``, into a library.

    Raises:
        MissingError: if there is no C compiler.
        DamagedFileError: with the first complaint, if it does not compile without a warning.
    """
    command = [find_compiler(), *STRICT, *options, *map(str, sources), "-o", str(target)]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        raise DamagedFileError(f"{sources[0]} takes over {TIMEOUT} s to compile") from error
    if result.returncode:
        complaints = [line for line in result.stderr.splitlines() if "error" in line]
        first = (complaints or result.stderr.splitlines() or ["the compiler failed"])[0]
        raise DamagedFileError(f"{sources[0]} does not compile: {first}")
    return target


def load_policy(folder: Path, scratch: Path, options: Sequence[str] = ("-O3",)) -> CompiledPolicy:
    """Compile a policy into a library of its own in `scratch`, and load it.

    Raises:
        MissingError, DamagedFileError: see `read_c99`.
    """
    prefix, input_size, layout = _interface(folder / "policy.h")
    target = Path(mkdtemp(dir=scratch)) / "policy.so"
    library = compile_c([folder / "policy.c"], target, [*options, "-shared", "-fPIC"])
    try:
        infer = ctypes.CDLL(str(library))[f"{prefix}_infer"]
    except (OSError, AttributeError) as error:
        raise DamagedFileError(f"{folder / 'policy.c'} has no {prefix}_infer") from error
    infer.argtypes, infer.restype = [ctypes.c_void_p, ctypes.c_void_p], None
    return CompiledPolicy(infer, input_size, layout)


def _interface(header: Path) -> tuple[str, int, tuple[int, int]]:
    """Prefix, input size and action layout, as the header defines them."""
    try:
        text = header.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise DamagedFileError(f"{header} cannot be read: {error}") from error
    declared = _DECLARED.search(text)
    sizes = {what: int(value) for what, value in _DEFINED.findall(text)}
    if declared is None or len(sizes) != 3:
        raise DamagedFileError(f"{header} does not declare a policy")
    return declared[1], sizes["INPUT_SIZE"], (sizes["GROUPS"], sizes["ACTIONS"])
