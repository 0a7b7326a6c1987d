"""Facts about dense bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.errors import DamagedFileError, QuantError
from rivc.quant import Grid, pack, unpack
from tests.strategies import grids, on_grid


@given(grids.flatmap(lambda grid: st.tuples(st.just(grid), on_grid(grid))))
def test_what_is_packed_comes_back(case: tuple[Grid, np.ndarray]) -> None:
    grid, q = case
    np.testing.assert_array_equal(unpack(pack(q, grid), len(q), grid), q)


@given(grids.flatmap(lambda grid: st.tuples(st.just(grid), on_grid(grid))))
def test_packing_wastes_less_than_a_byte(case: tuple[Grid, np.ndarray]) -> None:
    grid, q = case
    assert len(pack(q, grid)) == -(-len(q) * grid.bit_width // 8)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bit_width", range(1, 9))
def test_every_integer_of_every_grid_comes_back(bit_width: int, signed: bool) -> None:
    grid = Grid(bit_width, signed=signed)
    q = np.arange(grid.q_min, grid.q_max + 1)
    q = q[q != 0] if grid.is_binary else q
    np.testing.assert_array_equal(unpack(pack(q, grid), len(q), grid), q)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("bit_width", range(1, 9))
def test_the_bytes_do_not_depend_on_the_integer_type(
    bit_width: int, dtype: type[np.signedinteger]
) -> None:
    grid = Grid(bit_width)
    q = np.array([1, grid.q_max, 1], dtype)
    assert pack(q, grid) == pack(q.tolist(), grid)


def test_codes_stand_least_significant_bit_first_across_bytes() -> None:
    assert pack([1, 2, 3], Grid(3, signed=False)) == bytes([0b11_010_001, 0b0])
    assert pack([1, -1, -1, 1], Grid(1)) == bytes([0b1001])


@pytest.mark.parametrize(
    ("grid", "value"),
    [(Grid(4), 8), (Grid(4), -8), (Grid(1), 0), (Grid(1), 2), (Grid(4, signed=False), -1)],
)
def test_a_value_off_the_grid_is_refused(grid: Grid, value: int) -> None:
    with pytest.raises(QuantError, match="grid"):
        pack([1, value], grid)


def test_a_value_between_two_integers_is_off_the_grid() -> None:
    with pytest.raises(QuantError, match="integers"):
        pack([1.5], Grid(4))


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(DamagedFileError, match="take 2 bytes"):
        unpack(bytes(length), 3, Grid(4))


def test_a_code_beyond_the_grid_is_refused() -> None:
    with pytest.raises(DamagedFileError, match="code 15"):
        unpack(b"\xff", 2, Grid(4))


def test_bits_after_the_last_code_must_be_zero() -> None:
    with pytest.raises(DamagedFileError, match="fill"):
        unpack(b"\x13", 1, Grid(4))


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(DamagedFileError, match="-1"):
        unpack(b"", -1, Grid(4))


def test_more_than_eight_bits_are_refused() -> None:
    with pytest.raises(QuantError, match=r"1\.\.8"):
        pack([1], Grid(9))
    with pytest.raises(QuantError, match=r"1\.\.8"):
        unpack(b"\x00\x00", 1, Grid(9))
