r"""The layers of the emulator as compiled loops over integers; they need numba (``rivc[fast]``).

Dense layers add up rows of int8 weights and skip what is silent, half of the counts as a rule. The
sums ride in the narrowest integers that hold them; on the way they may wrap, which later additions
undo. Convolutions gather their windows and leave the product to BLAS, in floats that hold every
partial sum.

A program of dense layers only is one compiled call, whatever their number: where its arrays lie is
data.

Firing has one form, in floats: the membrane is cut off at 0 and at L thresholds and divided. Where
offset and L thresholds are held exactly, rounding leaves what lies beyond a cut beyond it and
everything between as it is; and such a quotient is floored exactly, for what is not whole is
:math:`1 / th` away from the next integer. Float64 holds every program, float32 nearly all.

Loops are compiled once for each choice of types, which is why arrays must be in C order and may not
be read-only here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.neurochip.floats import Kernels, few_at_a_time, flatten
from rivc.neurochip.staircase import FLOAT32, narrowest
from rivc.quant.compiled import compiled
from rivc.quant.windows import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from rivc.neurochip.floats import Act, Run
    from rivc.snn_convert import Layer, SpikingProgram

    Counts = NDArray[np.uint8]
    Pair = tuple[int, int]
    Step = Callable[[Counts], NDArray[Any]]


@compiled
def add_rows(x: Counts, weight: NDArray[np.int8], sums: NDArray[Any]) -> None:
    """Write x @ weight to sums, [B, out], four rows of weights at a time."""
    loud = np.empty(x.shape[1], np.intp)
    for b in range(x.shape[0]):
        n = 0
        for i in range(x.shape[1]):  # without a branch, which nobody could foretell
            loud[n] = i
            n += min(x[b, i], 1)
        for j in range(weight.shape[1]):
            sums[b, j] = 0
        for k in range(0, n - 3, 4):
            i0, i1, i2, i3 = loud[k], loud[k + 1], loud[k + 2], loud[k + 3]
            x0, x1, x2, x3 = x[b, i0], x[b, i1], x[b, i2], x[b, i3]
            for j in range(weight.shape[1]):
                two = x0 * weight[i0, j] + x1 * weight[i1, j]
                sums[b, j] += two + x2 * weight[i2, j] + x3 * weight[i3, j]
        for k in range(n - n % 4, n):
            i0 = loud[k]
            x0 = x[b, i0]
            for j in range(weight.shape[1]):
                sums[b, j] += x0 * weight[i0, j]


@compiled
def fire(sums: NDArray[Any], frac_bits: int, stairs: NDArray[Any], counts: Counts) -> None:
    """Write the counts of weighted sums, [B, neurons]; see `_stairs`."""
    kind = stairs.dtype.type
    gain, zero = kind(1 << frac_bits), kind(0)
    offset, top, threshold = stairs[0], stairs[1], stairs[2]
    for b in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            v_mem = kind(sums[b, j]) * gain + offset[j]
            counts[b, j] = np.uint8(min(max(v_mem, zero), top[j]) / threshold[j])


@compiled
def pool(x: Counts, window: Pair, corner: Pair, largest: Counts) -> None:
    """Write the largest counts of windows (side, stride) of [B, H, W, C] over zeros."""
    (side, stride), (top, left) = window, corner
    for b in range(x.shape[0]):
        for y in range(largest.shape[1]):
            line = y * stride - top
            for p in range(largest.shape[2]):
                at = p * stride - left
                target = largest[b, y, p]
                for i in range(max(0, line), min(x.shape[1], line + side)):
                    for k in range(max(0, at), min(x.shape[2], at + side)):
                        source = x[b, i, k]
                        for c in range(len(target)):
                            target[c] = max(target[c], source[c])


@compiled
def read_out(
    x: Counts, weight: NDArray[np.int8], bias: NDArray[Any], readout: NDArray[np.int64]
) -> None:
    """Write the readout, [B, out]; weights are [out, in], the type of the bias holds the sums."""
    kind = bias.dtype.type
    for b in range(x.shape[0]):
        for j in range(weight.shape[0]):
            total = bias[j]
            for i in range(x.shape[1]):
                total = kind(total + kind(x[b, i]) * kind(weight[j, i]))
            readout[b, j] = total


@compiled
def add_up(counts: Counts, totals: NDArray[np.int64]) -> None:
    """Write the sum of each row."""
    for b in range(counts.shape[0]):
        total = np.uint32(0)  # of at most 2^24 neurons that emit at most 2^8 - 1
        for j in range(counts.shape[1]):
            total = np.uint32(total + counts[b, j])
        totals[b] = total


DENSE: Final = np.dtype(
    [
        ("inputs", np.int64),
        ("units", np.int64),
        ("weight", np.int64),  # first place among all weights
        ("neurons", np.int64),  # and among all units
        ("frac_bits", np.int64),
    ]
)


class DenseChain(NamedTuple):
    """The layers of a program that has dense ones only.

    Attributes:
        layers: `DENSE` records, the readout last.
        weight: int8, [in, out] of each spiking layer, [out, in] of the readout.
        stairs: of all units, as `fire` takes them, [3, units].
        bias: of the readout, in the integers that its sums ride in.
        sums: nothing, in the integers that the sums of spiking layers ride in.
    """

    layers: Any
    weight: NDArray[np.int8]
    stairs: NDArray[Any]
    bias: NDArray[Any]
    sums: NDArray[Any]


@compiled
def run_dense(
    chain: DenseChain, x: Counts, totals: NDArray[np.int64], readout: NDArray[np.int64]
) -> None:
    """Write the spikes of each layer, [layers, B], and the readout, [B, out]."""
    rows, last = len(x), len(chain.layers) - 1
    for i in range(last):
        layer = chain.layers[i]
        at, end, size = layer.neurons, layer.neurons + layer.units, layer.inputs * layer.units
        weight = chain.weight[layer.weight : layer.weight + size].reshape(layer.inputs, layer.units)
        sums = np.empty((rows, layer.units), chain.sums.dtype)
        add_rows(x, weight, sums)
        x = np.empty((rows, layer.units), np.uint8)
        fire(sums, layer.frac_bits, chain.stairs[:, at:end], x)
        add_up(x, totals[i])
    layer = chain.layers[last]
    weight = chain.weight[layer.weight :].reshape(layer.units, layer.inputs)
    read_out(x, weight, chain.bias, readout)


@compiled
def act_dense(
    chain: DenseChain,
    ranges: NDArray[np.float64],
    levels: int,
    observation: NDArray[np.float64],
    actions: NDArray[np.int64],
) -> bool:
    """Write the greedy action of each group for one observation; False if it holds NaN.

    Args:
        chain: the layers.
        ranges: value of count 0 and of one count, [2, features].
        levels: largest count.
        observation: [features].
        actions: one a group.
    """
    x = np.empty((1, len(observation)), np.uint8)
    for i in range(len(observation)):
        steps = np.rint((observation[i] - ranges[0, i]) / ranges[1, i])
        if np.isnan(steps):
            return False
        x[0, i] = np.uint8(min(max(steps, 0.0), levels))
    totals = np.empty((len(chain.layers) - 1, 1), np.int64)
    readout = np.empty((1, len(chain.bias)), np.int64)
    run_dense(chain, x, totals, readout)
    choices = len(chain.bias) // len(actions)
    for group in range(len(actions)):
        best = group * choices
        for j in range(best + 1, (group + 1) * choices):
            if readout[0, j] > readout[0, best]:
                best = j
        actions[group] = best - group * choices
    return True


def integer(bits: int) -> np.dtype[Any]:
    """Return the narrowest type from int16 on that has so many bits, sign included."""
    return np.dtype(np.int16 if bits <= 16 else np.int32 if bits <= 32 else np.int64)


def dense_chain(program: SpikingProgram) -> Run | None:
    """Return the function from counts to readout and spikes; None unless all layers are dense."""
    if any(layer.kind != "dense" for layer in program.layers):
        return None
    chain, units = _chain(program), program.shapes[-1][0]

    def run(x: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        totals = np.empty((len(chain.layers) - 1, len(x)), np.int64)
        readout = np.empty((len(x), units), np.int64)
        run_dense(chain, x, totals, readout)
        return readout, totals

    return run


def dense_actor(program: SpikingProgram) -> Act | None:
    """Return the function from an observation, float64, [features], and where to write actions.

    None unless all layers are dense. It returns False if the observation holds NaN.
    """
    encoding = program.encoding
    if encoding.kind != "vector" or any(layer.kind != "dense" for layer in program.layers):
        return None
    chain, ranges, levels = (
        _chain(program),
        np.array([encoding.low, encoding.step]),
        encoding.levels,
    )
    return lambda observation, actions: act_dense(chain, ranges, levels, observation, actions)


def _chain(program: SpikingProgram) -> DenseChain:
    *hidden, last = program.layers
    layers = np.zeros(len(program.layers), DENSE)
    weights = neurons = 0
    for i, layer in enumerate(program.layers):
        units, inputs = layer.weight.shape
        layers[i] = inputs, units, weights, neurons, layer.frac_bits
        weights, neurons = weights + layer.weight.size, neurons + units
    reach = max([0, *map(_reach, hidden, program.levels_in)])
    return DenseChain(
        layers,
        np.concatenate([*(layer.weight.T.ravel() for layer in hidden), last.weight.ravel()]),
        _stairs(hidden, reach),
        last.bias.astype(_type_of_readout(last, program.levels_in[-1])),
        np.empty(0, integer(reach.bit_length() + 1)),
    )


def _reach(layer: Layer, levels_in: int) -> int:
    """What no weighted sum exceeds; where it matters, for these weights, else for any so wide."""
    widest = layer.weight_bound * levels_in
    return widest if widest < FLOAT32 else layer.weight_norm * levels_in


def _stairs(layers: Sequence[Layer], reach: int) -> NDArray[Any]:
    """Offset, L thresholds and threshold of each channel, where no sum is beyond `reach`."""
    none = np.zeros(0, np.int64)
    threshold = np.concatenate([none, *(layer.threshold for layer in layers)])
    bias = np.concatenate([none, *(layer.bias for layer in layers)])
    levels = [np.full(len(layer.threshold), layer.levels) for layer in layers]
    stairs = np.empty((3, len(threshold)), np.int64)
    stairs[0] = bias + threshold // 2
    stairs[1] = threshold * np.concatenate([none, *levels])
    stairs[2] = threshold
    widest = max(reach, int(stairs.max(initial=0)), -int(stairs.min(initial=0)))
    return stairs.astype(narrowest(widest + 1))


def _type_of_readout(layer: Layer, levels_in: int) -> np.dtype[Any]:
    """The integers that hold every partial sum that begins with the bias."""
    offset = max(int(layer.bias.max()), -int(layer.bias.min()))
    return integer(max(32, (_reach(layer, levels_in) + offset).bit_length() + 1))


def _dense(layer: Layer, _: tuple[int, ...], levels_in: int) -> Step:
    if layer.is_readout:
        return _readout(layer, levels_in)
    weight, reach = np.array(layer.weight.T, order="C"), _reach(layer, levels_in)
    dtype, spikes = integer(reach.bit_length() + 1), _firing(layer, reach)

    def step(x: Counts) -> Counts:
        sums = np.empty((len(x), weight.shape[1]), dtype)
        add_rows(x, weight, sums)
        return spikes(sums)

    return step


def _readout(layer: Layer, levels_in: int) -> Step:
    weight, bias = layer.weight.copy(), layer.bias.astype(_type_of_readout(layer, levels_in))

    def step(x: Counts) -> NDArray[np.int64]:
        readout = np.empty((len(x), len(bias)), np.int64)
        read_out(x, weight, bias, readout)
        return readout

    return step


def _conv2d(layer: Layer, shape: tuple[int, ...], levels_in: int) -> Step:
    reach = _reach(layer, levels_in)
    dtype = narrowest(reach + 1)
    out, channels, kernel_h, kernel_w = layer.weight.shape
    columns = np.ascontiguousarray(layer.weight.transpose(2, 3, 1, 0), dtype).reshape(-1, out)
    height, width, _ = layer.output_shape(shape)
    stride = layer.stride, layer.stride * channels
    corner = layer.padding[0], layer.padding[1] * channels
    blank = np.zeros if any(layer.padding) else np.empty
    spikes = _firing(layer, reach)

    def step(x: Counts) -> Counts:
        rows = blank((len(x), height, width, kernel_h, kernel_w * channels), dtype)
        gather(x.reshape(len(x), shape[0], shape[1] * channels), stride, corner, rows)
        sums = rows.reshape(len(x) * height * width, len(columns)) @ columns
        return spikes(sums).reshape(len(x), height, width, out)

    return few_at_a_time(step, height * width * len(columns))


def _firing(layer: Layer, reach: int) -> Callable[[NDArray[Any]], Counts]:
    """From the sums of channels, [rows, out], none of them beyond `reach`, to counts."""
    stairs = _stairs([layer], reach)

    def spikes(sums: NDArray[Any]) -> Counts:
        counts = np.empty(sums.shape, np.uint8)
        fire(sums, layer.frac_bits, stairs, counts)
        return counts

    return spikes


def _maxpool2d(layer: Layer, shape: tuple[int, ...], _: int) -> Step:
    emitted, window = layer.output_shape(shape), (layer.kernel, layer.stride)
    corner = layer.padding[0], layer.padding[1]

    def step(x: Counts) -> Counts:
        largest = np.zeros((len(x), *emitted), np.uint8)
        pool(x, window, corner, largest)
        return largest

    return step


def _totals(x: Counts) -> NDArray[np.int64]:
    totals = np.empty(len(x), np.int64)
    add_up(x.reshape(len(x), math.prod(x.shape[1:])), totals)
    return totals


COMPILED: Final = Kernels(
    {"dense": _dense, "conv2d": _conv2d, "maxpool2d": _maxpool2d, "flatten": flatten},
    _totals,
    dense_chain,
    dense_actor,
)
