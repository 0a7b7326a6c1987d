r"""The default chip: integer spike counts on this machine, as fast as it goes.

Counting spikes needs no ticks: the staircase of a layer is what L ticks of integrate-and-fire with
subtractive reset add up to. Where numba works (``rivc[fast]``) the layers are compiled loops,
elsewhere they are numpy; both give the same integers.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.compiled import why_not
from rivc.errors import BackendError, MissingError
from rivc.neurochip.backend import Inference, Violation, require_fit
from rivc.neurochip.floats import NUMPY, Calls
from rivc.neurochip.limits import ChipLimits
from rivc.quant.exact import SIGNIFICAND
from rivc.snn_convert.reference import check_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.neurochip.floats import Act, Counts, Kernels, Run
    from rivc.snn_convert import SpikingProgram

# Sign included, so one bit of the significand is left, which keeps the floor of a quotient exact.
LIMITS: Final = ChipLimits(membrane_bits=SIGNIFICAND["float64"])


class Emulator:
    """A chip of exact integers and no time; see the module.

    Args:
        compiled: take the compiled loops; by default, where numba works.

    Raises:
        MissingError: if compiled loops are asked for and numba does not work here.

    Example:
        >>> from rivc.neurochip import load_backend
        >>> chip = load_backend("emulator")
        >>> chip.name
        'emulator'
    """

    name = "emulator"
    profile = "ideal"
    limits = LIMITS

    def __init__(self, *, compiled: bool | None = None) -> None:
        self._compiled = compiled
        self._program: SpikingProgram | None = None
        self._calls: Calls | None = None

    @property
    def act(self) -> Act | None:
        """What writes the greedy actions of one observation in one call; None if nothing does."""
        return self._calls and self._calls.act

    def check(self, program: SpikingProgram) -> list[Violation]:
        """Return every limit that the program exceeds: only widths beyond float64 do."""
        if self.limits is LIMITS and program.membrane_bound <= LIMITS.membrane_bits:
            return []  # known by the shapes, so that a conversion in place asks for nothing more
        return self.limits.violations(program)

    def load(self, program: SpikingProgram) -> None:
        """Prepare the kernels of a program; the first time on a machine, compile them."""
        require_fit(self, program)
        kernels = choose_kernels(self._compiled)
        self._calls = kernels.calls(program) or Calls(_layer_by_layer(kernels, program))
        self._program = program
        self._calls.run(np.zeros((1, *program.encoding.shape), np.uint8))  # compiles

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        """Run the loaded program on unsigned counts, uint8, [B, *shape]."""
        if self._program is None or self._calls is None:
            raise BackendError("no program is loaded on the emulator; call load(program) first")
        x = check_counts(self._program, counts)
        # Loops are compiled for arrays in C order that could be written.
        readout, spikes = self._calls.run(x if x.flags.carray else x.copy())
        readout = readout.astype(np.int64, copy=False).reshape(-1, *self._program.action_layout)
        return Inference(readout, spikes)

    def close(self) -> None:
        """Forget the program."""
        self._program = self._calls = None


def _layer_by_layer(kernels: Kernels, program: SpikingProgram) -> Run:
    """Return the function from counts to what the last layer emits and the spikes of the others."""
    steps = [
        kernels.steps[layer.kind](layer, shape, levels_in)
        for layer, shape, levels_in in zip(
            program.layers, program.shapes, program.levels_in, strict=False
        )
    ]
    fires = [layer.levels > 0 for layer in program.layers]

    def run(x: Counts) -> tuple[Counts, NDArray[np.int64]]:
        count, spikes = len(x), []
        for step, has_spikes in zip(steps, fires, strict=True):
            x = step(x)
            if has_spikes:
                spikes.append(kernels.totals(x))
        return x, np.array(spikes, np.int64).reshape(len(spikes), count)

    return run


@cache
def choose_kernels(compiled: bool | None = None) -> Kernels:
    """Return the compiled kernels where numba works, else those in numpy, whatever is asked for.

    Chosen once in a process: what is missing stays so.

    Raises:
        MissingError: if compiled loops are asked for and numba does not work here.
    """
    problem = "" if compiled is False else why_not()
    if compiled and problem:
        raise MissingError(problem)
    if compiled is not False and not problem:
        from rivc.neurochip.kernels import COMPILED

        return COMPILED
    return NUMPY
