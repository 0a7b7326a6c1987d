r"""The numbers that firing takes, and the types that hold what it meets.

Firing has one form, in floats: the membrane is cut off at 0 and at L thresholds and divided. Where
offset and L thresholds are held exactly, rounding leaves what lies beyond a cut beyond it and
everything between as it is; and such a quotient is floored exactly, for what is not whole is
:math:`1 / th` away from the next integer. Float64 holds every program, float32 nearly all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.neurochip.staircase import FLOAT32, firing_offset, narrowest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rivc.snn_convert import Layer


def integer(bits: int) -> np.dtype[Any]:
    """Return the narrowest type from int16 on that has so many bits, sign included."""
    return np.dtype(np.int16 if bits <= 16 else np.int32 if bits <= 32 else np.int64)


def reach(layer: Layer, levels_in: int) -> int:
    """Return what no weighted sum exceeds; if that matters, for these weights, not any so wide."""
    widest = layer.weight_bound * levels_in
    return widest if widest < FLOAT32 else layer.weight_norm * levels_in


def stairs(layers: Sequence[Layer], farthest: int) -> NDArray[Any]:
    """Return offset, L thresholds and threshold of each unit, where no sum is beyond `farthest`.

    They are flat, [3, units] of each layer after that of the layer before.
    """
    steps = [_steps(layer) for layer in layers]
    flat = np.concatenate([np.zeros(0, np.int64), *steps])
    widest = max(farthest, int(flat.max(initial=0)), -int(flat.min(initial=0)))
    return flat.astype(narrowest(widest + 1))


def _steps(layer: Layer) -> NDArray[np.int64]:
    threshold = layer.threshold.astype(np.int64)
    return np.concatenate([firing_offset(layer), layer.levels * threshold, threshold])
