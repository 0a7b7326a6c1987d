"""Weights of a layer in as few bytes as their own histogram allows.

::

    00            then the weights packed: `rivc.quant.pack`
    01            then how often each code is expected, in 4096ths, 2 bytes each, and a payload of
                  `rivc.codec.rans` with this one table

A code is the distance of a weight from the smallest on its grid, so zero is exact. The shorter
form is written; few weights of many bits are better packed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.codec.context import Model
from rivc.codec.engine import engine
from rivc.codec.tables import TOTAL, cumulative, quantized
from rivc.errors import DamagedFileError, DecodeError
from rivc.quant import pack, unpack
from rivc.quant.pack import from_codes, to_codes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rivc.quant import Grid

PACKED, CODED = b"\0", b"\1"
WORD: Final = np.dtype("<u2")
SLACK: Final = 2  # of a bound on what a payload holds; rounding of states takes a tenth at most


def encode_weights(weights: ArrayLike, grid: Grid) -> bytes:
    """Return the shorter form of weights.

    Args:
        weights: integers on the grid, at least one, any shape; read in C order.
        grid: at most 8 bits wide.

    Raises:
        QuantError: if a weight is no integer of the grid or the grid is wider than 8 bits.

    Example:
        >>> from rivc.quant import Grid
        >>> weights = np.zeros(1000, np.int8)
        >>> data = encode_weights(weights, Grid(4))
        >>> len(data), int(np.abs(decode_weights(data, 1000, Grid(4))).max())
        (41, 0)
    """
    codes = to_codes(weights, grid)
    counts = np.bincount(codes, minlength=1 << grid.bit_width)
    frequency = quantized(counts)
    frame = codes.reshape(1, 1, -1)
    payload = engine().encode(_model(frequency), frame, frame)
    coded = CODED + frequency.astype(WORD).tobytes() + payload
    return min(coded, PACKED + pack(weights, grid), key=len)


def decode_weights(data: bytes, count: int, grid: Grid) -> NDArray[np.int16]:
    """Return weights, int16, [count].

    Raises:
        DamagedFileError: if the data are not those of so many weights.
        QuantError: if the grid is wider than 8 bits.
    """
    if data[:1] == PACKED:
        return unpack(data[1:], count, grid)
    levels = 1 << grid.bit_width
    end = 1 + WORD.itemsize * levels
    if data[:1] != CODED or len(data) < end or count < 1:
        raise DamagedFileError(f"no form of {count} weights")
    frequency = np.frombuffer(data[1:end], WORD).astype(np.int64)
    if frequency.min() < 1 or frequency.sum() != TOTAL:
        raise DamagedFileError(f"the frequencies of weights do not add up to {TOTAL}")
    room = len(data) - end
    if count * np.log2(TOTAL / frequency.max()) > SLACK * 8 * room:
        raise DamagedFileError(f"{count:,} weights cannot lie in {room:,} bytes")
    blank = np.zeros((1, 1, count), np.uint8)
    try:
        codes = engine().decode(_model(frequency), data[end:], blank)
    except DecodeError as error:
        raise DamagedFileError(f"weights do not decode: {error}") from error
    return from_codes(codes.ravel(), grid)


def _model(frequency: NDArray[np.int64]) -> Model:
    """One channel, one context."""
    one, none = np.zeros(1, np.int32), np.zeros(len(frequency), np.int32)
    return Model(one, one - 1, one, none, none, none, cumulative(frequency))
