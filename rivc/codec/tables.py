r"""Integer frequency tables: how often each symbol is expected, in 4096ths.

Counts of a context are few, so each table leans on the table of a wider context, which leans on a
wider one still:

.. math:: f = quantized(n + m \cdot f_{wider} / 4096)

with n the counts and m = 8 imagined symbols. All of it is integer arithmetic, and every symbol
keeps a frequency of at least 1, so that anything can be coded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRECISION: Final = 12
TOTAL: Final = 1 << PRECISION
IMAGINED: Final = 8


def frequencies(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return frequencies for counts of symbols in contexts.

    Args:
        counts: [..., A]; the axes before the last are the context, what tells most comes first.

    Returns:
        Frequencies, at least 1, that add up to 4096 along the last axis; same shape.
    """
    wider = np.full(counts.shape[-1], TOTAL // counts.shape[-1], np.int64)
    for depth in range(counts.ndim):
        known = counts.sum(axis=tuple(range(depth, counts.ndim - 1)))
        leant_on = wider[..., None, :] if depth else wider
        wider = quantized(known * TOTAL + IMAGINED * leant_on)
    return wider


def quantized(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return frequencies in proportion to weights along the last axis, whose sums are positive."""
    share = weights * (TOTAL - weights.shape[-1]) // weights.sum(-1, keepdims=True) + 1
    largest = share.argmax(-1, keepdims=True)
    rest = TOTAL - share.sum(-1, keepdims=True)
    np.put_along_axis(share, largest, np.take_along_axis(share, largest, -1) + rest, -1)
    return np.asarray(share, np.int64)


def cumulative(frequency: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return where each symbol's share begins, and at last 4096: [contexts, A + 1]."""
    flat = frequency.reshape(-1, frequency.shape[-1])
    return np.pad(flat.cumsum(-1), ((0, 0), (1, 0))).astype(np.uint16)
