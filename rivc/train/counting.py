"""Observations become counts, of all copies in one compiled call where numba works.

`InputEncoding` says what the counts are; a batch of a few small vectors spends nearly all of its
time there between the operations of numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.compiled import why_not

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.quant.encoding import InputEncoding

    Counts = NDArray[np.uint8]
    Count = Callable[[NDArray[Any]], tuple[Counts, int]]

_REALS: Final = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


def make_count(encoding: InputEncoding) -> Count:
    """Return what does as `InputEncoding.encode_counting` to observations, [B, *shape]."""
    if encoding.kind != "vector" or why_not():
        return encoding.encode_counting
    from rivc.neurochip.kernels.loops import HOLDS_NAN, encode_rows

    ranges, levels = np.array([encoding.low, encoding.step]), encoding.levels

    def count(x: NDArray[Any]) -> tuple[Counts, int]:
        if x.dtype in _REALS and x.shape[1:] == encoding.shape and x.flags.carray:
            counts = np.empty(x.shape, np.uint8)
            clipped = encode_rows(x, ranges, levels, counts)
            if clipped != HOLDS_NAN:
                return counts, clipped
        return encoding.encode_counting(x)  # takes whatever can be, and says what is wrong

    return count
