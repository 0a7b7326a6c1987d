"""The layers of the emulator as compiled loops over integers; they need numba (``rivc[fast]``).

Where the processor multiplies bytes faster than floats, a program is one call, whatever its layers
are (`whole`). Elsewhere, and where int32 does not hold a sum, a program of dense layers is one call
(`rows`), and any other a step a layer (`steps`).

Loops are compiled once for each choice of types, which is why arrays must be in C order and may not
be read-only here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rivc.neurochip.floats import Kernels, flatten
from rivc.neurochip.kernels import rows, steps, whole
from rivc.quant import weighing

if TYPE_CHECKING:
    from rivc.neurochip.floats import Calls
    from rivc.snn_convert import SpikingProgram


def _calls(program: SpikingProgram) -> Calls | None:
    return (weighing.BYTES_ARE_FAST and whole.calls(program)) or rows.calls(program)


COMPILED: Final = Kernels(
    {
        "dense": steps.dense,
        "conv2d": steps.conv2d,
        "maxpool2d": steps.maxpool2d,
        "flatten": flatten,
    },
    steps.totals,
    _calls,
)
