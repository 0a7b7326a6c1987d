"""Weighted sums of windows of pictures, and the gradient of the weights; compiled, with numba.

Counts times integer weights are bytes times bytes, summed exactly in int32: a processor with VNNI
takes sixty-four of them at a time, several times as many as floats. Windows are read where they
lie in a padded picture. A row has the same sums in any company, also where they are of floats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.compiled import compiled
from rivc.quant.lanes import (
    LANES,
    dot,
    instruction_lanes,
    leading,
    plus,
    spread,
    store,
    weights,
    zeros,
)
from rivc.quant.products import transpose
from rivc.quant.views import flat, view
from rivc.quant.windows import place_of_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Numbers = NDArray[Any]
    Pair = tuple[int, int]

BYTES_ARE_FAST: Final = instruction_lanes() > 0  # else floats are no slower
WIDE: Final = 2 * LANES  # units to which weights are padded
SLACK: Final = 3  # bytes that are read, and not used, behind the last line


class Shape(NamedTuple):
    """How the rows of a product lie in memory.

    A row has `lines` lines of `line` inputs, of which the next begins `pitch` numbers later. A word
    of weights takes one float, or four bytes; the last one takes the last four of a line, and those
    that the word before has too weigh nothing.

    Attributes:
        lines: 1 of a dense layer, kh of a window.
        line: inputs of a line.
        pitch: numbers from one line to the next.
        words: of a line.
        each: inputs of a word.
        width: padded units.
        units: sums of a row.
    """

    lines: int
    line: int
    pitch: int
    words: int
    each: int
    width: int
    units: int


def packed_shape(lines: int, line: int, units: int, each: int) -> tuple[int, int]:
    """Return the shape of packed weights, (words of `each` inputs, padded units)."""
    return lines * -(-line // each), -(-units // WIDE) * WIDE


@compiled
def pack(weight: Numbers, lines: int, words: NDArray[np.int32]) -> None:
    """Pack integer weights, [C, lines * line], in any type; units beyond C are left as they are."""
    many, line = len(words) // lines, weight.shape[1] // lines
    rows = np.zeros((len(weight), 4 * len(words)), np.int8)
    every = len(weight) * lines
    given, taken = view(weight, 0, (every, line)), view(rows, 0, (every, 4 * many))
    before = 4 * many - 4
    last = 4 * many - max(line, 4)
    for i in range(len(given)):
        source, target = given[i], taken[i]
        for k in range(before):
            target[k] = np.int8(source[k])
        for k in range(before, line):
            target[k + last] = np.int8(source[k])
    transpose(rows.view(np.int32), words)


@compiled
def weigh(x: Numbers, windows: Any, words: Numbers, sums: Numbers) -> None:
    """Write the weighted sums of windows of pictures.

    Args:
        x: padded pictures (`rivc.quant.windows.pad`), flat: uint8 with `SLACK` bytes behind them,
            or float32.
        windows: a record of `rivc.quant.windows.WINDOWS`.
        words: packed weights, int32 (`pack`), or float32, [inputs, width >= units]; thirty-two at a
            time are read, so up to `WIDE - 1` numbers behind the last, and not used.
        sums: [B * h * w, units], float32, or int32 of bytes, in C order.
    """
    lines, pitch, (many, width) = windows.kernel, windows.padded_length, words.shape
    each = words.itemsize // x.itemsize
    shape = Shape(lines, windows.line, pitch, many // lines, each, width, sums.shape[1])
    arrays = x, flat(words), flat(sums)
    across, right = windows.across, windows.right
    if windows.is_row:  # pictures follow one another as windows do
        across, right = max(len(sums), 1), pitch
    for row in range(0, len(sums), across):
        first = place_of_line(windows, row // across)
        _rows(arrays, shape, (first, right), (row, across))


@compiled
def _rows(arrays: Any, shape: Shape, steps: Pair, rows: Pair) -> None:
    """Write the sums of rows that follow one another.

    Eight rows of sixteen units keep both pipelines of a processor full with one load of weights for
    eight products; what is left has fewer rows, and takes twice as many units for it.

    Args:
        arrays: inputs, packed weights and sums, all flat.
        shape: of the product.
        steps: place of the first row in the inputs, and from one row to the next.
        rows: first one of the sums, and how many.
    """
    (at, step), (row, count) = steps, rows
    eights, fours = count - count % 8, count - count % 4
    for unit in range(0, shape.units, LANES):
        for b in range(0, eights, 8):
            _eight_rows(arrays, shape, (at + b * step, step), (row + b) * shape.units + unit, unit)
    for unit in range(0, shape.units, WIDE):
        for b in range(eights, fours, 4):
            _four_rows(arrays, shape, (at + b * step, step), (row + b) * shape.units + unit, unit)
        for b in range(fours, count):
            _row(arrays, shape, at + b * step, (row + b) * shape.units + unit, unit)


@compiled
def _eight_rows(arrays: Any, shape: Shape, steps: Pair, target: int, unit: int) -> None:
    """Write sixteen sums of each of eight rows."""
    (x, words, sums), (start, step) = arrays, steps
    s0, s1, s2, s3 = zeros(words), zeros(words), zeros(words), zeros(words)
    s4, s5, s6, s7 = zeros(words), zeros(words), zeros(words), zeros(words)
    for i in range(shape.lines):
        for k in range(shape.words):
            at, word = _places(shape, start, unit, (i, k))
            w = weights(words, word)
            s0, s1 = dot(s0, spread(x, at), w), dot(s1, spread(x, at + step), w)
            at += 2 * step
            s2, s3 = dot(s2, spread(x, at), w), dot(s3, spread(x, at + step), w)
            at += 2 * step
            s4, s5 = dot(s4, spread(x, at), w), dot(s5, spread(x, at + step), w)
            at += 2 * step
            s6, s7 = dot(s6, spread(x, at), w), dot(s7, spread(x, at + step), w)
    units, count = shape.units, shape.units - unit
    _store_rows(s0, s1, sums, (target, units), count)
    _store_rows(s2, s3, sums, (target + 2 * units, units), count)
    _store_rows(s4, s5, sums, (target + 4 * units, units), count)
    _store_rows(s6, s7, sums, (target + 6 * units, units), count)


@compiled
def _four_rows(arrays: Any, shape: Shape, steps: Pair, target: int, unit: int) -> None:
    """Write thirty-two sums of each of four rows."""
    (x, words, sums), (start, step) = arrays, steps
    s00, s01, s10, s11 = zeros(words), zeros(words), zeros(words), zeros(words)
    s20, s21, s30, s31 = zeros(words), zeros(words), zeros(words), zeros(words)
    for i in range(shape.lines):
        for k in range(shape.words):
            at, word = _places(shape, start, unit, (i, k))
            w0, w1 = weights(words, word), weights(words, word + LANES)
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
    """Write thirty-two sums of one row."""
    x, words, sums = arrays
    s0, s1 = zeros(words), zeros(words)
    for i in range(shape.lines):
        for k in range(shape.words):
            at, word = _places(shape, start, unit, (i, k))
            w0, w1, one = weights(words, word), weights(words, word + LANES), spread(x, at)
            s0, s1 = dot(s0, one, w0), dot(s1, one, w1)
    _store_two(s0, s1, sums, target, shape.units - unit)


@compiled
def _places(shape: Shape, start: int, unit: int, word: Pair) -> Pair:
    """Return where word k of line i lies in a row of inputs, and its weights from a unit on."""
    i, k = word
    last = max(shape.line - shape.each, 0)
    at = start + i * shape.pitch + min(shape.each * k, last)
    return at, (i * shape.words + k) * shape.width + unit


@compiled
def _store_rows(first: Any, second: Any, sums: Numbers, places: Pair, count: int) -> None:
    """Write sums of two rows; places are that of the first and the distance to the second."""
    store(first, sums, places[0], count)
    store(second, sums, places[0] + places[1], count)


@compiled
def _store_two(first: Any, second: Any, sums: Numbers, at: int, count: int) -> None:
    """Write thirty-two sums, or the first `count` of them."""
    store(first, sums, at, count)
    store(second, sums, at + LANES, count - LANES)


# -- gradient of the weights ----------------------------------------------------------------


@compiled
def add_outer(of_sums: Floats, x: Floats, windows: Any, grad: Floats) -> None:
    """Add the gradient of the weights, of_sums.T @ rows, for windows of padded pictures.

    Args:
        of_sums: gradient of the weighted sums, [B * h * w, units], in C order.
        x: padded pictures, flat.
        windows: a record of `rivc.quant.windows.WINDOWS`.
        grad: of the weights, [units, inputs], in C order.
    """
    units, inputs = grad.shape
    arrays = flat(of_sums), x, flat(grad)
    eights = units - units % 8
    for i in range(windows.kernel):
        for k in range(0, windows.line, LANES):
            first, count = i * windows.padded_length + k, windows.line - k
            for c in range(0, eights, 8):
                target = c * inputs + i * windows.line + k
                _add_eight(arrays, windows, (c, units), first, (target, inputs, count))
            for c in range(eights, units):
                target = c * inputs + i * windows.line + k
                _add_one(arrays, windows, (c, units), first, (target, count))


@compiled
def _add_eight(
    arrays: Any, windows: Any, sums: Pair, first: int, target: tuple[int, int, int]
) -> None:
    """Add the gradients of sixteen weights of each of eight units.

    Args:
        arrays: gradients of sums, inputs and gradients of weights, all flat.
        windows: as in `add_outer`.
        sums: the first unit, and how many there are.
        first: place of the first input in a picture.
        target: place of its gradient, from one unit to the next, and how many of the sixteen count.
    """
    (of_sums, x, grad), (at, units), (place, inputs, count) = arrays, sums, target
    s0, s1, s2, s3 = zeros(x), zeros(x), zeros(x), zeros(x)
    s4, s5, s6, s7 = zeros(x), zeros(x), zeros(x), zeros(x)
    for line in range(len(of_sums) // (units * windows.across)):
        source = first + place_of_line(windows, line)
        for _ in range(windows.across):
            some = leading(x, source, count)
            s0, s1 = dot(s0, spread(of_sums, at), some), dot(s1, spread(of_sums, at + 1), some)
            s2, s3 = dot(s2, spread(of_sums, at + 2), some), dot(s3, spread(of_sums, at + 3), some)
            s4, s5 = dot(s4, spread(of_sums, at + 4), some), dot(s5, spread(of_sums, at + 5), some)
            s6, s7 = dot(s6, spread(of_sums, at + 6), some), dot(s7, spread(of_sums, at + 7), some)
            source, at = source + windows.right, at + units
    _add_rows(s0, s1, grad, (place, inputs), count)
    _add_rows(s2, s3, grad, (place + 2 * inputs, inputs), count)
    _add_rows(s4, s5, grad, (place + 4 * inputs, inputs), count)
    _add_rows(s6, s7, grad, (place + 6 * inputs, inputs), count)


@compiled
def _add_one(arrays: Any, windows: Any, sums: Pair, first: int, target: Pair) -> None:
    """Add the gradients of sixteen weights of one unit; see `_add_eight`."""
    (of_sums, x, grad), (at, units), (place, count) = arrays, sums, target
    s = zeros(x)
    for line in range(len(of_sums) // (units * windows.across)):
        source = first + place_of_line(windows, line)
        for _ in range(windows.across):
            s = dot(s, spread(of_sums, at), leading(x, source, count))
            source, at = source + windows.right, at + units
    store(plus(s, leading(grad, place, count)), grad, place, count)


@compiled
def _add_rows(first: Any, second: Any, grad: Floats, places: Pair, count: int) -> None:
    """Add to gradients of two units; places are those of the first, and to the second."""
    place, other = places[0], places[0] + places[1]
    store(plus(first, leading(grad, place, count)), grad, place, count)
    store(plus(second, leading(grad, other, count)), grad, other, count)
