"""The integers that a bit width can hold.

Invariants:

1. A grid is a set of consecutive integers, but for one signed bit, which is {-1, +1}.
2. Signed grids are symmetric: two's complement without its most negative value.
3. An unsigned grid starts at 0, so that a silent neuron is exactly zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from rivc.errors import ConfigError

MAX_BIT_WIDTH = 16


@dataclass(frozen=True, slots=True)
class Grid:
    """The integers from `q_min` to `q_max` that `bit_width` bits hold.

    Attributes:
        bit_width: number of bits, 1 to 16.
        signed: symmetric around zero if true, from zero upwards if false.

    Raises:
        ConfigError: if the bit width is out of range.

    Example:
        >>> Grid(4).q_min, Grid(4).q_max, Grid(4, signed=False).q_max
        (-7, 7, 15)
    """

    bit_width: int
    signed: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.bit_width <= MAX_BIT_WIDTH:
            msg = f"bit width {self.bit_width} is outside 1..{MAX_BIT_WIDTH}"
            raise ConfigError(msg)

    @property
    def q_max(self) -> int:
        """The largest integer on the grid."""
        if not self.signed:
            return (1 << self.bit_width) - 1
        return max(1, (1 << (self.bit_width - 1)) - 1)

    @property
    def q_min(self) -> int:
        """The smallest integer on the grid."""
        return -self.q_max if self.signed else 0

    @property
    def is_binary(self) -> bool:
        """True for one signed bit, the grid {-1, +1}, which has no zero."""
        return self.signed and self.bit_width == 1

    @property
    def levels(self) -> int:
        """How many integers the grid has."""
        return 2 if self.is_binary else self.q_max - self.q_min + 1
