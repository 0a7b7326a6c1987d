"""How an observation becomes the unsigned counts that a program takes.

The encoding belongs to the program: it runs on the host, before the chip, and is frozen with it.
Images enter as they are. A vector is quantized feature by feature over a range learnt while warming
up, and what falls outside is clipped, never wrapped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from rivc.errors import QuantError
from rivc.quant.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

IMAGE_BITS = 8


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

    @classmethod
    def image(cls, shape: tuple[int, ...]) -> Self:
        """Return the encoding of an HWC uint8 image: none."""
        return cls("image", tuple(shape), IMAGE_BITS)

    @classmethod
    def over_range(cls, low: ArrayLike, high: ArrayLike, *, bit_width: int) -> Self:
        """Return the encoding that spreads its counts evenly from `low` to `high`.

        A feature with no range gets a step of 1, so that its count is 0 and stays finite.

        Raises:
            QuantError: if a bound is not finite or a range is upside down.
        """
        low, high = (
            np.atleast_1d(np.asarray(low, np.float64)),
            np.atleast_1d(np.asarray(high, np.float64)),
        )
        if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high)) and np.all(low <= high)):
            raise QuantError("an encoding needs finite ranges with low <= high in every feature")
        step = np.where(high > low, (high - low) / Grid(bit_width, signed=False).q_max, 1.0)
        return cls("vector", low.shape, bit_width, tuple(low.tolist()), tuple(step.tolist()))

    @property
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
            QuantError: if the shape or the type of an image is wrong, or a value is NaN.
        """
        x = np.asarray(observation)
        if x.shape[-len(self.shape) :] != self.shape:
            raise QuantError(f"observation of shape {x.shape} where {self.shape} was trained")
        if self.kind == "image":
            if x.dtype != np.uint8:
                raise QuantError(f"an image must be uint8, got {x.dtype}")
            return x
        scaled = np.rint(self._scaled(x))
        return np.clip(scaled, 0, self.levels).astype(np.uint8)

    def clipped(self, observation: ArrayLike) -> int:
        """Return how many features of a vector observation lie outside the range."""
        if self.kind == "image":
            return 0
        scaled = np.rint(self._scaled(np.asarray(observation)))
        return int(np.count_nonzero((scaled < 0) | (scaled > self.levels)))

    def _scaled(self, x: NDArray[np.generic]) -> NDArray[np.float64]:
        low, step = self._range
        scaled = (x - low) / step
        if np.isnan(scaled).any():
            raise QuantError("the observation holds NaN; check the sensor or the simulator")
        return np.asarray(scaled, np.float64)
