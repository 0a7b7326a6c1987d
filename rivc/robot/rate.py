"""A fixed rate: absolute deadlines, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import ConfigError
from rivc.robot.clock import MILLISECOND_NS, SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rivc.robot.clock import Clock

KEPT: Final = 1 << 16  # durations that percentiles are taken over: 22 minutes at 50 Hz
MIN_RATE_HZ, MAX_RATE_HZ = 0.001, 10_000.0


@dataclass(frozen=True, slots=True)
class Percentiles:
    """What durations came to, in milliseconds; zeros if there were none."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class Durations:
    """Any number of durations in bounded memory.

    Percentiles are those of the last 65,536, the largest is that of all.

    Example:
        >>> durations = Durations()
        >>> for ms in range(1, 101):
        ...     durations.add(ms * MILLISECOND_NS)
        >>> durations.percentiles()
        Percentiles(count=100, p50_ms=50.0, p90_ms=90.0, p99_ms=99.0, max_ms=100.0)
    """

    def __init__(self) -> None:
        self._last: NDArray[np.int64] = np.zeros(KEPT, np.int64)
        self._count = self._max_ns = 0

    def add(self, duration_ns: int) -> None:
        """Take a duration in."""
        self._last[self._count % KEPT] = duration_ns
        self._count += 1
        self._max_ns = max(self._max_ns, duration_ns)

    def percentiles(self) -> Percentiles:
        """Return nearest-rank percentiles."""
        if not self._count:
            return Percentiles(0, 0.0, 0.0, 0.0, 0.0)
        kept: NDArray[Any] = self._last[: min(self._count, KEPT)]
        ranks = np.percentile(kept, [50, 90, 99], method="inverted_cdf") / MILLISECOND_NS
        p50_ms, p90_ms, p99_ms = ranks.tolist()
        return Percentiles(self._count, p50_ms, p90_ms, p99_ms, self._max_ns / MILLISECOND_NS)


class FixedRate:
    r"""Slots of equal length that start when their time has come, whatever came before.

    .. math:: t_k = t_0 + \lfloor k / rate \rfloor

    in whole nanoseconds, so that errors never add up. Work that is not done when the next slot
    starts has missed its deadline: that slot and all others that have started are skipped, and the
    loop goes on at the next one. It never hurries to catch up.

    Args:
        clock: to sleep by.
        rate_hz: slots a second, 0.001 to 10,000.

    Attributes:
        jitter: how much later than its time each slot started.
        missed: slots that were skipped.

    Raises:
        ConfigError: if there is no such rate.

    Example:
        >>> from rivc.robot.clock import SimulatedClock
        >>> clock = SimulatedClock()
        >>> rate = FixedRate(clock, 50.0)
        >>> for slot in rate.slots(6):
        ...     print(slot, clock.now_ns() // MILLISECOND_NS, "ms")
        ...     if slot == 1:  # takes 50 ms where 20 ms are
        ...         clock.sleep_until(clock.now_ns() + 50 * MILLISECOND_NS)
        0 0 ms
        1 20 ms
        4 80 ms
        5 100 ms
        >>> rate.missed
        2
    """

    def __init__(self, clock: Clock, rate_hz: float) -> None:
        self._clock, self._start_ns = clock, clock.now_ns()
        self._period_ns = period_ns(rate_hz)
        self.jitter, self.missed = Durations(), 0

    def slot_ns(self, slot: int) -> int:
        """Return when a slot starts."""
        length_ns, slots = self._period_ns
        return self._start_ns + slot * length_ns // slots

    def slots(self, count: int) -> Iterator[int]:
        """Wait for one slot after the other; yields those that were not skipped."""
        slot = 0
        while slot < count:
            start_ns = self.slot_ns(slot)
            self._clock.sleep_until(start_ns)
            self.jitter.add(self._clock.now_ns() - start_ns)
            yield slot
            following = min(count, max(slot + 1, self._first_after(self._clock.now_ns())))
            self.missed += following - slot - 1
            slot = following

    def _first_after(self, time_ns: int) -> int:
        """The first slot that does not start before a time."""
        length_ns, slots = self._period_ns
        return -((self._start_ns - time_ns) * slots // length_ns)


def period_ns(rate_hz: float) -> tuple[int, int]:
    """Return whole nanoseconds and how many periods they are, exactly.

    Raises:
        ConfigError: if there is no such rate.

    >>> period_ns(50.0)
    (20000000, 1)
    """
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise ConfigError(f"a rate of {rate_hz} Hz is not in {MIN_RATE_HZ:g}..{MAX_RATE_HZ:g} Hz")
    period = SECOND_NS / Fraction(rate_hz)
    return period.numerator, period.denominator


def period_s(rate_hz: float) -> float:
    """Return the length of a period.

    Raises:
        ConfigError: if there is no such rate.

    >>> period_s(50.0)
    0.02
    """
    length_ns, periods = period_ns(rate_hz)
    return length_ns / periods / SECOND_NS
