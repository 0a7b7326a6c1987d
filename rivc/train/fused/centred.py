"""A centred readout: what a group of outputs has in common stays in floats, beside the integers.

Straight through all roundings, the parts that are taken out and added again cancel: the gradient of
the latent weights is that of a plain readout, and only what is received gets one more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]


@compiled
def split(weight: Floats, rest: Floats, common: Floats) -> None:
    """Write the mean row of each group, [d, I], and what it leaves of the rows, [C, I]."""
    n = len(weight) // len(common)
    for j in range(len(common)):
        for k in range(weight.shape[1]):
            total = 0.0
            for c in range(j * n, j * n + n):
                total += np.float64(weight[c, k])
            common[j, k] = total / n
            for c in range(j * n, j * n + n):
                rest[c, k] = np.float64(weight[c, k]) - total / n


@compiled
def add_values(x: Floats, common: Floats, bias: Floats, of: tuple[float, float], q: Floats) -> None:
    """Add to action values, [R, C], what each group has in common.

    Args:
        x: received counts, [R, I].
        common: mean row of each group, [d, I].
        bias: mean bias of each group, [d, 1].
        of: value of one received count, and the count that stands for zero.
        q: changed.
    """
    unit, zero = np.float32(of[0]), np.float32(of[1])
    n = q.shape[1] // len(common)
    for b in range(len(x)):
        for j in range(len(common)):
            total = np.float32(0)
            for k in range(x.shape[1]):
                total += (x[b, k] - zero) * common[j, k]
            for c in range(j * n, j * n + n):
                q[b, c] += total * unit + bias[j, 0]


@compiled
def add_gradient(x: Floats, common: Floats, ratio: float, grad: Floats, grad_x: Floats) -> float:
    """Add what goes back through `add_values` to hidden counts.

    Args:
        x: received counts, [R, I].
        common: mean row of each group, [d, I].
        ratio: value of one received count over that of one readout integer.
        grad: of the readout's integers, [R, C].
        grad_x: of the received counts, [R, I], changed.

    Returns:
        The gradient of the logarithm of the value of one received count.
    """
    of_unit, n = 0.0, grad.shape[1] // len(common)
    for b in range(len(x)):
        for j in range(len(common)):
            total = np.float32(0)
            for c in range(j * n, j * n + n):
                total += grad[b, c]
            total *= np.float32(ratio)
            for k in range(x.shape[1]):
                grad_x[b, k] += total * common[j, k]
                of_unit += total * common[j, k] * x[b, k]
    return of_unit
