"""What the coder knows before it meets a symbol: the channel and the classes of four neighbours.

Neighbours are the symbols to the left and above, whose mean counts as one, the symbol at the same
place of the previous frame, and that of the channel leant on. Each is put into one of a few classes
of like weight. Contexts are numbered row by row; `Model` holds the numbering ready for loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from rivc.codec.layout import NONE
from rivc.codec.tables import TOTAL, cumulative, frequencies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from rivc.codec.layout import Layout

    Frame = NDArray[np.uint8]

MAX_CLASSES: Final = 6
MAX_ENTRIES: Final = 1 << 20  # of all tables of a model


class Model(NamedTuple):
    """Layout, context numbering and tables of one kind of frame, as flat arrays for loops.

    The number of a context is ``base[channel] + temporal[t] + spatial[s] + similar[r]``.

    Attributes:
        order: channels as they are coded, int32, [C].
        reference: channel that a channel leans on, or -1, int32, [C].
        base: first context of a channel, int32, [C].
        temporal: by the symbol of the previous frame, int32, [A]; zeros in a model without one.
        spatial: by the mean of left and above, int32, [A].
        similar: by the symbol of the channel leant on, int32, [A].
        starts: where the share of each symbol begins, uint16, [contexts, A + 1].
    """

    order: NDArray[np.int32]
    reference: NDArray[np.int32]
    base: NDArray[np.int32]
    temporal: NDArray[np.int32]
    spatial: NDArray[np.int32]
    similar: NDArray[np.int32]
    starts: NDArray[np.uint16]


def make_model(
    layout: Layout, classes: NDArray[np.uint8], starts: NDArray[np.uint16], *, inter: bool
) -> Model:
    """Return the model whose contexts are all combinations of a row and classes.

    Args:
        layout: of the channels.
        classes: class of each symbol, [A].
        starts: its tables, [contexts, A + 1].
        inter: whether the previous frame is a neighbour.
    """
    count = int(classes.max()) + 1
    place = classes.astype(np.int32)
    base = layout.row * np.int32(count ** (3 if inter else 2))
    temporal = place * np.int32(count**2 if inter else 0)
    return Model(
        layout.order, layout.reference, base, temporal, place * np.int32(count), place, starts
    )


def fit_classes(histogram: NDArray[np.int64], count: int) -> NDArray[np.uint8]:
    """Return a class for each symbol: zero by itself, then runs of like weight.

    Args:
        histogram: how often each symbol occurs, [A].
        count: at most so many classes.
    """
    count = min(count, len(histogram))
    if count == 1:
        return np.zeros(len(histogram), np.uint8)
    weight = histogram[1:] + 1
    middle = 2 * weight.cumsum() - weight
    above = 1 + middle * (count - 1) // (2 * weight.sum())
    return np.concatenate([[0], above]).astype(np.uint8)


def affordable(layout: Layout, levels: int, neighbours: int, wanted: int) -> int:
    """Return how many classes, up to those wanted, keep the tables of a model within bounds."""
    while wanted > 1 and layout.rows * wanted**neighbours * levels > MAX_ENTRIES:
        wanted -= 1
    return wanted


def fit_model(
    layout: Layout,
    histogram: NDArray[np.int64],
    pairs: Iterable[tuple[Frame, Frame]],
    *,
    inter: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return classes and tables fitted to frames, each with the one before it."""
    levels, neighbours = len(histogram), 3 if inter else 2
    classes = fit_classes(histogram, affordable(layout, levels, neighbours, MAX_CLASSES))
    shape = (layout.rows, *[int(classes.max()) + 1] * neighbours, levels)
    counts = np.zeros(shape, np.int64)
    flat = counts.reshape(-1)
    blank = make_model(layout, classes, np.zeros((0, 0), np.uint16), inter=inter)
    for frame, previous in pairs:
        symbols, at = contexts(blank, frame, previous)
        flat += np.bincount(at * levels + symbols, minlength=len(flat))
    return classes, cumulative(frequencies(counts))


def contexts(
    model: Model, frame: Frame, previous: Frame
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the symbols of a frame in the order of coding, and the context of each.

    Args:
        model: its tables are not used.
        frame: uint8, [C, H, W].
        previous: the same; any frame for a model without a previous one.
    """
    padded = np.pad(frame.astype(np.int32), ((0, 0), (1, 0), (1, 0)))
    left, above = padded[:, 1:, :-1].copy(), padded[:, :-1, 1:].copy()
    left[:, :, 0] = above[:, :, 0]  # what stands at a border counts twice
    above[:, 0] = left[:, 0]
    similar = np.where(
        model.reference[:, None, None] == NONE, 0, model.similar[frame[model.reference]]
    )
    at = (
        model.base[:, None, None]
        + model.temporal[previous]
        + model.spatial[(left + above + 1) >> 1]
        + similar
    )
    return _in_order(model, frame), _in_order(model, at)


def ideal_bits(model: Model, frame: Frame, previous: Frame) -> float:
    r"""Return the bits that the tables of a model allow a frame, :math:`-\sum \log_2 f / 4096`."""
    symbols, at = contexts(model, frame, previous)
    size = model.starts[at, symbols + 1].astype(np.int64) - model.starts[at, symbols]
    return float(-np.log2(size / TOTAL).sum())


def places(model: Model, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return where the symbols of a frame lie, in the order of coding: indices into it, [N]."""
    return _in_order(model, np.arange(np.prod(shape)).reshape(shape))


def _in_order(model: Model, values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Channels two at a time, each pair point by point; an odd one at the end stands alone."""
    values = values.reshape(len(values), -1)[model.order].astype(np.int64)
    even = len(values) - len(values) % 2
    paired = values[:even].reshape(even // 2, 2, values.shape[1]).transpose(0, 2, 1)
    return np.concatenate([paired.ravel(), values[even:].ravel()])
