"""Scales from data: absolute maximum, percentile, or least squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import ConfigError, QuantError, nearest
from rivc.quant.affine import Affine, check_group, dequantize, quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from rivc.quant.grid import Grid

_TINY: Final = 1e-12
_SHRINK: Final = np.linspace(1.0, 0.2, 41)

Bounds = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


def fit_affine(
    x: ArrayLike,
    grid: Grid,
    *,
    method: str = "max",
    symmetric: bool = True,
    axis: int | None = None,
    group: int = 1,
) -> Affine:
    """Fit an affine quantizer to data.

    `max` covers every value; `percentile` leaves out one in a thousand at each end; `mse` takes the
    range, out of 41 between 20 % and 100 % of the whole, with the least squared error.

    Args:
        x: real values, any shape.
        grid: the integers to use.
        method: "max", "percentile" or "mse".
        symmetric: keep the zero point at 0; else fit it, so that 0.0 stays exactly representable.
        axis: fit one scale for each block of `group` channels along this axis; None: one for all.
        group: channels that share a scale.

    Returns:
        The quantizer.

    Raises:
        ConfigError: if the method is unknown, a group has no channels, or the grid is signed and
            a zero point is asked for.
        QuantError: if there are no data or they are not finite.

    Example:
        >>> from rivc.quant import Grid
        >>> fit_affine([-1.0, 7.0], Grid(4)).scale.tolist()
        [1.0]
    """
    if method not in _METHODS:
        raise ConfigError(f"unknown calibration {method!r}{nearest(method, _METHODS)}")
    if grid.signed and not symmetric:
        raise ConfigError("a zero point needs an unsigned grid: Grid(bit_width, signed=False)")
    check_group(group)
    x = np.asarray(x, np.float64)
    if not (x.size and np.isfinite(x).all()):
        raise QuantError(f"{x.size} values, all of which must be finite, give no range to fit")
    rows = _rows(x, axis, group)
    scale, zero_point = _METHODS[method](rows, grid, symmetric)
    return Affine(grid, scale, zero_point, axis, group)


def _rows(x: NDArray[np.float64], axis: int | None, group: int) -> list[NDArray[np.float64]]:
    """The data of each group, flattened."""
    if axis is None:
        return [x.ravel()]
    lines = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
    return [lines[i : i + group].ravel() for i in range(0, len(lines), group)]


def _params(
    bounds: Bounds, grid: Grid, symmetric: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    low, high = bounds
    if symmetric:
        reach = np.maximum(np.abs(low), np.abs(high)) if grid.signed else high
        return np.maximum(reach / grid.q_max, _TINY), np.zeros(len(low), np.int64)
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    scale = np.maximum((high - low) / grid.q_max, _TINY)
    return scale, np.clip(np.rint(-low / scale), 0, grid.q_max).astype(np.int64)


def _by_quantile(share: float) -> Callable[..., tuple[NDArray[np.float64], NDArray[np.int64]]]:
    def fit(
        rows: list[NDArray[np.float64]], grid: Grid, symmetric: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        low = np.array([np.quantile(row, share) for row in rows])
        high = np.array([np.quantile(row, 1 - share) for row in rows])
        return _params((low, high), grid, symmetric)

    return fit


def _by_error(
    rows: list[NDArray[np.float64]], grid: Grid, symmetric: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    fitted = [_least_error(row, grid, symmetric) for row in rows]
    return np.array([s for s, _ in fitted]), np.array([z for _, z in fitted], np.int64)


def _least_error(row: NDArray[np.float64], grid: Grid, symmetric: bool) -> tuple[float, int]:
    if grid.is_binary:
        return float(max(np.abs(row).mean(), _TINY)), 0
    bounds = row.min(), row.max()

    def attempt(shrink: float) -> tuple[float, float, int]:
        low, high = (np.array([shrink * b]) for b in bounds)
        scale, zero_point = _params((low, high), grid, symmetric)
        back = dequantize(quantize(row, scale, grid, zero_point), scale, zero_point)
        return float(np.mean((back - row) ** 2)), float(scale[0]), int(zero_point[0])

    _, scale, zero_point = min(map(attempt, _SHRINK), key=lambda trial: trial[0])
    return scale, zero_point


_METHODS: Final[Mapping[str, Callable[..., tuple[NDArray[np.float64], NDArray[np.int64]]]]] = {
    "max": _by_quantile(0.0),
    "percentile": _by_quantile(0.001),
    "mse": _by_error,
}
