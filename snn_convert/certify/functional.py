r"""Linear functionals of counts, and how a lower bound passes through a layer backwards.

A functional ``k + sum A c`` of the counts that a layer emits, bounded from below, becomes one of
the counts that it receives. Through a neuron with membrane v in [v_low, v_high],

.. math:: A \, c(v) \ge g v + k, \qquad k = \min_v A \, c(v) - g v

with a slope g of our choice; the minimum lies where the staircase c steps: at its first step, its
last, or an end of the interval.

Soundness: as any slope is sound, ``A g`` is rounded to a multiple of 2^-16; everything else is then
whole in units of 2^-16 and exact in float64 below 2^53. A functional that grows beyond is given up.

Reference:
    Zhang et al. (2018), Efficient neural network robustness certification with general activation
    functions (CROWN), for backward bounds by lines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.snn_convert.certify.lattice import membranes_of
from rivc.snn_convert.synapses import fold, unfold

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.snn_convert.certify.lattice import Box, Stage
    from rivc.snn_convert.program import Layer

    Reals = NDArray[np.float64]

SCALE: Final = 2.0**16
_EXACT: Final = 2.0**51  # sums of magnitudes stay below it, a factor of 4 inside float64


@dataclass(frozen=True, slots=True, eq=False)
class Functional:
    """Lower bounds ``constant + sum A x``, one a state and rival, in units of 2^-16 steps.

    `weight` is A, [B, R, *shape]; `constant` is [B, R], -inf where the bound was given up.
    """

    weight: Reals
    constant: Reals

    def least(self, box: Box) -> Reals:
        """The least value over a box, [B, R]."""
        reach = _total(np.abs(self.weight)) * (box.high.max(initial=0.0) + 1)
        functional = self.kept(reach + np.abs(self.constant))
        at_low = np.maximum(functional.weight, 0) * box.low[:, None]
        at_high = np.minimum(functional.weight, 0) * box.high[:, None]
        return functional.constant + _total(at_low + at_high)

    def kept(self, reach: Reals) -> Functional:
        """Give up where sums, whose magnitudes add up to `reach`, might not be exact."""
        lost = reach >= _EXACT
        if not lost.any():
            return self
        spread = lost.reshape(*lost.shape, *[1] * (self.weight.ndim - 2))
        return Functional(
            np.where(spread, 0.0, self.weight), np.where(lost, -np.inf, self.constant)
        )


def _total(x: Reals) -> Reals:
    return np.asarray(x.reshape(*x.shape[:2], math.prod(x.shape[2:])).sum(-1))


def _through_neurons(functional: Functional, stage: Stage) -> Functional:
    """From the counts that neurons emit to the counts that they receive."""
    membranes = membranes_of(stage)
    wiring, shape = membranes.wiring, membranes.low.shape[1:]
    on_membrane = np.rint(functional.weight * _slopes(functional.weight, stage))
    least = _least_above_line(functional.weight, on_membrane, stage)
    error = np.broadcast_to(membranes.error, membranes.low.shape)[:, None]
    held = on_membrane * wiring.offset - np.abs(on_membrane) * error
    constant = functional.constant + _total(least + held)
    size = np.abs(on_membrane)
    span = max(np.abs(v).max(initial=0.0) for v in (membranes.low, membranes.high, wiring.offset))
    inner = _total(size) * (span + error.max(initial=0.0))
    outer = size.max(axis=tuple(range(2, size.ndim)), initial=0.0) * wiring.fan_out
    counts = _total(np.abs(functional.weight)) * (stage.layer.levels + 1)
    kept = Functional(on_membrane, constant).kept(inner + outer + counts)
    driven = wiring.signed.backwards(kept.weight.reshape(-1, *shape)) * wiring.unit
    return Functional(driven.reshape(*constant.shape, *driven.shape[1:]), kept.constant)


def _slopes(weight: Reals, stage: Stage) -> Reals:
    """Of the line below ``A c(v)`` that encloses the least area, one a functional and neuron.

    It touches the convex hull of the staircase in the middle of the interval; for A < 0 that is the
    same with v and c turned around.
    """
    membranes, counts = membranes_of(stage), stage.emitted
    threshold = stage.layer.threshold.astype(np.float64)
    low, high, middle = membranes.low, membranes.high, (membranes.low + membranes.high) / 2
    first, last, rise = (
        (counts.low + 1) * threshold,
        counts.high * threshold,
        counts.high - counts.low,
    )
    below = _hull_slope(middle, (first - 1, last - 1, high), rise, threshold)
    above = _hull_slope(-middle, (-last, -first, -low), rise, threshold)
    known = rise == 0 if membranes.clipped is None else (rise == 0) | membranes.clipped
    below, above = np.where(known, 0.0, below)[:, None], np.where(known, 0.0, above)[:, None]
    return np.where(weight >= 0, below, above)


def _hull_slope(
    at: Reals, corners: tuple[Reals, Reals, Reals], rise: Reals, threshold: Reals
) -> Reals:
    """Slope of the lower hull over a staircase that is flat up to its first corner."""
    first, last, end = corners
    whole = rise / np.maximum(end - first, 1.0)
    tail = 1.0 / np.maximum(end - last, 1.0)
    steps = np.minimum(1.0 / threshold, whole)
    return np.where(at < first, 0.0, np.where(at < last, steps, np.maximum(whole, tail)))


def _least_above_line(weight: Reals, line: Reals, stage: Stage) -> Reals:
    """The least of ``A c(v) - G v``: before or after the first step, the last one, or at an end.

    With A >= 0 it lies at the right end of a tread, otherwise at a left end; between the first and
    the last step the corners lie on a line, so these two and the end of the interval are enough.
    """
    membranes, counts = membranes_of(stage), stage.emitted
    threshold = stage.layer.threshold.astype(np.float64)
    low, high = counts.low[:, None], counts.high[:, None]
    first, last = (low + 1) * threshold, high * threshold
    rising = weight >= 0
    corners = (
        (low, first - 1, low, membranes.low[:, None]),
        (np.maximum(high - 1, low), last - 1, np.minimum(low + 1, high), first),
        (high, membranes.high[:, None], high, last),
    )
    least = np.full(weight.shape, np.inf)
    for count_up, v_up, count_down, v_down in corners:
        count, v_mem = np.where(rising, count_up, count_down), np.where(rising, v_up, v_down)
        np.minimum(least, weight * count - line * v_mem, out=least)
    return least


def _through_pool(functional: Functional, stage: Stage) -> Functional:
    """From the largest counts of windows to the counts in them.

    The largest is at least the one that is surely largest so far, and equal to it if no other can
    overtake it; else it is at most what the window can reach.
    """
    layer, received, weight = stage.layer, stage.received, functional.weight
    shape = received.low.shape[1:]
    low, high = (_in_windows(layer, x) for x in (received.low, received.high))
    leads = low.argmax(3)[:, :, :, None] == np.arange(low.shape[3])[:, None]
    rest = np.where(leads, -np.inf, high).max(3)
    linear = (weight >= 0) | (low.max(3) >= rest)[:, None]
    constant = functional.constant + _total(
        np.where(linear, 0.0, weight * stage.emitted.high[:, None])
    )
    taps = np.where(linear, weight, 0.0)[:, :, :, :, None] * leads[:, None]
    spread = fold(layer, taps.reshape(-1, *taps.shape[2:4], *layer.window, shape[2]), shape)
    return Functional(spread.reshape(*constant.shape, *shape), constant)


def _in_windows(layer: Layer, x: Reals) -> Reals:
    """The counts of every window in a row, [B, H, W, k * k, C]."""
    seen = unfold(layer, x)
    return seen.reshape(*seen.shape[:3], -1, seen.shape[-1])


def _through_flatten(functional: Functional, stage: Stage) -> Functional:
    shape = *functional.constant.shape, *stage.received.low.shape[1:]
    return Functional(functional.weight.reshape(shape), functional.constant)


THROUGH: Final[dict[str, Callable[[Functional, Stage], Functional]]] = {
    "dense": _through_neurons,
    "conv2d": _through_neurons,
    "maxpool2d": _through_pool,
    "flatten": _through_flatten,
}
