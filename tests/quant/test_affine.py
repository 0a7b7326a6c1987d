"""Facts about the one place where reals become integers on the host."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.errors import ConfigError, QuantError
from rivc.quant import Affine, Grid, dequantize, fit_affine, quantize
from tests.strategies import grids, reals, scales, wide_grids


def integers_of(grid: Grid) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    q = np.arange(grid.q_min, grid.q_max + 1, dtype=np.int32)
    return q[q != 0] if grid.is_binary else q


@given(wide_grids, scales)
def test_every_integer_of_the_grid_survives_a_round_trip(grid: Grid, scale: float) -> None:
    q = integers_of(grid)
    np.testing.assert_array_equal(quantize(dequantize(q, scale), scale, grid), q)


@given(wide_grids, scales, st.data())
def test_a_round_trip_with_a_zero_point_changes_nothing(
    grid: Grid, scale: float, data: st.DataObject
) -> None:
    if grid.is_binary:
        return  # one signed bit takes the sign; a zero point has no meaning there
    q, zero_point = integers_of(grid), data.draw(st.integers(grid.q_min, grid.q_max))
    real = dequantize(q, scale, zero_point)
    np.testing.assert_array_equal(quantize(real, scale, grid, zero_point), q)


@given(reals(), grids, scales)
def test_quantizing_twice_is_quantizing_once(x: np.ndarray, grid: Grid, scale: float) -> None:
    once = dequantize(quantize(x, scale, grid), scale)
    np.testing.assert_array_equal(dequantize(quantize(once, scale, grid), scale), once)


@given(reals(), grids, scales)
def test_integers_are_int32_on_the_grid_in_the_shape_of_the_data(
    x: np.ndarray, grid: Grid, scale: float
) -> None:
    q = quantize(x, scale, grid)
    assert q.dtype == np.int32
    assert q.shape == x.shape
    assert np.isin(q, integers_of(grid)).all()


@given(reals(reach=100.0), st.integers(2, 16))
def test_inside_the_range_the_error_is_at_most_half_a_step(x: np.ndarray, bits: int) -> None:
    grid = Grid(bits)
    scale = max(float(np.abs(x).max(initial=0)) / grid.q_max, 1e-3)
    error = np.abs(dequantize(quantize(x, scale, grid), scale) - x)
    assert error.max(initial=0) <= scale / 2 * (1 + 1e-9)


def test_ties_go_to_the_even_integer() -> None:
    ties = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert quantize(ties, 1.0, Grid(4)).tolist() == [-2, -2, 0, 0, 2, 2]


def test_one_signed_bit_takes_the_sign_and_zero_is_positive() -> None:
    assert quantize([-0.1, -0.0, 0.0, 0.1], 1.0, Grid(1)).tolist() == [-1, 1, 1, 1]


def test_values_beyond_the_grid_are_clipped_however_large() -> None:
    x = [-np.inf, -1e308, 1e308, np.inf]
    assert quantize(x, 1e-9, Grid(4)).tolist() == [-7, -7, 7, 7]


def test_not_a_number_is_refused() -> None:
    with pytest.raises(QuantError, match="NaN"):
        quantize([0.0, np.nan], 1.0, Grid(4))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_a_scale_that_is_not_positive_and_finite_is_refused(scale: float) -> None:
    with pytest.raises(QuantError, match="scale"):
        quantize([1.0], scale, Grid(4))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("group", [1, 2, 3])
def test_groups_are_quantized_as_if_each_stood_alone(
    axis: int, group: int, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(5, 7))
    fitted = fit_affine(x, Grid(4), axis=axis, group=group)
    channels = np.moveaxis(x, axis, 0)
    got = np.moveaxis(fitted.quantize(x), axis, 0)
    for start in range(0, len(channels), group):
        block = channels[start : start + group]
        alone = fit_affine(block, Grid(4)).quantize(block)
        np.testing.assert_array_equal(got[start : start + group], alone)


def test_dequantizing_spreads_the_scales_as_quantizing_does(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 6)) * np.array([[1.0], [10.0], [0.1], [5.0]])
    fitted = fit_affine(x, Grid(8), axis=0)
    step = fitted.scale.reshape(4, 1)
    assert (np.abs(fitted.dequantize(fitted.quantize(x)) - x) <= step / 2 * (1 + 1e-9)).all()


@pytest.mark.parametrize("group", [0, -2])
def test_a_group_of_no_channels_is_refused(group: int) -> None:
    with pytest.raises(ConfigError, match="group"):
        Affine(Grid(4), np.ones(1), np.zeros(1, np.int64), axis=0, group=group)
