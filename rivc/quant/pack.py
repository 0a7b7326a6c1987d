"""k-bit integers to bytes and back, for 1 to 8 bits.

The codes stand one after the other, least significant bit first, across byte borders; the last
byte is filled up with zeros. Signed values are stored as their offset from the grid's minimum, and
one signed bit as 0 for -1 and 1 for +1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.errors import DamagedFileError, QuantError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rivc.quant.grid import Grid

MAX_PACKED_BITS = 8


def pack(q: ArrayLike, grid: Grid) -> bytes:
    """Pack integers of a grid densely.

    Args:
        q: integers on the grid, any shape; read in C order.
        grid: at most 8 bits wide.

    Returns:
        ``ceil(q.size * bit_width / 8)`` bytes.

    Raises:
        QuantError: if a value is no integer of the grid or the grid is wider than 8 bits.

    Example:
        >>> from rivc.quant import Grid
        >>> pack([1, 2, 3], Grid(4, signed=False)).hex()
        '2103'
    """
    codes = to_codes(q, grid)
    bits = np.unpackbits(codes[:, None], axis=1, bitorder="little")[:, : grid.bit_width]
    return np.packbits(bits.ravel(), bitorder="little").tobytes()


def to_codes(q: ArrayLike, grid: Grid) -> NDArray[np.uint8]:
    """Return integers of a grid as codes from 0 on, flat, in C order.

    Raises:
        QuantError: as for `pack`.
    """
    _check_width(grid)
    q = np.asarray(q).ravel()
    if q.size and not np.issubdtype(q.dtype, np.integer):
        raise QuantError(f"packing takes integers, not {q.dtype}")
    if q.size and (
        q.min() < grid.q_min or q.max() > grid.q_max or (grid.is_binary and np.any(q == 0))
    ):
        grid_range = f"{grid.bit_width}-bit grid {grid.q_min}..{grid.q_max}"
        msg = f"values {q.min()}..{q.max()} do not lie on the {grid_range}"
        raise QuantError(msg)
    q = q.astype(np.int16)
    return ((q + 1) // 2 if grid.is_binary else q - grid.q_min).astype(np.uint8)


def from_codes(codes: NDArray[np.integer[Any]], grid: Grid) -> NDArray[np.int16]:
    """Return the integers of a grid that codes stand for.

    Raises:
        DamagedFileError: if a code lies off the grid.
    """
    if codes.size and codes.max() >= grid.levels:
        msg = f"code {codes.max()} lies off the {grid.bit_width}-bit grid of {grid.levels} levels"
        raise DamagedFileError(msg)
    codes = codes.astype(np.int16)
    return np.asarray(codes * 2 - 1 if grid.is_binary else codes + grid.q_min, np.int16)


def unpack(data: bytes, count: int, grid: Grid) -> NDArray[np.int16]:
    """Unpack `count` integers of a grid.

    Args:
        data: what `pack` returned.
        count: how many integers.
        grid: the grid they were packed with.

    Returns:
        Integers, int16, shape [count].

    Raises:
        DamagedFileError: if the length is wrong, a code lies off the grid or the fill is not zero.
        QuantError: if the grid is wider than 8 bits.

    Example:
        >>> from rivc.quant import Grid
        >>> unpack(bytes.fromhex("2103"), 3, Grid(4, signed=False)).tolist()
        [1, 2, 3]
    """
    _check_width(grid)
    wanted = -(-count * grid.bit_width // 8)
    if count < 0 or len(data) != wanted:
        msg = f"{count} integers of {grid.bit_width} bits take {wanted} bytes, got {len(data)}"
        raise DamagedFileError(msg)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    if bits[count * grid.bit_width :].any():
        raise DamagedFileError("the fill after the last code is not zero")
    fields = bits[: count * grid.bit_width].reshape(count, grid.bit_width)
    codes = fields.astype(np.int16) @ (1 << np.arange(grid.bit_width, dtype=np.int16))
    return from_codes(codes, grid)


def _check_width(grid: Grid) -> None:
    if grid.bit_width > MAX_PACKED_BITS:
        raise QuantError(f"packing holds 1..{MAX_PACKED_BITS} bits, not {grid.bit_width}")
