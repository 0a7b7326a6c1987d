r"""How far the greedy action leads, how far a chip errs, and when the error flips the action.

In steps of the readout, the unit in which a chip errs, with the FPNN's action values q, the
readout r of the form that is judged, and a* = argmax q:

.. math:: gap = q_{a^*} - \max_{a \ne a^*} q_a, \qquad error = \max_a |r_a - q_a|

An error can flip the action only where :math:`gap \le 2\, error`, so the share of flips is counted
over bins of the ratio gap / error. Every group of a head counts by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from rivc.snn_convert.program import greedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.nets import QNetwork
    from rivc.neurochip import Backend

EDGES: Final = 2.0 ** np.arange(-6.0, 6.5, 0.5)
"""Of the bins of gap / error; one more bin lies below them, and one above that holds error 0."""
BATCH: Final = 128


@dataclass(frozen=True, slots=True)
class Margins:
    """What is counted over states and groups.

    Attributes:
        gap_steps: mean gap.
        error_steps: mean error.
        flip_rate: share of flipped actions.
        ratio_counts: how many in each bin of gap / error.
        ratio_flips: flipped actions among them.
    """

    gap_steps: float
    error_steps: float
    flip_rate: float
    ratio_counts: list[int]
    ratio_flips: list[int]


def margins(steps: NDArray[np.float64], readout: NDArray[np.int64]) -> Margins:
    """Count gaps, errors and flips.

    Args:
        steps: the FPNN's action values in readout steps, [B, d, n].
        readout: of the form that is judged, [B, d, n].

    Example:
        >>> found = margins(np.array([[[3.0, 1.0]], [[3.0, 2.0]]]), np.array([[[3, 1]], [[2, 3]]]))
        >>> found.gap_steps, found.error_steps, found.flip_rate
        (1.5, 0.5, 0.5)
    """
    gap, error = gaps(steps), errors(steps, readout)
    flipped = greedy(readout) != greedy(steps)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error > 0, gap / error, np.inf)
    at = np.digitize(ratio.ravel(), EDGES)
    bins = len(EDGES) + 1
    return Margins(
        float(gap.mean()),
        float(error.mean()),
        float(flipped.mean()),
        np.bincount(at, minlength=bins).tolist(),
        np.bincount(at, weights=flipped.ravel(), minlength=bins).astype(int).tolist(),
    )


def gaps(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the greedy action of each group leads, [B, d], for action values, [B, d, n].

    An action that is alone leads by more than any number.

    >>> gaps(np.array([[[3.0, 1.0, 0.5]]])).tolist(), gaps(np.array([[[-3.0]]])).tolist()
    ([[2.0]], [[inf]])
    """
    if steps.shape[-1] == 1:
        return np.full(steps.shape[:-1], np.inf)
    ordered = np.sort(steps, -1)
    return np.asarray(ordered[..., -1] - ordered[..., -2])


def errors(steps: NDArray[np.float64], readout: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how far each group of a readout is off, [B, d], for two of [B, d, n]."""
    return np.asarray(np.abs(readout - steps).max(-1))


@torch.no_grad()
def fpnn_steps(net: QNetwork, counts: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the FPNN's action values in readout steps, [B, d, n]; whole if it is quantized."""
    x = torch.from_numpy(counts)
    if net.quantized:
        return np.asarray(net.readout(x).numpy(), np.float64)
    return np.asarray((net(x).double() / net.readout_scale()).numpy())


def chip_readout(chip: Backend, counts: NDArray[np.uint8]) -> NDArray[Any]:
    """Return a loaded chip's readout, [B, d, n], a batch at a time."""
    parts = range(0, len(counts), BATCH)
    return np.concatenate([chip.infer(counts[i : i + BATCH]).readout for i in parts])
