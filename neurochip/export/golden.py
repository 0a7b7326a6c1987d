"""Golden vectors: inputs and the integers that every form of a program must answer with."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import DamagedFileError, MissingError
from rivc.neurochip.states import hard_states, random_states
from rivc.snn_convert import reference
from rivc.snn_convert.storage import UNREADABLE, read_arrays, reason, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from rivc.snn_convert import SpikingProgram

GOLDEN_FILE: Final = "golden.npz"
STATES: Final = 256
RANDOM_STATES: Final = 128


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
        At least 256 vectors.
    """
    rng = np.random.default_rng(seed)
    hard = hard_states(program, rng)
    missing = STATES - sum(map(len, hard.values()))
    states = {"random": random_states(program.encoding, max(RANDOM_STATES, missing), rng), **hard}
    inputs = np.concatenate(list(states.values()))
    return Golden(
        inputs, reference.run(program, inputs), {kind: len(x) for kind, x in states.items()}
    )


def save_golden(golden: Golden, path: Path) -> None:
    """Write the vectors to one ``.npz`` file, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, inputs=golden.inputs, readout=golden.readout)
    write_atomically(path, buffer.getvalue())


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
