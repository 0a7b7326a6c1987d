"""Write the golden files: ``python -m tests.golden.make``, then read the diff.

Each program is saved as a user would save it, next to inputs, the readout of the int64 definition
and the hash. A difference means that a released program would act differently or no longer load.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from tests.golden.codec import write_codecs
from tests.programs import conv_program, dense_program, int8, int32, random_counts, readout

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER: Final = Path(__file__).parent
ROWS: Final = 32


def tie_program() -> SpikingProgram:
    """Return 4-bit counts through binary weights to six groups; most membranes lie on a tie.

    With one fraction bit, a threshold of 4 and even biases, every second sum is halfway between
    two counts; the hidden layer has the bias lattice of `akida1`.
    """
    rng = np.random.default_rng(7)
    first = Layer(
        "dense",
        np.where(int8(rng, (8, 5), 7) < 0, -1, 1).astype(np.int8),
        2 * int32(rng, -9, 10, 8),
        np.full(8, 4, np.int32),
        weight_bits=1,
        frac_bits=1,
        levels=15,
    )
    threshold = np.array([16, 33, 64, 160], np.int32)
    hidden = Layer(
        "dense",
        int8(rng, (4, 8), 1),
        threshold - 1 - threshold // 2 - 16 * int32(rng, -4, 5, 4),
        threshold,
        weight_bits=2,
        frac_bits=4,
        levels=15,
    )
    last = readout(int8(rng, (12, 4), 1), int32(rng, -2, 3, 12), weight_bits=2)
    low, step = (-1.0, 0.0, 0.5, -3.25, 1e-3), (0.125, 1.0, 2**-20, 1 / 3, 1e-9)
    encoding = InputEncoding("vector", (5,), 4, low, step)
    return SpikingProgram(encoding, (first, hidden, last), 1 / 3, (6, 2), "akida1")


PROGRAMS: Final[dict[str, Callable[[], SpikingProgram]]] = {
    "dense": dense_program,
    "conv": conv_program,
    "ties": tie_program,
}


def write(folder: Path) -> None:
    """Write NAME.npz, the program, and NAME.vectors.npz, what it does, for every program."""
    for name, build in PROGRAMS.items():
        program = build()
        inputs = random_counts(program, np.random.default_rng(2026), ROWS)
        program.save(folder / f"{name}.npz")
        np.savez(
            folder / f"{name}.vectors.npz",
            inputs=inputs,
            readout=reference.run(program, inputs),
            sha256=np.frombuffer(bytes.fromhex(program.sha256), np.uint8),
        )


if __name__ == "__main__":
    write(FOLDER)
    write_codecs(FOLDER)
