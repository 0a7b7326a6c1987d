"""The calls of a whole program, in Python's terms, around compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rivc.neurochip.floats import Calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.neurochip.floats import Act
    from rivc.snn_convert import SpikingProgram


class Loops(NamedTuple):
    """Compiled loops over the arrays of a program.

    Attributes:
        run: writes spikes and readout for counts, flat.
        act_on_vector: writes actions for an observation, float64, [features].
        act_on_picture: the same for uint8, flat; None where there are no pictures.
    """

    run: Callable[..., None]
    act_on_vector: Callable[..., bool]
    act_on_picture: Callable[..., bool] | None = None


def make_calls(program: SpikingProgram, parts: tuple[Any, ...], loops: Loops) -> Calls:
    """Return the calls of a program whose arrays are `parts`."""
    spiking = sum(layer.levels > 0 for layer in program.layers)
    units = program.shapes[-1][0]

    def run(x: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        totals = np.empty((spiking, len(x)), np.int64)
        readout = np.empty((len(x), units), np.int64)
        loops.run(parts, x.reshape(x.size), totals, readout)
        return readout, totals

    return Calls(run, _actor(program, parts, loops))


def _actor(program: SpikingProgram, parts: tuple[Any, ...], loops: Loops) -> Act:
    encoding, levels, look = program.encoding, program.encoding.levels, loops.act_on_picture
    if encoding.kind == "image" and look is not None:
        return lambda seen, actions: look(parts, levels, seen.reshape(-1), actions)
    ranges = np.array([encoding.low, encoding.step])
    return lambda seen, actions: loops.act_on_vector(parts, ranges, levels, seen, actions)
