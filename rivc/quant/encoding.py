"""How an observation becomes the unsigned counts that a program takes.

The encoding belongs to the program: it runs on the host, before the chip, and is frozen with it.
Images enter as they are. A vector is quantized feature by feature over a range learnt while warming
up, and what falls outside is clipped, never wrapped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np

from rivc.errors import ConfigError, QuantError
from rivc.quant.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MAX_COUNT_BITS: Final = 8  # counts are bytes, and so are the pixels of an image


@dataclass(frozen=True)
class InputEncoding:
    r"""Observation to counts.

    .. math:: x_q = clip(rint((x - low) / step), 0, L)

    Attributes:
        kind: "image" (uint8, passed as it is) or "vector" (one range a feature).
        shape: shape of one observation: (H, W, C) or (features,).
        bit_width: width of a count; L = 2^bit_width - 1.
        low: value of count 0, one a feature; empty for images.
        step: value of one count, one a feature; empty for images.

    Raises:
        ConfigError: if a count would not fit a byte.

    Example:
        >>> encoding = InputEncoding.over_range([-1.0], [1.0], bit_width=8)
        >>> encoding.encode([[-1.0], [1.0], [9.0]]).ravel().tolist()
        [0, 255, 255]
    """

    kind: Literal["image", "vector"]
    shape: tuple[int, ...]
    bit_width: int
    low: tuple[float, ...] = ()
    step: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.bit_width <= MAX_COUNT_BITS:
            raise ConfigError(f"a count of {self.bit_width} bits is outside 1..{MAX_COUNT_BITS}")

    @classmethod
    def image(cls, shape: tuple[int, ...]) -> Self:
        """Return the encoding of an HWC uint8 image: none."""
        return cls("image", tuple(shape), MAX_COUNT_BITS)

    @classmethod
    def over_range(cls, low: ArrayLike, high: ArrayLike, *, bit_width: int) -> Self:
        """Return the encoding that spreads its counts evenly from `low` to `high`.

        A feature with no range gets a step of 1, so that its count is 0 and stays finite.

        Args:
            low: real value of count 0, one a feature, [features].
            high: real value of the last count, [features].
            bit_width: width of a count, 1..8.

        Raises:
            QuantError: if a range is not finite or upside down, or the bounds do not pair up.
            ConfigError: if a count would not fit a byte.
        """
        low, high = (np.atleast_1d(np.asarray(bound, np.float64)) for bound in (low, high))
        with np.errstate(over="ignore", invalid="ignore"):
            span = high - low if low.shape == high.shape else np.full_like(low, np.nan)
        if low.ndim != 1 or not np.all(np.isfinite(span)) or np.any(span < 0):
            raise QuantError("an encoding needs one finite range, low <= high, for every feature")
        step = span / Grid(bit_width, signed=False).q_max
        step = np.where(step > 0, step, 1.0)
        return cls("vector", low.shape, bit_width, tuple(low.tolist()), tuple(step.tolist()))

    @cached_property
    def levels(self) -> int:
        """The largest count, L."""
        return Grid(self.bit_width, signed=False).q_max

    @cached_property
    def _range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.low), np.array(self.step)

    def encode(self, observation: ArrayLike) -> NDArray[np.uint8]:
        """Return counts for one observation or a batch of them.

        Args:
            observation: shape [*shape] or [B, *shape]; uint8 for images, real for vectors.

        Returns:
            Counts, uint8, same shape.

        Raises:
            QuantError: if the shape or the type is wrong, or a value is NaN.
        """
        return self.encode_counting(observation)[0]

    def check_counts(self, largest: int) -> None:
        """Raise QuantError if the largest of some counts is above what the input holds."""
        if largest > self.levels:
            raise QuantError(f"a count of {largest} where the input holds 0..{self.levels}")

    def encode_counting(self, observation: ArrayLike) -> tuple[NDArray[np.uint8], int]:
        """Return what `encode` does, and how many features lay outside their range."""
        x = self._shaped(observation)
        if self.kind == "vector":
            return self._nearest(x)
        if x.dtype != np.uint8:
            raise QuantError(f"an image must be uint8, got {x.dtype}")
        return x, 0

    def _shaped(self, observation: ArrayLike) -> NDArray[Any]:
        x = np.asarray(observation)
        if x.shape[-len(self.shape) :] != self.shape:
            raise QuantError(f"observation of shape {x.shape} where {self.shape} was trained")
        return x

    def _nearest(self, x: NDArray[Any]) -> tuple[NDArray[np.uint8], int]:
        """The nearest counts, and how many of them had to be cut off."""
        if x.dtype.kind not in "fiub":
            raise QuantError(f"an observation is made of real numbers, got {x.dtype}")
        low, step = self._range
        with np.errstate(over="ignore"):  # what overflows lies outside the range
            steps = np.rint((x - low) / step)
        counts = np.minimum(np.maximum(steps, 0), self.levels)
        clipped = int(np.count_nonzero(counts != steps))  # NaN differs from itself
        if clipped and np.isnan(counts).any():
            raise QuantError("the observation holds NaN; check the sensor or the simulator")
        return counts.astype(np.uint8), clipped
