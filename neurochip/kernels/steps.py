"""A step a layer, for processors that multiply bytes no faster than floats.

Dense layers add up rows of int8 weights and skip what is silent, half of the counts as a rule. The
sums ride in the narrowest integers that hold them; on the way they may wrap, which later additions
undo. Convolutions gather their windows and leave the product to BLAS, in floats that hold every
partial sum.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.neurochip.floats import few_at_a_time
from rivc.neurochip.kernels.loops import add_rows, add_up, fire, pool, read_out
from rivc.neurochip.kernels.stairs import integer, reach, stairs
from rivc.neurochip.staircase import narrowest
from rivc.quant.windows import gather, windows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.snn_convert import Layer

    Counts = NDArray[np.uint8]
    Step = Callable[[Counts], NDArray[Any]]


def dense(layer: Layer, _: tuple[int, ...], levels_in: int) -> Step:
    """Return the step of a dense layer, the readout among them."""
    if layer.is_readout:
        return _readout(layer, levels_in)
    weight, farthest = np.array(layer.weight.T, order="C"), reach(layer, levels_in)
    dtype, spikes = integer(farthest.bit_length() + 1), _firing(layer, farthest)

    def step(x: Counts) -> Counts:
        sums = np.empty((len(x), weight.shape[1]), dtype)
        add_rows(x, weight, sums)
        return spikes(sums)

    return step


def _readout(layer: Layer, levels_in: int) -> Step:
    weight, bias = layer.weight.copy(), layer.bias.astype(type_of_readout(layer, levels_in))

    def step(x: Counts) -> NDArray[np.int64]:
        readout = np.empty((len(x), len(bias)), np.int64)
        read_out(x, weight, bias, readout)
        return readout

    return step


def type_of_readout(layer: Layer, levels_in: int) -> np.dtype[Any]:
    """Return the integers that hold every partial sum that begins with the bias."""
    offset = max(int(layer.bias.max()), -int(layer.bias.min()))
    return integer(max(32, (reach(layer, levels_in) + offset).bit_length() + 1))


def conv2d(layer: Layer, shape: tuple[int, ...], levels_in: int) -> Step:
    """Return the step of a convolution."""
    farthest = reach(layer, levels_in)
    dtype = narrowest(farthest + 1)
    out = len(layer.weight)
    columns = np.ascontiguousarray(layer.weight.transpose(2, 3, 1, 0), dtype).reshape(-1, out)
    height, width, _ = layer.output_shape(shape)
    windows = windows_of(shape, layer.window, layer.stride, layer.padding)
    blank = np.zeros if any(layer.padding) else np.empty
    spikes = _firing(layer, farthest)

    def step(x: Counts) -> Counts:
        rows = blank((len(x) * height * width, len(columns)), dtype)
        gather(x.reshape(x.size), windows, rows)
        return spikes(rows @ columns).reshape(len(x), height, width, out)

    return few_at_a_time(step, height * width * len(columns))


def _firing(layer: Layer, farthest: int) -> Callable[[NDArray[Any]], Counts]:
    """From the sums of channels, [rows, out], none of them beyond `farthest`, to counts."""
    steps = stairs([layer], farthest).reshape(3, len(layer.threshold))

    def spikes(sums: NDArray[Any]) -> Counts:
        counts = np.empty(sums.shape, np.uint8)
        fire(sums, layer.frac_bits, steps, counts)
        return counts

    return spikes


def maxpool2d(layer: Layer, shape: tuple[int, ...], _: int) -> Step:
    """Return the step of a pooling layer."""
    emitted, window = layer.output_shape(shape), (layer.kernel, layer.stride)
    corner = layer.padding[0], layer.padding[1]

    def step(x: Counts) -> Counts:
        largest = np.zeros((len(x), *emitted), np.uint8)
        pool(x, window, corner, largest)
        return largest

    return step


def totals(x: Counts) -> NDArray[np.int64]:
    """Return the spikes of each state."""
    sums = np.empty(len(x), np.int64)
    add_up(x.reshape(len(x), math.prod(x.shape[1:])), sums)
    return sums
