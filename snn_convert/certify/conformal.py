r"""How much of a lead noise takes in all but a share delta of the states: split conformal bounds.

Of n exchangeable drops, the k-th smallest with

.. math:: k = \lceil (n + 1) (1 - \delta) \rceil

is at least as large as the next one with probability k / (n + 1) >= 1 - delta, whatever their
distribution. This is a statement about states and noise like those it was calibrated on, and about
their average: it is calibrated, not certified.

Reference:
    Vovk, Gammerman, Shafer (2005), Algorithmic learning in a random world. Papadopoulos et al.
    (2002), Inductive confidence machines for regression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from rivc.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Calibration:
    """A bound on drops that holds on average.

    Attributes:
        bound: in readout steps, >= 0.
        level: the probability that the next drop is within the bound, k / (n + 1).
        states: n, how many it was calibrated on.
    """

    bound: float
    level: float
    states: int


def calibrate(drops: NDArray[np.float64], delta: float) -> Calibration:
    """Return the bound that the next drop exceeds with probability at most `delta`.

    Args:
        drops: of calibration states, one draw of the noise each, in readout steps, [n].
        delta: allowed share, in (0, 1).

    Raises:
        ConfigError: if delta is out of range, or there are too few states for it.

    Example:
        >>> calibrate(np.arange(199.0), 0.005)
        Calibration(bound=198.0, level=0.995, states=199)
    """
    n = len(drops)
    k = rank(n, delta)
    bound = float(np.sort(drops)[k - 1])
    return Calibration(max(bound, 0.0), k / (n + 1), n)


def rank(states: int, delta: float) -> int:
    """Return which drop of so many states is the bound, k, counted from the smallest one.

    Raises:
        ConfigError: as for `calibrate`.
    """
    if not 0 < delta < 1:
        raise ConfigError(f"delta {delta} is outside 0..1")
    share = Fraction(str(delta))
    k = math.ceil((states + 1) * (1 - share))
    if k > states:
        needed, level = math.ceil(1 / share) - 1, f"{1 - delta:g}"
        raise ConfigError(
            f"{states} calibration states cannot promise {level}; give {needed} or a larger delta"
        )
    return k
