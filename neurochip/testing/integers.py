r"""Weights, thresholds and biases that an arithmetic profile allows, chosen to be hard.

What is wanted is drawn freely and then moved to the nearest integers that the profile holds; a new
kind of profile needs a new line in `legal_thresholds` or `legal_biases` and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.quant.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from rivc.quant.profile import ArithmeticProfile

    Reals = NDArray[np.float64]
    Wish = Callable[[Generator, "_Membrane"], Reals]


def legal_thresholds(profile: ArithmeticProfile, wanted: NDArray[Any]) -> NDArray[np.int32]:
    """Return the nearest thresholds that the profile holds.

    Example:
        >>> from rivc.quant import load_profile
        >>> legal_thresholds(load_profile("akida1"), np.array([-3, 17, 2**30])).tolist()
        [4, 17, 1048575]
    """
    held = np.clip(np.rint(wanted), profile.threshold_min, profile.threshold_max)
    if profile.threshold_grid == "power_of_two":
        largest = profile.threshold_max.bit_length() - 1
        held = np.exp2(np.minimum(np.rint(np.log2(held)), largest))
    return np.asarray(held, np.int32)


def legal_biases(
    profile: ArithmeticProfile, wanted: NDArray[Any], threshold: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return the nearest biases that the profile holds beside these thresholds.

    Example:
        >>> from rivc.quant import load_profile
        >>> threshold = np.array([40, 41], np.int32)
        >>> legal_biases(load_profile("akida1"), np.zeros(2), threshold).tolist()
        [3, 4]
    """
    step, bits = profile.bias_lattice, profile.bias_mantissa_bits
    room = profile.bias_room(profile.bias_max)
    half = (threshold.astype(np.int64) + 1) // 2 - 1
    origin = half if profile.bias_origin == "below_half" else np.zeros_like(half)
    steps = (np.clip(wanted, -room, room) - origin) / step
    unit = 1.0
    if bits is not None:  # of the highest bits alone
        _, length = np.frexp(np.maximum(np.abs(steps), 1))
        unit = np.exp2(np.maximum(length - (bits - 1), 0))
    return np.asarray(np.rint(steps / unit) * unit * step + origin, np.int32)


def draw_weights(rng: Generator, shape: tuple[int, ...], bits: int) -> NDArray[np.int8]:
    """Draw weights on the grid of `bits`: anywhere, at its ends, or mostly zero."""
    grid = Grid(bits)
    anywhere = rng.integers(grid.q_min, grid.q_max + 1, shape)
    ends = rng.choice([grid.q_min, grid.q_max], shape)
    if grid.is_binary:
        return ends.astype(np.int8)
    drawn = (anywhere, anywhere, ends, np.where(rng.random(shape) < 0.6, 0, anywhere))
    return drawn[int(rng.integers(len(drawn)))].astype(np.int8)


def draw_staircase(
    rng: Generator,
    profile: ArithmeticProfile,
    weight: NDArray[np.int8],
    levels_in: int,
    levels: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Draw threshold and bias of every channel of a spiking layer.

    Args:
        rng: where from.
        profile: what is allowed.
        weight: [out, ...].
        levels_in: the largest count that enters.
        levels: the largest count that leaves.
    """
    rows = weight.reshape(len(weight), -1).astype(np.float64) * (levels_in << profile.frac_bits)
    low, high = np.minimum(rows, 0).sum(1), np.maximum(rows, 0).sum(1)
    bare = _Membrane(low, high, np.zeros_like(low), levels, profile.frac_bits)
    threshold = legal_thresholds(profile, _mix(rng, _THRESHOLDS, bare))
    membrane = replace(bare, threshold=threshold.astype(np.float64))
    biases = _mix(rng, _BIASES, membrane)
    if rng.random() < 0.1:  # a whole layer that never fires, or always
        biases = (_never, _always)[int(rng.integers(2))](rng, membrane)
    return threshold, legal_biases(profile, biases, threshold)


def draw_readout_bias(
    rng: Generator, profile: ArithmeticProfile, weight: NDArray[np.int8], levels_in: int
) -> NDArray[np.int32]:
    """Draw the bias of every action, up to the size of its weighted sum."""
    reach = np.abs(weight.astype(np.int64)).sum(1).max() * levels_in + 1
    reach = min(int(reach), profile.bias_max)
    return rng.integers(-reach, reach + 1, len(weight)).astype(np.int32)


# -- what is wanted, before it is made legal ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Membrane:
    """How far weighted sums can move the membranes of a layer, each [out]."""

    low: Reals
    high: Reals
    threshold: Reals
    levels: int
    frac_bits: int


def _mix(rng: Generator, table: dict[Wish, float], membrane: _Membrane) -> Reals:
    """For every channel, the outcome of one of the functions in a table of probabilities."""
    drawn = np.stack([wish(rng, membrane) for wish in table])
    channels = np.arange(len(membrane.low))
    chosen = rng.choice(len(table), len(channels), p=list(table.values()))
    return np.asarray(drawn[chosen, channels], np.float64)


def _spread(rng: Generator, m: _Membrane) -> Reals:
    """The counts of random states are spread over 0..L."""
    return (m.high - m.low) / m.levels * rng.uniform(0.1, 0.6, len(m.low))


def _whole(rng: Generator, m: _Membrane) -> Reals:
    """Whole weighted sums move the membrane by whole thresholds, or the other way round."""
    parts = 1 << rng.integers(m.frac_bits + 1, size=len(m.low))
    wholes = rng.integers(1, 9, len(m.low)) << m.frac_bits
    return np.where(rng.random(len(m.low)) < 0.5, parts, wholes).astype(np.float64)


def _small(rng: Generator, m: _Membrane) -> Reals:
    """Almost every state saturates the neuron."""
    return rng.integers(2, 41, len(m.low)).astype(np.float64)


def _large(rng: Generator, m: _Membrane) -> Reals:
    """No state makes the neuron fire more than once."""
    return (m.high - m.low) * rng.uniform(1, 4, len(m.low))


def _centred(rng: Generator, m: _Membrane) -> Reals:
    """The middle of the membrane lies somewhere on the staircase."""
    return rng.uniform(0, m.levels, len(m.low)) * m.threshold - (m.low + m.high) / 2


def _tied(rng: Generator, m: _Membrane) -> Reals:
    """Without drive, the membrane stands exactly at a multiple of the threshold."""
    return rng.integers(-3, 4, len(m.low)) * m.threshold - m.threshold // 2


def _slight(rng: Generator, m: _Membrane) -> Reals:
    """Up to a threshold either way."""
    return rng.uniform(-1, 1, len(m.low)) * m.threshold


def _by_itself(rng: Generator, m: _Membrane) -> Reals:
    """It fires without any drive, which must be negative to silence it."""
    return rng.uniform(0.5, m.levels, len(m.low)) * m.threshold


def _never(_: Generator, m: _Membrane) -> Reals:
    """No state makes it fire."""
    return -m.high - m.threshold


def _always(_: Generator, m: _Membrane) -> Reals:
    """Every state makes it fire L times."""
    return m.threshold * (m.levels + 1) - m.low


_THRESHOLDS: Final[dict[Wish, float]] = {_spread: 0.5, _whole: 0.3, _small: 0.1, _large: 0.1}
_BIASES: Final[dict[Wish, float]] = {
    _centred: 0.4,
    _tied: 0.25,
    _slight: 0.15,
    _by_itself: 0.1,
    _never: 0.1,
}
