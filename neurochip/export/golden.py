"""Golden vectors: inputs and the integers that every form of a program must answer with."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import DamagedFileError, MissingError
from rivc.neurochip.compare import run_in_batches
from rivc.neurochip.states import hard_states, random_states
from rivc.snn_convert import reference
from rivc.snn_convert.storage import MAX_BYTES, UNREADABLE, read_arrays, reason, write_arrays

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from rivc.snn_convert import SpikingProgram

GOLDEN_FILE: Final = "golden.npz"
STATES: Final = 256
RANDOM_STATES: Final = 128
HEADERS: Final = 1 << 12  # bytes of a file, at most, that are not of an array


@dataclass(frozen=True)
class Golden:
    """Inputs with the readout that the definition gives for them.

    Attributes:
        inputs: counts, uint8, [N, *shape].
        readout: integers, int64, [N, d, n].
        kinds: how many inputs were chosen for what, in their order; empty if read from a file.
    """

    inputs: NDArray[np.uint8]
    readout: NDArray[np.int64]
    kinds: dict[str, int]


def make_golden(program: SpikingProgram, seed: int = 0) -> Golden:
    """Return golden vectors: half or more random states, then those that are hard to get right.

    The kinds, and when one of them is missing, are explained in `rivc.neurochip.states`.

    Args:
        program: what is to be tested.
        seed: of the random states; the same program and seed give the same vectors.

    Returns:
        At least 256 vectors, or as many as a file of them holds; random ones are left out first.
    """
    rng, room = np.random.default_rng(seed), _room(program)
    hard = _fitting(hard_states(program, rng), room)
    chosen = sum(map(len, hard.values()))
    count = min(max(RANDOM_STATES, STATES - chosen), room - chosen)
    states = {"random": random_states(program.encoding, count, rng), **hard}
    inputs = np.concatenate(list(states.values()))
    readout = run_in_batches(partial(reference.run, program), inputs)
    return Golden(inputs, readout, {kind: len(x) for kind, x in states.items()})


def _room(program: SpikingProgram) -> int:
    """How many vectors a file that is read may hold."""
    bytes_each = math.prod(program.encoding.shape) + 8 * math.prod(program.action_layout)
    return (MAX_BYTES - HEADERS) // bytes_each


def _fitting(states: dict[str, NDArray[np.uint8]], room: int) -> dict[str, NDArray[np.uint8]]:
    """The first states of each kind, as many as there is room for, each kind in turn."""
    turns = sorted((i, kind) for kind, found in states.items() for i in range(len(found)))
    kept = Counter(kind for _, kind in turns[:room])
    return {kind: found[: kept[kind]] for kind, found in states.items()}


def save_golden(golden: Golden, path: Path) -> None:
    """Write the vectors to one ``.npz`` file, whole or not at all.

    Raises:
        UsageError: if they are more than `load_golden` reads.
    """
    write_arrays(path, {"inputs": golden.inputs, "readout": golden.readout})


def load_golden(path: Path, program: SpikingProgram) -> Golden:
    """Read the vectors of a program; nothing is unpickled.

    Raises:
        MissingError: if there is no such file.
        DamagedFileError: if it does not hold vectors of this program's shapes.
    """
    if not path.is_file():
        raise MissingError(f"no golden vectors at {path}")
    try:
        arrays = read_arrays(path)
        inputs = arrays["inputs"].astype(np.uint8, casting="equiv")
        readout = arrays["readout"].astype(np.int64, casting="equiv")
        reference.check_counts(program, inputs)
    except UNREADABLE as error:
        raise DamagedFileError(f"{path} does not hold golden vectors: {reason(error)}") from error
    if readout.shape != (len(inputs), *program.action_layout) or not len(inputs):
        shape = (
            f"{readout.shape} for {len(inputs)} inputs of a program with {program.action_layout}"
        )
        raise DamagedFileError(f"{path} does not hold golden vectors: readouts of shape {shape}")
    return Golden(inputs, readout, {})
