"""Facts about scales that are fitted to data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.errors import ConfigError, QuantError
from rivc.quant import Grid, fit_affine
from tests.strategies import grids, reals

METHODS = ["max", "percentile", "mse"]
unsigned = st.builds(Grid, st.integers(1, 8), signed=st.just(False))


def squared_error(x: np.ndarray, grid: Grid, method: str, *, symmetric: bool = True) -> float:
    fitted = fit_affine(x, grid, method=method, symmetric=symmetric)
    return float(np.square(fitted.dequantize(fitted.quantize(x)) - x).sum())


@given(reals(shape=st.integers(1, 40)), grids)
def test_least_squared_error_never_loses_more_than_the_maximum(x: np.ndarray, grid: Grid) -> None:
    rounding = 1e-12 * float(np.square(x).sum())
    assert squared_error(x, grid, "mse") <= squared_error(x, grid, "max") + rounding


@given(reals(shape=st.integers(1, 40)), unsigned)
def test_least_squared_error_never_loses_more_with_a_zero_point_either(
    x: np.ndarray, grid: Grid
) -> None:
    least = squared_error(x, grid, "mse", symmetric=False)
    rounding = 1e-12 * float(np.square(x).sum())
    assert least <= squared_error(x, grid, "max", symmetric=False) + rounding


@pytest.mark.parametrize("method", METHODS)
@given(x=reals(), grid=unsigned)
def test_zero_stays_exactly_representable(method: str, x: np.ndarray, grid: Grid) -> None:
    if not x.size:
        return
    fitted = fit_affine(x, grid, method=method, symmetric=False)
    assert fitted.dequantize(fitted.quantize(np.zeros(1))).tolist() == [0.0]


@given(reals(shape=st.integers(1, 40)), st.integers(2, 8))
def test_the_maximum_covers_every_value(x: np.ndarray, bits: int) -> None:
    fitted = fit_affine(x, Grid(bits))
    error = np.abs(fitted.dequantize(fitted.quantize(x)) - x)
    assert error.max() <= fitted.scale[0] / 2 * (1 + 1e-9)


def test_the_percentile_ignores_one_value_in_a_thousand(rng: np.random.Generator) -> None:
    x = rng.uniform(-1, 1, 5000)
    x[0] = 1e6
    assert fit_affine(x, Grid(8), method="percentile").scale[0] < 1 / 100


def test_one_bit_keeps_the_mean_magnitude(rng: np.random.Generator) -> None:
    x = rng.normal(size=1000)
    fitted = fit_affine(x, Grid(1), method="mse")
    assert fitted.scale[0] == pytest.approx(np.abs(x).mean())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grid", [Grid(1), Grid(4), Grid(4, signed=False)])
def test_data_without_any_range_gets_a_usable_scale(method: str, grid: Grid) -> None:
    fitted = fit_affine(np.zeros(9), grid, method=method)
    assert np.isfinite(fitted.scale).all()
    assert (fitted.scale > 0).all()


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'percentile'"):
        fit_affine([1.0], Grid(4), method="percentil")


def test_a_zero_point_on_a_signed_grid_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match="signed=False"):
        fit_affine([1.0], Grid(4), symmetric=False)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("x", [[], [1.0, np.nan], [np.inf]])
def test_data_that_gives_no_range_is_refused(method: str, x: list[float]) -> None:
    with pytest.raises(QuantError, match="finite"):
        fit_affine(x, Grid(4), method=method)


def test_a_group_of_no_channels_is_refused() -> None:
    with pytest.raises(ConfigError, match="group"):
        fit_affine(np.ones((2, 2)), Grid(4), axis=0, group=0)
