r"""Chips that are not exact: which losses, how large, from which seed.

An analogue or cheap chip computes something near the program. Each field of `Lossy` is one such
loss with its equation; all are off at first, and then every schedule is exact. Equal losses,
programs and states give equal integers: what is random is drawn from the seed and the state itself,
so that neither the batch nor the past of a chip matters, and a resumed run meets the same chip.

Notation as in `Layer`: a neuron with threshold th and levels L, whose membrane before it fires is

.. math:: V = 2^F z + B + \lfloor th / 2 \rfloor + 1/2, \quad z = \sum_i w_i x_i.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHT_STEPS: Final = 256  # a noisy weight is a whole number of these parts of a weight step


@dataclass(frozen=True, slots=True)
class Lossy:
    r"""What a chip gets wrong; u is uniform on [-1, 1), so that every noise is bounded.

    Attributes:
        ticks: fewer ticks: T <= L steps of the staircase instead of L, each worth L/T counts,

            .. math:: count = \frac{L}{T}\,
                clip(\lfloor (2^F z + B) / (th L/T) + 1/2 \rfloor, 0, T);

            a layer with L <= T stays as it is. Every schedule then runs on T in the place of L.
        streaming: no schedule: plain integrate-and-fire, all layers at once, for T ticks. In each
            tick arrives a T-th of the input and of every bias; a spike is worth L/T counts:

            .. math:: v \mathrel{+}= (2^F \sum_i w_i s_i L_{in}/T + B/T), \quad
                s = [v \ge th L/T], \quad v \mathrel{-}= s\, th L/T

            from v = th L/2T. Replaces the schedule; pools take the OR of a tick.
        membrane_noise: epsilon, in thresholds: each neuron's membrane is off by epsilon u th,
            drawn once for a neuron and a state.
        weight_noise: delta, in weight steps: each synapse has w + delta u, drawn once for a chip,
            in steps of 1/256. It is absolute, and absent synapses get it too; a certificate's
            `Disturbance.weight_error` is relative, a share of each weight.
        dropped_spikes: probability with which a spike, once emitted, reaches nobody.
        membrane_bits: width b of the register, sign included: after every addition the membrane is
            clipped to -2^(b-1) .. 2^(b-1) - 1. The gate of the gated schedule takes one more bit,
            what the signed schedule takes back a few more.
        seed: of the chip.

    The readout has no threshold and so no membrane noise; all else befalls it too. Where its
    membrane is no whole number, it is rounded to the nearest, halves up.

    Raises:
        ConfigError: if a value is out of its range.

    Example:
        >>> Lossy(membrane_noise=0.1).is_exact
        False
        >>> Lossy(seed=3).is_exact
        True
    """

    ticks: int | None = None
    streaming: int | None = None
    membrane_noise: float = 0.0
    weight_noise: float = 0.0
    dropped_spikes: float = 0.0
    membrane_bits: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (kind, low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
                whole = "a whole number" if kind is int else "a number"
                raise ConfigError(f"{name} must be {whole} of {low}..{high}, not {value!r}")
        if self.ticks is not None and self.streaming is not None:
            raise ConfigError("streaming has its own ticks; leave ticks out")

    @property
    def is_exact(self) -> bool:
        """True if nothing is lost."""
        return replace(self, seed=0) == EXACT

    @property
    def share(self) -> Fraction:
        """The part of input and biases that arrives at a time."""
        return Fraction(1, self.streaming or 1)

    @property
    def weight_steps(self) -> int:
        """Parts of a weight step in which weights are whole."""
        return WEIGHT_STEPS if self.weight_noise else 1

    def levels_of(self, levels: int) -> int:
        """Return how many spikes a neuron of so many levels can emit."""
        return self.streaming or min(levels, self.ticks or levels)

    def weights(self, weight: NDArray[np.int8], i: int) -> NDArray[np.int64]:
        """Return the weights that layer i has on this chip, in `weight_steps`."""
        if not self.weight_noise:
            return weight.astype(np.int64)
        u = 2 * np.random.default_rng([self.seed, i]).random(weight.shape) - 1
        return np.rint(WEIGHT_STEPS * (weight + self.weight_noise * u)).astype(np.int64)


_RANGES: Final[dict[str, tuple[Any, float, float]]] = {
    "ticks": (int, 1, 255),
    "streaming": (int, 1, 4096),
    "membrane_noise": (int | float, 0, 16),
    "weight_noise": (int | float, 0, 16),
    "dropped_spikes": (int | float, 0, 1),
    "membrane_bits": (int, 2, 62),
    "seed": (int, 0, 2**63 - 1),
}
_OPTIONAL: Final = ("ticks", "streaming", "membrane_bits")
EXACT: Final = Lossy()


class Draws:
    """One stream of random numbers a state, from the seed and the state alone."""

    def __init__(self, seed: int, counts: NDArray[np.uint8]) -> None:
        digests = (blake2b(state.tobytes(), digest_size=16).digest() for state in counts)
        self._streams = [
            np.random.default_rng([seed, int.from_bytes(digest)]) for digest in digests
        ]

    def uniform(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Draw from [0, 1), [B, *shape]."""
        drawn = np.empty((len(self._streams), math.prod(shape)))
        for row, stream in zip(drawn, self._streams, strict=True):
            stream.random(out=row)
        return drawn.reshape(len(drawn), *shape)
