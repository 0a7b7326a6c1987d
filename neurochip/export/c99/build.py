"""Exported C99 compiled and run on this machine.

What comes from a folder runs in a process of its own, which may crash or be stopped; `load_policy`
is for code that was written a moment ago, and calls it without a detour.
"""

from __future__ import annotations

import ctypes
import math
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import DamagedFileError, MissingError
from rivc.neurochip.export.c99.layers import fill
from rivc.snn_convert import SpikingProgram
from rivc.snn_convert.storage import PROGRAM_FILE, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from rivc.neurochip.compare import Form

COMPILERS: Final = ("cc", "gcc", "clang")
STRICT: Final = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")
TIMEOUT: Final = 600  # seconds, of a compiler
START_TIMEOUT, STATE_TIMEOUT = 10, 1  # seconds, of a process and a decision: far more than enough
_DECLARED: Final = re.compile(r"^void (\w+)_infer\(", re.MULTILINE)
_DEFINED: Final = re.compile(
    r"^#define \w+_(INPUT_SIZE|READOUT_SIZE|GROUPS|ACTIONS) ([0-9]{1,9})$", re.MULTILINE
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

    Raises:
        MissingError: if there is no C compiler.
        DamagedFileError: if the code does not compile, is not that of the folder's program, or
            crashes or hangs when it is run.
    """
    program = SpikingProgram.load(folder / PROGRAM_FILE)
    prefix = _interface(folder, program)
    build = Path(mkdtemp(dir=scratch))
    main = build / "replay.c"
    main.write_text(fill("replay.c", prefix=prefix, macro=prefix.upper()))
    runner = compile_c(
        [folder / "policy.c", main], build / "replay", ["-O3", f"-I{folder.resolve()}"]
    )
    return {"c99": lambda counts: _replay(runner, program, counts)}


def _replay(runner: Path, program: SpikingProgram, counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Run a compiled policy on counts, uint8 [B, *shape], in a process of its own."""
    limit = START_TIMEOUT + STATE_TIMEOUT * len(counts)
    try:
        done = subprocess.run(
            [str(runner)], input=counts.tobytes(), capture_output=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired as error:
        raise DamagedFileError(f"policy.c did not answer within {limit} s; export again") from error
    readout = np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], np.int32)
    if done.returncode or readout.size != len(counts) * math.prod(program.action_layout):
        raise DamagedFileError(
            f"policy.c ended with {done.returncode} after {readout.size} integers; export again"
        )
    return readout.reshape(-1, *program.action_layout).astype(np.int64)


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
    said = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=True, timeout=TIMEOUT
    )
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
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT,
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
    program = SpikingProgram.load(folder / PROGRAM_FILE)
    prefix = _interface(folder, program)
    target = Path(mkdtemp(dir=scratch)) / "policy.so"
    library = compile_c([folder / "policy.c"], target, [*options, "-shared", "-fPIC"])
    try:
        infer = ctypes.CDLL(str(library))[f"{prefix}_infer"]
    except (OSError, AttributeError) as error:
        raise DamagedFileError(f"{folder / 'policy.c'} has no {prefix}_infer") from error
    infer.argtypes, infer.restype = [ctypes.c_void_p, ctypes.c_void_p], None
    return CompiledPolicy(infer, math.prod(program.encoding.shape), program.action_layout)


def _interface(folder: Path, program: SpikingProgram) -> str:
    """The prefix that the header declares, if its sizes are those of the program."""
    header = folder / "policy.h"
    try:
        text = header.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise DamagedFileError(f"{header} cannot be read: {reason(error)}") from error
    declared = _DECLARED.search(text)
    sizes = {what: int(value) for what, value in _DEFINED.findall(text)}
    groups, actions = program.action_layout
    wanted = {
        "INPUT_SIZE": math.prod(program.encoding.shape),
        "READOUT_SIZE": groups * actions,
        "GROUPS": groups,
        "ACTIONS": actions,
    }
    if declared is None or sizes != wanted:
        raise DamagedFileError(f"{header} does not declare the policy of {PROGRAM_FILE}")
    return declared[1]
