"""Programs of dense layers by rows of weights, as one call: where bytes multiply no faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.compiled import compiled
from rivc.neurochip.kernels.calls import Loops, make_calls
from rivc.neurochip.kernels.loops import HOLDS_NAN, add_rows, add_up, choose, encode, fire, read_out
from rivc.neurochip.kernels.stairs import integer, reach, stairs
from rivc.neurochip.kernels.steps import type_of_readout
from rivc.quant.views import matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.neurochip.floats import Calls
    from rivc.snn_convert import SpikingProgram

    Counts = NDArray[np.uint8]
    Integers = NDArray[np.int64]

DENSE: Final = np.dtype(
    [
        ("inputs", np.int64),
        ("units", np.int64),
        ("weight", np.int64),  # first place among all weights
        ("neurons", np.int64),  # and among all units
        ("frac_bits", np.int64),
    ]
)


class Rows(NamedTuple):
    """The layers of a program that has dense ones only.

    Attributes:
        layers: `DENSE` records, the readout last.
        weight: int8, [in, out] of each spiking layer, [out, in] of the readout.
        stairs: of all units, [3, units] of each layer.
        bias: of the readout, in the integers that its sums ride in.
        sums: nothing, in the integers that the sums of spiking layers ride in.
    """

    layers: Any
    weight: NDArray[np.int8]
    stairs: NDArray[Any]
    bias: NDArray[Any]
    sums: NDArray[Any]


@compiled
def run_rows(parts: tuple[Any, ...], given: Counts, totals: Integers, readout: Integers) -> None:
    """Write the spikes of each layer, [layers, B], and the readout, [B, out], for counts, flat.

    `parts` are those of `Rows`; numba takes a plain tuple from Python in half the time.
    """
    chain, rows = Rows(*parts), len(readout)
    x, last = matrix(given, 0, rows, chain.layers[0].inputs), len(chain.layers) - 1
    for i in range(last):
        layer = chain.layers[i]
        weight = matrix(chain.weight, layer.weight, layer.inputs, layer.units)
        steps = matrix(chain.stairs, 3 * layer.neurons, 3, layer.units)
        sums = np.empty((rows, layer.units), chain.sums.dtype)
        add_rows(x, weight, sums)
        x = np.empty((rows, layer.units), np.uint8)
        fire(sums, layer.frac_bits, steps, x)
        add_up(x, totals[i])
    layer = chain.layers[last]
    weight = matrix(chain.weight, layer.weight, layer.units, layer.inputs)
    read_out(x, weight, chain.bias, readout)


@compiled
def act_rows(
    parts: tuple[Any, ...],
    ranges: NDArray[np.float64],
    levels: int,
    observation: NDArray[np.float64],
    actions: Integers,
) -> bool:
    """Write the greedy action of each group for one observation; False if it holds NaN.

    Args:
        parts: of `Rows`.
        ranges: value of count 0 and of one count, [2, features].
        levels: largest count.
        observation: [features].
        actions: one a group.
    """
    chain, x = Rows(*parts), np.empty(len(observation), np.uint8)
    if encode(observation, ranges, levels, x) == HOLDS_NAN:
        return False
    totals = np.empty((len(chain.layers), 1), np.int64)
    readout = np.empty((1, len(chain.bias)), np.int64)
    run_rows(parts, x, totals, readout)
    choose(readout[0], actions)
    return True


LOOPS: Final = Loops(run_rows, act_rows)  # pictures meet a flatten layer at least


def calls(program: SpikingProgram) -> Calls | None:
    """Return the calls of a program; None unless all layers are dense."""
    if any(layer.kind != "dense" for layer in program.layers):
        return None
    return make_calls(program, tuple(_chain(program)), LOOPS)


def _chain(program: SpikingProgram) -> Rows:
    *hidden, last = program.layers
    layers = np.zeros(len(program.layers), DENSE)
    weights = neurons = 0
    for i, layer in enumerate(program.layers):
        units, inputs = layer.weight.shape
        layers[i] = inputs, units, weights, neurons, layer.frac_bits
        weights, neurons = weights + layer.weight.size, neurons + units
    farthest = max([0, *map(reach, hidden, program.levels_in)])
    return Rows(
        layers,
        np.concatenate([*(layer.weight.T.ravel() for layer in hidden), last.weight.ravel()]),
        stairs(hidden, farthest),
        last.bias.astype(type_of_readout(last, program.levels_in[-1])),
        np.empty(0, integer(farthest.bit_length() + 1)),
    )
