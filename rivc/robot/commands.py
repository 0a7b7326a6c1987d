"""From the integers of a policy to a command that a robot can bear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rivc.errors import ConfigError, QuantError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class CommandLimits:
    r"""What commands a robot takes.

    .. math:: c_t = clip(clip(c, low, high), c_{t-1} - rate \, dt, c_{t-1} + rate \, dt)

    Attributes:
        low: smallest value of each number of a command, in its own unit.
        high: largest value.
        rate: largest change of each number in a second; empty: any.
        rest: the command of a robot that stands still; empty: zeros. Commands start from here,
            also after a stop.

    Raises:
        ConfigError: if the numbers do not pair up, or `rest` is out of bounds.

    Example:
        >>> limits = CommandLimits(low=(-1.0,), high=(1.0,), rate=(2.0,))
        >>> limits.bound([5.0], previous=[0.0], dt_s=0.25).tolist()
        [0.5]
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    rate: tuple[float, ...] = ()
    rest: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("low", "high", "rate", "rest"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        size = len(self.low)
        object.__setattr__(self, "rest", self.rest or (0.0,) * size)
        if not size or {len(self.high), len(self.rate or self.low), len(self.rest)} != {size}:
            raise ConfigError("limits need low, high, rate and rest of one length, at least 1")
        if not all(map(math.isfinite, self.low + self.high + self.rate)):
            raise ConfigError(f"limits {self.low}, {self.high}, {self.rate} are not finite")
        if not all(rate > 0 for rate in self.rate):
            raise ConfigError(f"a rate of change among {self.rate} is not positive")
        if not all(a <= r <= b for a, r, b in zip(self.low, self.rest, self.high, strict=True)):
            raise ConfigError(
                f"rest {self.rest} is not within {self.low} to {self.high}; give the command that "
                "lets the robot stand still as `rest`"
            )

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.float64], ...]:
        return tuple(np.array(bound, np.float64) for bound in (self.low, self.high, self.rate))

    def bound(self, target: ArrayLike, previous: ArrayLike, dt_s: float) -> NDArray[np.float64]:
        """Return the command nearest to a target that keeps the limits.

        Args:
            target: what is wanted, [m].
            previous: the command that holds, [m], within the limits.
            dt_s: seconds since it was sent.

        Raises:
            QuantError: if the target has another length or holds NaN.
        """
        low, high, rate = self._arrays
        wanted, held = np.asarray(target, np.float64), np.asarray(previous, np.float64)
        if wanted.shape != low.shape or np.isnan(wanted).any():
            raise QuantError(f"a command {wanted.tolist()} where {len(low)} numbers are wanted")
        within = np.minimum(np.maximum(wanted, low), high)
        if not self.rate:
            return within
        reach = rate * max(0.0, dt_s)
        return np.minimum(np.maximum(within, held - reach), held + reach)


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    """Any sequence of numbers, a list or an array too, as a tuple."""
    try:
        return tuple(map(float, values))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"limits: {name}={values!r} is no sequence of numbers") from error


@dataclass(frozen=True, eq=False)
class ActionTable:
    r"""What the actions of a policy stand for.

    .. math:: c = \sum_j v_{j, a_j}

    Attributes:
        vectors: of each group and action, float64, [d, n, m].

    Raises:
        ConfigError: if it is no such array, or a value is not finite.

    Example:
        >>> ActionTable.rows([[0, 0], [8, 8], [-4, 4]]).command([2]).tolist()
        [-4.0, 4.0]
        >>> ActionTable.bins(low=[-1, -2], high=[1, 2], bins=3).command([2, 0]).tolist()
        [1.0, -2.0]
    """

    vectors: NDArray[np.float64]

    def __post_init__(self) -> None:
        try:
            vectors = np.array(self.vectors, np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"a table of actions is not of numbers: {error}") from error
        if vectors.ndim != 3 or not vectors.size or not np.isfinite(vectors).all():
            raise ConfigError(f"a table of actions is finite, [d, n, m], not {vectors.shape}")
        vectors.flags.writeable = False
        object.__setattr__(self, "vectors", vectors)

    @classmethod
    def rows(cls, rows: Any) -> Self:
        """Return the table of one group: a command a row, [n, m]."""
        return cls([rows])  # type: ignore[arg-type]

    @classmethod
    def levels(cls, levels: Any) -> Self:
        """Return the table in which each group moves a number of its own, [d, n] values."""
        try:
            values = np.array(levels, np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"levels of actions are not numbers: {error}") from error
        if values.ndim != 2:
            raise ConfigError(f"levels of actions are [d, n] numbers, not {values.shape}")
        return cls(values[:, :, None] * np.eye(len(values))[:, None, :])

    @classmethod
    def bins(cls, low: ArrayLike, high: ArrayLike, bins: int) -> Self:
        """Return the table of evenly spaced levels, as `env.bins` trains them, [d] bounds."""
        low, high = (np.atleast_1d(np.asarray(bound, np.float64)) for bound in (low, high))
        if bins < 2:
            raise ConfigError(f"bins={bins} leaves no choice; 2 is bang-bang, 3 adds the middle")
        share = (2 * np.arange(bins) - (bins - 1)) / (bins - 1)  # -1 to 1, the middle exactly 0
        middle, reach = (low + high) / 2, (high - low) / 2
        return cls.levels(middle[:, None] + reach[:, None] * share)

    @property
    def layout(self) -> tuple[int, int]:
        """(d, n): d groups of n actions."""
        return self.vectors.shape[0], self.vectors.shape[1]

    @property
    def size(self) -> int:
        """Numbers in a command, m."""
        return int(self.vectors.shape[2])

    def command(self, actions: ArrayLike) -> NDArray[np.float64]:
        """Return the command of the actions that were chosen, one a group, [d]."""
        chosen = self.vectors[np.arange(len(self.vectors)), np.asarray(actions)]
        return np.asarray(chosen.sum(0))

    def limits(self, rate: tuple[float, ...] = (), rest: tuple[float, ...] = ()) -> CommandLimits:
        """Return limits that every action just fits in, rest included.

        Raises:
            ConfigError: if `rest` or `rate` is of another length than a command.
        """
        if len(rest) not in (0, self.size):
            raise ConfigError(f"rest of {len(rest)} numbers, actions of {self.size}")
        low, high = self.vectors.min(1).sum(0), self.vectors.max(1).sum(0)
        still = np.array(rest or np.zeros(self.size))
        lowest, highest = np.minimum(low, still).tolist(), np.maximum(high, still).tolist()
        return CommandLimits(tuple(lowest), tuple(highest), rate, rest)
