r"""Arithmetic that chips and their tool chains are known to do instead of ours, by name.

Each variant is the reference with one thing wrong. When a chip differs from the definition, the
variant that gives the very integers of the chip says what to look for. With

.. math:: v = 2^F z + B + \lfloor th / 2 \rfloor

the right count is :math:`clip(\lfloor v / th \rfloor, 0, L)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.snn_convert import reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.snn_convert import Layer, SpikingProgram

    Integers = NDArray[np.int64]


def _as_it_is(layer: Layer) -> Layer:
    return layer


def _order(*axes: int) -> Callable[[Integers], Integers]:
    """Flatten an image with its height (1), width (2) and channels (3) in some order."""
    return lambda x: x.transpose(0, *axes).reshape(len(x), math.prod(x.shape[1:]))


_HEIGHT_WIDTH_CHANNEL: Final = _order(1, 2, 3)


@dataclass(frozen=True, slots=True)
class Variant:
    """The reference with one thing wrong.

    Attributes:
        name: in a few words, what such a chip does.
        look_at: what usually is behind it.
        fire: counts of a spiking layer from its weighted sums.
        alter: what becomes of a layer before it runs.
        flatten: order in which the counts of an image, [B, H, W, C], reach a dense layer.
    """

    name: str
    look_at: str
    fire: Callable[[Layer, Integers], Integers] = reference.staircase
    alter: Callable[[Layer], Layer] = _as_it_is
    flatten: Callable[[Integers], Integers] = _HEIGHT_WIDTH_CHANNEL

    def run(self, program: SpikingProgram, counts: NDArray[np.uint8]) -> Integers:
        """Return the readout that this arithmetic gives, int64, [B, d, n]."""
        x = reference.check_counts(program, counts).astype(np.int64)
        for layer in map(self.alter, program.layers):
            x = self._emit(layer, x)
        return x.reshape(-1, *program.action_layout)

    def _emit(self, layer: Layer, x: Integers) -> Integers:
        if layer.kind == "flatten":
            return self.flatten(x)
        if layer.levels:
            return self.fire(layer, reference.weighted(layer, x))
        return reference.emit(layer, x)


def _membrane(layer: Layer, z: Integers) -> tuple[Integers, Integers, Integers]:
    """Weighted sums in membrane units with the bias, half a threshold, and the threshold."""
    threshold = layer.threshold.astype(np.int64)
    return (z << layer.frac_bits) + layer.bias, threshold // 2, threshold


def _clip(layer: Layer, counts: NDArray[Any]) -> Integers:
    return np.asarray(np.clip(counts, 0, layer.levels), np.int64)


def _ties_down(layer: Layer, z: Integers) -> Integers:
    v, half, threshold = _membrane(layer, z)
    return _clip(layer, (v + half - 1) // threshold)


def _ties_to_even(layer: Layer, z: Integers) -> Integers:
    v, half, threshold = _membrane(layer, z)
    up = (v + half) // threshold
    is_tie = 2 * v == (2 * up - 1) * threshold
    return _clip(layer, up - (is_tie & (up % 2 == 1)))


def _early(layer: Layer, z: Integers) -> Integers:
    v, half, threshold = _membrane(layer, z)
    return _clip(layer, (v + half + 1) // threshold)


def _without_half(layer: Layer, z: Integers) -> Integers:
    v, _, threshold = _membrane(layer, z)
    return _clip(layer, v // threshold)


def _unbounded(layer: Layer, z: Integers) -> Integers:
    v, half, threshold = _membrane(layer, z)
    return np.asarray(np.maximum((v + half) // threshold, 0))


def _without_bias(layer: Layer, z: Integers) -> Integers:
    return reference.staircase(replace(layer, bias=np.zeros_like(layer.bias)), z)


def _mirrored(layer: Layer) -> Layer:
    if layer.kind != "conv2d":
        return layer
    return replace(layer, weight=layer.weight[:, :, ::-1, ::-1])


def _centred(layer: Layer) -> Layer:
    """The same zeros in all, the odd one at the top and left."""
    top, left, bottom, right = layer.padding
    high, wide = top + bottom, left + right
    return replace(layer, padding=(high - high // 2, wide - wide // 2, high // 2, wide // 2))


VARIANTS: Final = (
    Variant(
        "ties rounded down",
        "a membrane at a multiple of the threshold misses a spike: `>` without the half step",
        fire=_ties_down,
    ),
    Variant("ties rounded to even", "`rint` or `round` in place of a floor", fire=_ties_to_even),
    Variant(
        "spikes at `>=` where `>` is needed",
        "the half step was rounded up to a whole one, and `>=` then fires one below the threshold",
        fire=_early,
    ),
    Variant(
        "half a threshold missing",
        "a floor where the staircase rounds: start the membrane at floor(th / 2)",
        fire=_without_half,
    ),
    Variant("no saturation at L", "a neuron fires at most `levels` times", fire=_unbounded),
    Variant("hidden bias left out", "the bias is the charge to start from", fire=_without_bias),
    Variant(
        "true convolution instead of cross-correlation",
        "the kernel must be mirrored in both directions for this chip",
        alter=_mirrored,
    ),
    Variant(
        "odd padding at the top left instead of the bottom right",
        "`padding` says how many zeros are on each side; half of them is not enough",
        alter=_centred,
    ),
    Variant(
        "flattened as channel, height, width",
        "permute the columns of the dense weights",
        flatten=_order(3, 1, 2),
    ),
    Variant(
        "flattened as channel, width, height",
        "permute the columns of the dense weights",
        flatten=_order(3, 2, 1),
    ),
)
