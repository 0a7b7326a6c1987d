"""In which order the channels of a frame are coded, and which earlier one each leans on.

The channels that vary most come first, so that the first bytes of a packet tell most. They are
coded two at a time, point by point, which lets two independent states of the coder advance side by
side; a channel may lean on any channel of an earlier pair, and leans on the most similar one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ROWS: Final = 64
SAMPLES: Final = 1 << 16  # points of a channel that similarity is judged by
NONE: Final = -1


@dataclass(frozen=True, eq=False)
class Layout:
    """Order, similarity and grouping of channels; int32 arrays, [C].

    Attributes:
        order: channels as they are coded.
        reference: the earlier channel that a channel leans on, or -1.
        row: the group of channels that shares frequency tables.
    """

    order: NDArray[np.int32]
    reference: NDArray[np.int32]
    row: NDArray[np.int32]

    @property
    def rows(self) -> int:
        """Number of groups."""
        return int(self.row.max()) + 1

    def is_valid(self, channels: int) -> bool:
        """Tell whether this is a layout of so many channels: what comes from a file may be none."""
        if any(array.shape != (channels,) for array in (self.order, self.reference, self.row)):
            return False
        pair = np.zeros(channels + 1, np.int64)  # the last stands for none, and comes before all
        pair[NONE] = -1
        if not np.array_equal(np.sort(self.order), np.arange(channels)):
            return False
        pair[self.order] = np.arange(channels) // 2
        if not ((self.reference >= NONE) & (self.reference < channels)).all():
            return False
        leans_back = bool((pair[self.reference] < pair[:channels]).all())
        if not leans_back or not ((self.row >= 0) & (self.row < channels)).all():
            return False
        return np.array_equal(np.unique(self.row), np.arange(self.rows))


def fit_layout(codes: NDArray[np.uint8]) -> Layout:
    """Choose a layout for codes, [T, C, H, W].

    Sums of products of bytes are whole numbers below 2^53, so every machine finds the same.
    """
    x = codes.transpose(1, 0, 2, 3).reshape(codes.shape[1], -1)
    x = x[:, :: -(-x.shape[1] // SAMPLES)].astype(np.float64)
    count, total = x.shape[1], x.sum(1)
    covariance = count * (x @ x.T) - np.outer(total, total)
    variance = np.diag(covariance)
    order = np.argsort(-variance, kind="stable").astype(np.int32)
    norm = np.maximum(np.outer(variance, variance), 1.0)
    return Layout(order, _references(order, covariance**2 / norm), _rows(total))


def _references(order: NDArray[np.int32], similarity: NDArray[np.float64]) -> NDArray[np.int32]:
    reference = np.full(len(order), NONE, np.int32)
    for i, channel in enumerate(order.tolist()):
        earlier = order[: i - i % 2]
        if len(earlier) and similarity[channel, earlier].any():
            reference[channel] = earlier[similarity[channel, earlier].argmax()]
    return reference


def _rows(total: NDArray[np.float64]) -> NDArray[np.int32]:
    """One row a channel; where there are too many, channels of like activity share one."""
    if len(total) <= MAX_ROWS:
        return np.arange(len(total), dtype=np.int32)
    rank = np.empty(len(total), np.int64)
    rank[np.argsort(-total, kind="stable")] = np.arange(len(total))
    return (rank * MAX_ROWS // len(total)).astype(np.int32)
