"""A program in plain Python integers, tick by tick: what every fast form is held against.

Written from the equations alone, with loops and no array arithmetic, so that it shares neither a
line nor an idea of indexing with the sources.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.snn_convert import Layer, SpikingProgram

Counts = dict[tuple[int, ...], int]  # position -> count; what is not there is 0
Shape = tuple[int, ...]


def run(program: SpikingProgram, counts: NDArray[np.uint8]) -> tuple[list[list[int]], list[int]]:
    """Return for one state the readout [d][n] and the spikes of each spiking layer."""
    x = {index: int(value) for index, value in np.ndenumerate(counts)}
    shape: Shape = counts.shape
    spikes = []
    for layer in program.layers:
        x, shape = _KINDS[layer.kind](layer, x, shape)
        if layer.levels:
            spikes.append(sum(x.values()))
    d, n = program.action_layout
    return [[x[j * n + a,] for a in range(n)] for j in range(d)], spikes


def fire(layer: Layer, channel: int, z: int) -> int:
    """Integrate and fire with subtractive reset for L ticks, in half steps so that all is whole."""
    threshold = int(layer.threshold[channel])
    bias = int(layer.bias[channel])
    v_mem = 2 * (2**layer.frac_bits * z + bias + threshold // 2) + 1
    count = 0
    for _ in range(layer.levels):
        if v_mem > 2 * threshold:
            v_mem -= 2 * threshold
            count += 1
    return count


def _emit(layer: Layer, channel: int, z: int) -> int:
    return fire(layer, channel, z) if layer.levels else z + int(layer.bias[channel])


def _dense(layer: Layer, x: Counts, shape: Shape) -> tuple[Counts, Shape]:
    units = range(layer.weight.shape[0])
    sums = {u: sum(int(layer.weight[u, i]) * x[i,] for i in range(shape[0])) for u in units}
    return {(u,): _emit(layer, u, z) for u, z in sums.items()}, (len(units),)


def _taps(layer: Layer, kernel: tuple[int, int], row: int, column: int) -> list[tuple[int, ...]]:
    """Every (kernel row, kernel column, image row, image column) of one window."""
    top, left = layer.padding[:2]
    return [
        (i, j, row * layer.stride + i - top, column * layer.stride + j - left)
        for i, j in product(range(kernel[0]), range(kernel[1]))
    ]


def _window_count(layer: Layer, kernel: tuple[int, int], shape: Shape) -> tuple[int, int]:
    top, left, bottom, right = layer.padding
    high, wide = shape[0] + top + bottom, shape[1] + left + right
    rows = len(range(0, high - kernel[0] + 1, layer.stride))
    columns = len(range(0, wide - kernel[1] + 1, layer.stride))
    return rows, columns


def _conv2d(layer: Layer, x: Counts, shape: Shape) -> tuple[Counts, Shape]:
    filters, channels, *size = layer.weight.shape
    kernel = size[0], size[1]
    rows, columns = _window_count(layer, kernel, shape)
    out: Counts = {}
    for row, column, f in product(range(rows), range(columns), range(filters)):
        z = sum(
            int(layer.weight[f, c, i, j]) * x.get((y, u, c), 0)
            for i, j, y, u in _taps(layer, kernel, row, column)
            for c in range(channels)
        )
        out[row, column, f] = _emit(layer, f, z)
    return out, (rows, columns, filters)


def _maxpool2d(layer: Layer, x: Counts, shape: Shape) -> tuple[Counts, Shape]:
    kernel = layer.kernel, layer.kernel
    rows, columns = _window_count(layer, kernel, shape)
    out: Counts = {
        (row, column, c): max(
            x.get((y, u, c), 0) for _, _, y, u in _taps(layer, kernel, row, column)
        )
        for row, column, c in product(range(rows), range(columns), range(shape[2]))
    }
    return out, (rows, columns, shape[2])


def _flatten(_: Layer, x: Counts, shape: Shape) -> tuple[Counts, Shape]:
    high, wide, channels = shape
    order = product(range(high), range(wide), range(channels))
    flat: Counts = {(k,): x[index] for k, index in enumerate(order)}
    return flat, (len(flat),)


_KINDS: dict[str, Callable[[Layer, Counts, Shape], tuple[Counts, Shape]]] = {
    "dense": _dense,
    "conv2d": _conv2d,
    "maxpool2d": _maxpool2d,
    "flatten": _flatten,
}
