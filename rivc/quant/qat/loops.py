"""The staircase as compiled loops, over rows of channels; they need numba.

What torch does in a dozen passes over memory is one here. `rivc.quant.qat.staircase` says what is
computed, and does it where numba does not work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.compiled import compiled, reordered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]

BLOCK: Final = 256  # rows summed in the gradient's own type, before float64 takes over


@compiled
def fire(z: Floats, threshold: Floats, offset: Floats, limits: tuple[float, float], a: Any) -> None:
    """Turn weighted sums into counts, in place.

    Args:
        z: sums, [R, C]; become counts.
        threshold: [C], in the type that carries the membrane.
        offset: [C], in the same.
        limits: 2^F and the largest count.
        a: the counts before they are rounded and cut off, [R, C], written.
    """
    kind = threshold.dtype.type
    gain, top, zero = kind(limits[0]), kind(limits[1]), kind(0)
    for r in range(len(z)):
        for c in range(z.shape[1]):
            v = (z[r, c] * gain + offset[c]) / threshold[c]
            a[r, c] = v
            v = v if v > zero else zero
            z[r, c] = np.floor(v if v < top else top)


@compiled
def unfire(grad: Floats, a: Floats, factor: Floats, top: float, out: Floats) -> Floats:
    """Send gradients of counts back through the staircase, straight through its steps.

    Args:
        grad: of the counts, [R, C].
        a: as `fire` left it, [R, C].
        factor: 2^F / threshold, [C], in the type of `grad`.
        top: where a count is cut off.
        out: gradient of the weighted sums, [R, C], written; may be `grad`.

    Returns:
        Sums over the rows, float64, [2, C]: of the gradients that passed, and of them times `a`.
    """
    kind = grad.dtype.type
    upper, zero = kind(top), kind(0)
    totals = np.zeros((2, grad.shape[1]))
    passed, slope = np.zeros(grad.shape[1], grad.dtype), np.zeros(grad.shape[1], grad.dtype)
    for first in range(0, len(a), BLOCK):
        for r in range(first, min(first + BLOCK, len(a))):
            for c in range(a.shape[1]):
                g = grad[r, c] if zero < a[r, c] < upper else zero
                passed[c] += g
                slope[c] += g * a[r, c]
                out[r, c] = g * factor[c]
        for c in range(a.shape[1]):
            totals[0, c] += passed[c]
            totals[1, c] += slope[c]
            passed[c] = slope[c] = zero
    return totals


@compiled
def squared_errors(h: Floats, steps: Floats, top: float, errors: Floats) -> None:
    """Write the mean squared error of values rounded to counts of each step, [T].

    Args:
        h: non-negative values, [N].
        steps: values of one count, [T].
        top: largest count.
        errors: written, float64.
    """
    for t in range(len(steps)):
        errors[t] = 0.0
        for first in range(0, len(h), BLOCK):
            errors[t] += _squared_error(h[first : first + BLOCK], steps[t], h.dtype.type(top))
        errors[t] /= len(h)


@reordered
def _squared_error(h: Floats, step: Any, top: Any) -> Any:
    total = h.dtype.type(0)
    for i in range(len(h)):
        count = np.floor(h[i] / step + h.dtype.type(0.5))
        lost = (count if count < top else top) * step - h[i]
        total += lost * lost
    return total
