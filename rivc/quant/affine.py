r"""Affine quantizers: the only place where reals become integers on the host.

Invariants:

1. Real to integer rounds to nearest, ties to even (IEEE 754 `rint`), as in torch and in C.
   The spiking staircase rounds ties up; that is integer arithmetic and lives in `snn_convert`.
2. ``dequantize(quantize(x))`` changes nothing that is already on the grid.
3. `scale` and `zero_point` broadcast against the data: per tensor they are scalars, per channel
   they have one entry along `axis`, per group one entry for each block of `group` channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.errors import ConfigError, QuantError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rivc.quant.grid import Grid


def quantize(
    x: ArrayLike, scale: ArrayLike, grid: Grid, zero_point: ArrayLike = 0
) -> NDArray[np.int32]:
    r"""Return the nearest integers on the grid.

    .. math:: q = clip(rint(x / scale) + zero\_point, q_{min}, q_{max})

    One signed bit has no zero: there the sign is taken, and 0 becomes +1.

    Args:
        x: real values, any shape.
        scale: size of one step in the unit of `x`, > 0; broadcasts against `x`.
        grid: the integers to land on.
        zero_point: the integer that stands for 0.0; broadcasts against `x`.

    Returns:
        Integers, int32, shape of `x`.

    Raises:
        QuantError: if a scale is not positive and finite, or a value is not a number.

    Example:
        >>> from rivc.quant import Grid
        >>> quantize([0.24, 0.25, 0.26], 0.5, Grid(4)).tolist()
        [0, 0, 1]
    """
    x, scale = np.asarray(x, np.float64), np.asarray(scale, np.float64)
    if not (np.all(scale > 0) and np.all(np.isfinite(scale))):
        msg = f"a scale must be positive and finite, got {scale.min()}..{scale.max()}"
        raise QuantError(msg)
    if np.any(np.isnan(x)):
        msg = "cannot quantize NaN; look for the division or overflow that made it"
        raise QuantError(msg)
    if grid.is_binary:
        return np.where(x < 0, -1, 1).astype(np.int32)
    with np.errstate(over="ignore"):  # what overflows is clipped like everything beyond the grid
        steps = np.rint(x / scale)
    return np.asarray(np.clip(steps + zero_point, grid.q_min, grid.q_max), np.int32)


def dequantize(q: ArrayLike, scale: ArrayLike, zero_point: ArrayLike = 0) -> NDArray[np.float64]:
    r"""Return the real values that integers stand for.

    .. math:: x = (q - zero\_point) \cdot scale

    Args:
        q: integers, any shape.
        scale: size of one step; broadcasts against `q`.
        zero_point: the integer that stands for 0.0; broadcasts against `q`.

    Returns:
        Real values, float64, shape of `q`.

    Example:
        >>> dequantize([0, 3], 0.5, zero_point=1).tolist()
        [-0.5, 1.0]
    """
    steps = np.asarray(q, np.int64) - np.asarray(zero_point, np.int64)
    return np.asarray(steps * np.asarray(scale, np.float64))


@dataclass(frozen=True, eq=False)
class Affine:
    """A fitted affine quantizer: grid, scale and zero point, per tensor, channel or group.

    Attributes:
        grid: the integers.
        scale: float64, one entry a group: shape [G]; [1] per tensor.
        zero_point: int64, shape [G]; all zero when symmetric.
        axis: the axis that the groups run along, None per tensor.
        group: channels that share one scale along `axis`; 1 per channel.

    Raises:
        ConfigError: if a group has no channels.
    """

    grid: Grid
    scale: NDArray[np.float64]
    zero_point: NDArray[np.int64]
    axis: int | None = None
    group: int = 1

    def __post_init__(self) -> None:
        check_group(self.group)

    def quantize(self, x: ArrayLike) -> NDArray[np.int32]:
        """Return integers on the grid, int32, shape of `x`."""
        x = np.asarray(x)
        scale, zero_point = self._spread(x)
        return quantize(x, scale, self.grid, zero_point)

    def dequantize(self, q: ArrayLike) -> NDArray[np.float64]:
        """Return the real values of integers, float64, shape of `q`."""
        q = np.asarray(q)
        scale, zero_point = self._spread(q)
        return dequantize(q, scale, zero_point)

    def _spread(self, x: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Scale and zero point shaped to broadcast against `x`."""
        if self.axis is None:
            return self.scale, self.zero_point
        shape = [1] * x.ndim
        shape[self.axis] = -1
        n = x.shape[self.axis]

        def spread(entries: NDArray[Any]) -> NDArray[Any]:
            return np.repeat(entries, self.group)[:n].reshape(shape)

        return spread(self.scale), spread(self.zero_point)


def check_group(group: int) -> None:
    """Raise ConfigError unless a group holds at least one channel."""
    if group < 1:
        raise ConfigError(f"a group of {group} channels; it takes at least 1")
