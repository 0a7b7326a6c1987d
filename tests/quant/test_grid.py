"""Facts about the integers that a bit width holds."""

from __future__ import annotations

import pytest
from hypothesis import given

from rivc.errors import ConfigError
from rivc.quant import Grid
from tests.strategies import wide_grids


@given(wide_grids)
def test_a_grid_uses_every_code_but_two_s_complement_s_most_negative(grid: Grid) -> None:
    spare = 1 if grid.signed and not grid.is_binary else 0
    assert grid.levels == 2**grid.bit_width - spare


@given(wide_grids)
def test_signed_grids_are_symmetric_and_unsigned_ones_start_at_zero(grid: Grid) -> None:
    assert grid.q_min == (-grid.q_max if grid.signed else 0)


@pytest.mark.parametrize(
    ("bit_width", "signed", "bounds"),
    [
        (1, True, (-1, 1)),
        (2, True, (-1, 1)),
        (4, True, (-7, 7)),
        (8, True, (-127, 127)),
        (1, False, (0, 1)),
        (4, False, (0, 15)),
        (8, False, (0, 255)),
    ],
)
def test_the_bounds_are_those_of_the_arithmetic(
    bit_width: int, signed: bool, bounds: tuple[int, int]
) -> None:
    grid = Grid(bit_width, signed=signed)
    assert (grid.q_min, grid.q_max) == bounds


def test_only_one_signed_bit_has_no_zero() -> None:
    assert Grid(1).is_binary
    assert not Grid(1, signed=False).is_binary
    assert not Grid(2).is_binary


@pytest.mark.parametrize("bit_width", [-1, 0, 17])
def test_a_width_out_of_range_is_refused_with_the_range(bit_width: int) -> None:
    with pytest.raises(ConfigError, match=r"outside 1\.\.16"):
        Grid(bit_width)
