"""Weights at their bit width, laid out so that a compiler turns the unpacking into vector code.

A row holds the weights of one input for all outputs. Neighbouring outputs lie in neighbouring
bytes, and the fields of one byte belong to outputs a whole stripe apart, so that a row unpacks by
one shift and one mask over whole stripes. A width that does not divide a byte is split into fields
that do: 7 bits are 4, 2 and 1, each with stripes of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.quant.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_DIVISORS: Final = (8, 4, 2, 1)


@dataclass(frozen=True, slots=True)
class Stripes:
    """How a row of weights is packed.

    Attributes:
        bit_width: of a weight, 1..8.
        outputs: weights in a row.

    Example:
        >>> Stripes(3, 10).fields, Stripes(3, 10).lanes, Stripes(3, 10).row_bytes
        (((2, 1), (1, 0)), 16, 6)
    """

    bit_width: int
    outputs: int

    @property
    def fields(self) -> tuple[tuple[int, int], ...]:
        """Width and lowest bit of each field of a code, the highest field first."""
        widths = [width for width in _DIVISORS if self.bit_width & width]
        return tuple((width, self.bit_width & (width - 1)) for width in widths)

    @property
    def lanes(self) -> int:
        """Outputs, and what fills the last byte."""
        per_byte = 8 // self.fields[-1][0]
        return -(-self.outputs // per_byte) * per_byte

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.lanes * self.bit_width // 8

    def pack(self, rows: NDArray[np.int8]) -> NDArray[np.uint8]:
        """Pack weights that lie on the grid of the bit width.

        A code is the distance from the least weight of the grid; one bit is 0 for -1, 1 for +1.

        Args:
            rows: weights, [inputs, outputs].

        Returns:
            Bytes, [inputs, row_bytes].

        Example:
            >>> Stripes(4, 4).pack(np.array([[-7, 0, 1, 7]], np.int8)).tolist()
            [[128, 231]]
        """
        grid = Grid(self.bit_width)
        codes = np.zeros((len(rows), self.lanes), np.int16)
        codes[:, : self.outputs] = (rows.astype(np.int16) - grid.q_min) >> grid.is_binary
        packed = []
        for width, low in self.fields:
            stripes = (codes >> low & (1 << width) - 1).reshape(len(rows), 8 // width, -1)
            packed.append((stripes << np.arange(0, 8, width)[:, None]).sum(1))
        return np.concatenate(packed, axis=1).astype(np.uint8)

    def unpacking(self) -> Iterator[str]:
        """Yield the lines of C that unpack the row at `p` into `w`, with `j` as their index."""
        grid, start = Grid(self.bit_width), 0
        step = 2 if grid.is_binary else 1
        for width, low in self.fields:
            size = self.lanes * width // 8
            yield "AS_LOOP"
            yield f"for (j = 0; j < {size}; ++j) {{"
            for stripe in range(8 // width):
                into = f"w[{stripe * size} + j]"
                before = f"{grid.q_min}" if start == 0 else into
                code = f"(p[{start} + j] >> {stripe * width} & {(1 << width) - 1})"
                yield f"    {into} = (int16_t)({before} + {code} * {step << low});"
            yield "}"
            start += size
