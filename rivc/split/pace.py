r"""What a link takes for a byte, and what for nothing: a Kalman filter of two numbers.

A frame of n bytes that finds the link empty is answered after

.. math:: t = d + p n

and one that waits for another comes p n after it. The first kind tells the delay d and the pace p
only together; they come apart because sizes differ, and at once when frames queue. Whoever takes
the shortest time for the delay instead reads jitter as a narrow link: each lower d makes the next p
larger, which makes d lower still.

The noise is learnt from what was not foreseen. Twice in a row far off means that the link is
another one, and what was known of it is not believed any more.

Reference:
    Kalman (1960), A new approach to linear filtering and prediction problems, J. Basic Eng. 82.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from rivc.robot.clock import MILLISECOND_NS

FAR: Final = 9.0  # three standard deviations, squared
LEAST_NOISE: Final = (0.3 * MILLISECOND_NS) ** 2
FIRST_NOISE: Final = (2.0 * MILLISECOND_NS) ** 2
UNKNOWN: Final = ((100_000.0) ** 2, 0.0, (30.0 * MILLISECOND_NS) ** 2)  # 80 kbit/s, 30 ms
DRIFT: Final = 0.01  # of the pace, from frame to frame
LEAST_DRIFT: Final = 100.0  # ns a byte
DELAY_DRIFT: Final = 0.03 * MILLISECOND_NS
SMOOTHING: Final = 32


@dataclass(frozen=True, slots=True)
class Pace:
    """An estimate of a link.

    Attributes:
        byte_ns: what a byte takes.
        delay_ns: of an empty link, both ways.
        spread: variances and covariance of both: byte, mixed, delay.
        noise: variance of what a frame takes, in square nanoseconds.
        is_surprised: the last frame was far off.

    Example:
        >>> pace = Pace()
        >>> for size in (100, 300, 200, 400):  # 10,000 ns a byte, 8 ms of delay
        ...     pace = pace.after(size, 8e6 + 1e4 * size, waited=False)
        >>> abs(pace.byte_ns - 1e4) < 500, abs(pace.delay_ns - 8e6) < 2e5
        (True, True)
    """

    byte_ns: float = 0.0
    delay_ns: float = 0.0
    spread: tuple[float, float, float] = UNKNOWN
    noise: float = FIRST_NOISE
    is_surprised: bool = False

    @property
    def kbit_per_s(self) -> float:
        """The bandwidth; infinite if a byte takes no time."""
        return 8e6 / self.byte_ns if self.byte_ns else float("inf")

    def after(self, size: int, took_ns: float, *, waited: bool) -> Pace:
        """Return the estimate after a frame.

        Args:
            size: in bytes.
            took_ns: from sending to its answer; from the answer before it if it waited.
            waited: whether it did, for that one.
        """
        has_delay = 0.0 if waited else 1.0
        byte, mixed, delay = self._drifted()
        gains = byte * size + mixed * has_delay, mixed * size + delay * has_delay
        error = took_ns - self.byte_ns * size - self.delay_ns * has_delay
        expected = gains[0] * size + gains[1] * has_delay + self.noise
        is_far = error * error > FAR * expected
        if is_far and self.is_surprised:
            return replace(self, spread=UNKNOWN, is_surprised=False).after(
                size, took_ns, waited=waited
            )
        k_byte, k_delay = gains[0] / expected, gains[1] / expected
        return Pace(
            max(0.0, self.byte_ns + k_byte * error),
            max(0.0, self.delay_ns + k_delay * error),
            (byte - k_byte * gains[0], mixed - k_byte * gains[1], delay - k_delay * gains[1]),
            self._noise_after(error * error - (expected - self.noise)),
            is_far,
        )

    def _noise_after(self, unexplained: float) -> float:
        """The noise, after a square that the spread does not explain; one frame says little."""
        seen = min(max(0.0, unexplained), FAR * self.noise)
        return max(LEAST_NOISE, self.noise + (seen - self.noise) / SMOOTHING)

    def _drifted(self) -> tuple[float, float, float]:
        """The spread a frame later: links change."""
        byte, mixed, delay = self.spread
        drift = DRIFT * self.byte_ns + LEAST_DRIFT
        return byte + drift * drift, mixed, delay + DELAY_DRIFT * DELAY_DRIFT
