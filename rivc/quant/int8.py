"""Products of counts and integer weights: bytes times bytes, summed exactly in int32; with numba.

A processor with VNNI takes sixty-four of them at a time, several times as many as floats. Weights
are packed for it: four inputs a word, so that a word of counts and one of weights of each of
sixteen units meet in one instruction. Windows of pictures are read where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.compiled import compiled
from rivc.quant.products import transpose
from rivc.quant.vnni import LANES, dot, instruction_lanes, spread, store, weights, zeros

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.uint8]
    Words = NDArray[np.int32]
    Pair = tuple[int, int]

IS_FAST: Final = instruction_lanes() > 0  # else floats are no slower
WIDE: Final = 2 * LANES  # units that are summed side by side
SLACK: Final = 3  # bytes that are read, and not used, behind the last line


class Shape(NamedTuple):
    """How the rows of a product lie in memory.

    A row has `lines` lines of `line` counts, of which the next begins `pitch` bytes later. Its last
    word takes the last four counts of a line; those that the word before has too weigh nothing.

    Attributes:
        lines: 1 of a dense layer, kh of a window.
        line: inputs of a line.
        pitch: bytes from one line to the next.
        words: of a line.
        width: padded units.
        units: sums of a row.
    """

    lines: int
    line: int
    pitch: int
    words: int
    width: int
    units: int


def packed_shape(lines: int, line: int, units: int) -> tuple[int, int]:
    """Return the shape of packed weights, (words of four inputs, padded units)."""
    return lines * -(-line // 4), -(-units // WIDE) * WIDE


@compiled
def pack(weight: NDArray[Any], lines: int, words: Words) -> None:
    """Pack integer weights, [C, lines * line], in any type; units beyond C are left as they are."""
    each, line = len(words) // lines, weight.shape[1] // lines
    rows = np.zeros((len(weight), lines, 4 * each), np.int8)
    before = 4 * each - 4
    last = 4 * each - max(line, 4)
    for c in range(len(weight)):
        for i in range(lines):
            for k in range(before):
                rows[c, i, k] = np.int8(weight[c, i * line + k])
            for k in range(before, line):
                rows[c, i, k + last] = np.int8(weight[c, i * line + k])
    transpose(rows.reshape(len(rows), 4 * len(words)).view(np.int32), words)


@compiled
def weigh(x: Counts, windows: Any, words: Words, sums: NDArray[Any]) -> None:
    """Write the weighted sums of windows of pictures.

    Args:
        x: padded pictures (`rivc.quant.windows.pad`), flat, with `SLACK` bytes behind them.
        windows: a record of `rivc.quant.windows.WINDOWS`.
        words: packed weights.
        sums: [B * h * w, units], int32 or float32, in C order.
    """
    pitch, units = windows.padded_length, sums.shape[1]
    each = len(words) // windows.kernel
    shape = Shape(windows.kernel, windows.line, pitch, each, words.shape[1], units)
    arrays = x, words.reshape(words.size), sums.reshape(sums.size)
    for left in range(0, units, WIDE):
        if windows.is_row:
            _rows(arrays, shape, (0, pitch), (0, len(sums)), left)
            continue
        for row in range(0, len(sums), windows.across):
            b, y = divmod(row // windows.across, windows.down)
            first = (b * windows.padded_lines + y * windows.step) * pitch
            _rows(arrays, shape, (first, windows.right), (row, windows.across), left)


@compiled
def _rows(arrays: Any, shape: Shape, steps: Pair, rows: Pair, unit: int) -> None:
    """Write the sums of thirty-two units from `unit` on for rows that follow one another.

    Args:
        arrays: counts, packed weights and sums, all flat.
        shape: of the product.
        steps: place of the first row in the counts, and from one row to the next.
        rows: first one of the sums, and how many.
        unit: first one.
    """
    (at, step), (row, count) = steps, rows
    for b in range(0, count - 3, 4):
        _four_rows(arrays, shape, (at + b * step, step), (row + b) * shape.units + unit, unit)
    for b in range(count - count % 4, count):
        _row(arrays, shape, at + b * step, (row + b) * shape.units + unit, unit)


@compiled
def _four_rows(arrays: Any, shape: Shape, steps: Pair, target: int, unit: int) -> None:
    """Write the sums of four rows, which are eight registers."""
    (x, words, sums), (start, step) = arrays, steps
    s00, s01, s10, s11 = zeros(), zeros(), zeros(), zeros()
    s20, s21, s30, s31 = zeros(), zeros(), zeros(), zeros()
    last = max(shape.line - 4, 0)
    for i in range(shape.lines):
        for k in range(shape.words):
            word = (i * shape.words + k) * shape.width + unit
            w0, w1 = weights(words, word), weights(words, word + LANES)
            at = start + i * shape.pitch + min(4 * k, last)
            x0, x1 = spread(x, at), spread(x, at + step)
            x2, x3 = spread(x, at + 2 * step), spread(x, at + 3 * step)
            s00, s01 = dot(s00, x0, w0), dot(s01, x0, w1)
            s10, s11 = dot(s10, x1, w0), dot(s11, x1, w1)
            s20, s21 = dot(s20, x2, w0), dot(s21, x2, w1)
            s30, s31 = dot(s30, x3, w0), dot(s31, x3, w1)
    units, count = shape.units, shape.units - unit
    _store_two(s00, s01, sums, target, count)
    _store_two(s10, s11, sums, target + units, count)
    _store_two(s20, s21, sums, target + 2 * units, count)
    _store_two(s30, s31, sums, target + 3 * units, count)


@compiled
def _row(arrays: Any, shape: Shape, start: int, target: int, unit: int) -> None:
    """Write the sums of one row."""
    x, words, sums = arrays
    s0, s1, last = zeros(), zeros(), max(shape.line - 4, 0)
    for i in range(shape.lines):
        for k in range(shape.words):
            word = (i * shape.words + k) * shape.width + unit
            four = spread(x, start + i * shape.pitch + min(4 * k, last))
            s0, s1 = (
                dot(s0, four, weights(words, word)),
                dot(s1, four, weights(words, word + LANES)),
            )
    _store_two(s0, s1, sums, target, shape.units - unit)


@compiled
def _store_two(first: Any, second: Any, sums: NDArray[Any], at: int, count: int) -> None:
    """Write thirty-two sums, or the first `count` of them."""
    store(first, sums, at, count)
    store(second, sums, at + LANES, count - LANES)
