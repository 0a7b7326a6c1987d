"""Products of counts and integer weights: bytes times bytes, summed exactly in int32; with numba.

A processor with VNNI takes sixty-four of them at a time, several times as many as floats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.quant.compiled import compiled
from rivc.quant.products import transpose
from rivc.quant.vnni import LANES, dot, instruction_lanes, spread, store, weights, zeros

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.uint8]
    Words = NDArray[np.int32]
    Pair = tuple[int, int]
    Triple = tuple[int, int, int]

IS_FAST: Final = instruction_lanes() > 0  # else floats are no slower
WIDE: Final = 2 * LANES  # units that are summed side by side


def packed_shape(inputs: int, units: int) -> tuple[int, int]:
    """Return the shape of packed weights, (words of four, padded units)."""
    return -(-inputs // 4), -(-units // WIDE) * WIDE


@compiled
def pack(weight: NDArray[Any], words: Words) -> None:
    """Pack integer weights, [C, I], four inputs a word, one row for each word; see `packed_shape`.

    The last word takes the last four inputs; those that the word before has too weigh nothing.

    Args:
        weight: from -128 to 127, in any type.
        words: written; units beyond C are left as they are.
    """
    inputs, before = weight.shape[1], 4 * len(words) - 4
    rows = np.zeros((len(weight), before + 4), np.int8)
    last = max(inputs, 4)
    for c in range(len(weight)):
        for k in range(before):
            rows[c, k] = np.int8(weight[c, k])
        for k in range(before, inputs):
            rows[c, k + before + 4 - last] = np.int8(weight[c, k])
    transpose(rows.view(np.int32), words)


@compiled
def multiply(x: Counts, words: Words, out: NDArray[Any]) -> None:
    """Write x @ w.T, [R, I] times [C, I], for packed weights.

    Args:
        x: counts.
        words: what `pack` wrote.
        out: [R, C], int32 or float32, in C order.
    """
    if x.shape[1] < 4:
        x = _one_word(x)
    rows, tall = len(x), len(x) - len(x) % 4
    bytes_, flat, sums = x.reshape(x.size), words.reshape(words.size), out.reshape(out.size)
    shape = x.shape[1], words.shape[1], out.shape[1]
    for left in range(0, out.shape[1], WIDE):
        for b in range(0, tall, 4):
            _four_rows(bytes_, flat, sums, shape, (b, left))
        for b in range(tall, rows):
            _row(bytes_, flat, sums, shape, (b, left))


@compiled
def _one_word(x: Counts) -> Counts:
    """Return rows of four bytes."""
    padded = np.zeros((len(x), 4), np.uint8)
    for b in range(len(x)):
        for k in range(x.shape[1]):
            padded[b, k] = x[b, k]
    return padded


@compiled
def _four_rows(x: Counts, words: Words, sums: NDArray[Any], shape: Triple, place: Pair) -> None:
    """Write the sums of thirty-two units for four rows, which are eight registers.

    Args:
        x: counts, flat.
        words: packed weights, flat.
        sums: written, flat.
        shape: inputs, padded units, units.
        place: first row and first unit.
    """
    (inputs, width, units), (row, unit) = shape, place
    s00, s01, s10, s11 = zeros(), zeros(), zeros(), zeros()
    s20, s21, s30, s31 = zeros(), zeros(), zeros(), zeros()
    for k in range(len(words) // width):
        first = k * width + unit
        w0, w1 = weights(words, first), weights(words, first + LANES)
        at = row * inputs + min(4 * k, inputs - 4)
        x0, x1 = spread(x, at), spread(x, at + inputs)
        x2, x3 = spread(x, at + 2 * inputs), spread(x, at + 3 * inputs)
        s00, s01 = dot(s00, x0, w0), dot(s01, x0, w1)
        s10, s11 = dot(s10, x1, w0), dot(s11, x1, w1)
        s20, s21 = dot(s20, x2, w0), dot(s21, x2, w1)
        s30, s31 = dot(s30, x3, w0), dot(s31, x3, w1)
    at = row * units + unit
    _store_two(s00, s01, sums, at, units - unit)
    _store_two(s10, s11, sums, at + units, units - unit)
    _store_two(s20, s21, sums, at + 2 * units, units - unit)
    _store_two(s30, s31, sums, at + 3 * units, units - unit)


@compiled
def _row(x: Counts, words: Words, sums: NDArray[Any], shape: Triple, place: Pair) -> None:
    """Write the sums of thirty-two units for one row; see `_four_rows`."""
    (inputs, width, units), (row, unit) = shape, place
    s0, s1 = zeros(), zeros()
    for k in range(len(words) // width):
        first = k * width + unit
        four = spread(x, row * inputs + min(4 * k, inputs - 4))
        s0, s1 = dot(s0, four, weights(words, first)), dot(s1, four, weights(words, first + LANES))
    _store_two(s0, s1, sums, row * units + unit, units - unit)


@compiled
def _store_two(first: Any, second: Any, sums: NDArray[Any], at: int, count: int) -> None:
    """Write thirty-two sums, or the first `count` of them."""
    store(first, sums, at, count)
    store(second, sums, at + LANES, count - LANES)
