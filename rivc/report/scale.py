"""From numbers to coordinates, and to the few letters that stand for them along an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rivc.report.plots import Axis
    from rivc.report.statistics import Array

_HUGE: Final = float(np.finfo(np.float64).max) / 8  # so that no difference overflows
_TINY: Final = 1e-290  # so that no quotient does
_FINEST: Final = 1e-9  # share of the largest number below which a range is none
_PREFIXES: Final = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))
_LARGEST: Final = 1e13


@dataclass(frozen=True, slots=True)
class Scale:
    """From numbers to coordinates.

    Attributes:
        low: the number at `start`.
        high: the number at `stop`, above `low`.
        start: a coordinate.
        stop: a coordinate.
        is_log: equal ratios, not differences, are equally far apart.
    """

    low: float
    high: float
    start: float
    stop: float
    is_log: bool = False

    @classmethod
    def over(cls, axis: Axis, values: Iterable[Array], start: float, stop: float) -> Scale:
        """Return a scale that holds all values, or the limits of the axis.

        >>> from rivc.report.plots import Axis
        >>> Scale.over(Axis("x"), [np.array([0.0, 10.0])], 0, 100)(np.array([5.0])).tolist()
        [50.0]
        """
        known = np.concatenate([np.ravel(v) for v in values] or [np.zeros(0)])
        known = known[np.isfinite(known) & ((known > _TINY) | (not axis.is_log))]
        low, high = (float(known.min()), float(known.max())) if known.size else (1.0, 1.0)
        low, high = (min(max(end, -_HUGE), _HUGE) for end in axis.limits or (low, high))
        largest = max(abs(low), abs(high))
        if high - low <= max(_TINY, _FINEST * largest):
            low, high = _widened(low, high) if largest > _TINY else (0.0, 1.0)
        return cls(low, high, start, stop, axis.is_log)

    def __call__(self, values: Array) -> Array:
        """Return the coordinates of some numbers; those beyond an end are at the end."""
        low, high = self._spaced(np.array([self.low, self.high]))
        share = (self._spaced(np.asarray(values, np.float64)) - low) / (high - low)
        return np.asarray(self.start + np.clip(share, 0, 1) * (self.stop - self.start))

    def at(self, value: float) -> float:
        """Return the coordinate of one number."""
        return float(self(np.array(value)))

    def ticks(self, most: int = 5) -> list[float]:
        """Return round numbers between the ends.

        >>> Scale(0.0, 19_000.0, 0, 1).ticks(), Scale(0.5, 70.0, 0, 1, is_log=True).ticks()
        ([0.0, 5000.0, 10000.0, 15000.0], [0.5, 2.0, 8.0, 32.0])
        """
        if self.is_log:
            first, last = math.ceil(math.log2(self.low)), math.floor(math.log2(self.high))
            step = max(1, -(-(last - first + 1) // most))
            return [2.0**i for i in range(first, last + 1, step)]
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        unit = next((m * power for m in (1, 2, 5) if m * power >= rough), 10 * power)
        first, last = math.ceil(self.low / unit), math.floor(self.high / unit)
        return [i * unit for i in range(first, last + 1)]

    def _spaced(self, values: Array) -> Array:
        if self.is_log:
            return np.log2(np.clip(values, self.low, self.high))
        return np.clip(values, self.low, self.high)


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range around what is all but one number, of the same sign as this."""
    return (low / 2, high * 2) if low > 0 else (low * 2, high / 2)


def short(value: float) -> str:
    """Return a number in few letters.

    >>> short(12_500.0), short(0.25), short(3e7), short(1 / 3), short(-1234.0)
    ('12.5k', '0.25', '30M', '0.333', '-1,234')
    """
    for least, factor, letter in _PREFIXES:
        if least <= abs(value) < _LARGEST:
            return f"{value / factor:.4g}{letter}"
    return f"{value:,.0f}" if 1000 <= abs(value) < _LARGEST else f"{value:.3g}"
