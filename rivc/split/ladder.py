r"""The ladder of rates: fewer bits, fewer channels, fewer frames, each row with what it costs.

A row takes the m most important channels, rounds counts of b bits to k bits of the same code,

.. math:: c' = min(rint(c / 2^{b-k}), 2^k - 1), \qquad \hat c = 2^{b-k} c',

so that silence stays silence and no weight changes, and codes what is left with tables of its own.
Ties go to even: most counts are small, and a lone spike rounded up would be two.
The row of all bits and channels loses nothing: with it the split policy is the uncut one.

A row may send maps of groups of channels instead, `rivc.codec.sgq`: then its bits and channels are
those of the maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from rivc.codec import FeatureCodec
from rivc.errors import ConfigError, QuantError
from rivc.split.halves import from_planes, to_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from rivc.codec import GroupQuantizer, Recording
    from rivc.split.halves import Split

    Planes = NDArray[np.uint8]
    Infer = Callable[[Planes], NDArray[np.int64]]

MAX_ROWS: Final = 64
SAMPLE: Final = 64  # states that the importance of a channel is measured on


class Codec(Protocol):
    """What turns counts into bytes and back; `rivc.codec.FeatureCodec` is one."""

    def encode(self, frame: Planes, previous: Planes | None = None) -> bytes:
        """Return the packet of counts [C, H, W], coded against earlier ones if there are any."""
        ...

    def decode(self, packet: bytes, previous: Planes | None = None) -> Planes:
        """Return the counts of a packet, or raise a `RivcError`."""
        ...


class Point(NamedTuple):
    """What a row keeps.

    Attributes:
        bit_width: bits of a count.
        channels: the most important ones.
        skip: every how many frames one is sent.
    """

    bit_width: int
    channels: int
    skip: int = 1


@dataclass(frozen=True, eq=False)
class Row:
    """One row of a ladder.

    Attributes:
        point: what it keeps.
        codec: of what it keeps.
        mean_bytes: of a packet, as measured.
        p95_bytes: that 95 % of the packets do not exceed.
        episode_return: measured with this row alone; NaN where there was no task.
        groups: what makes maps of channels; None: channels are sent themselves.
    """

    point: Point
    codec: Codec
    mean_bytes: float
    p95_bytes: int
    episode_return: float = float("nan")
    groups: GroupQuantizer | None = None


@dataclass(frozen=True, eq=False)
class Ladder:
    """Rows, the best first; both ends need the same.

    Attributes:
        shape: of the counts, (H, W, C) or (units,).
        bit_width: of the counts.
        order: channels by importance, the most important first.
        rows: the best first.

    Raises:
        ConfigError: if a row keeps what there is not.
    """

    shape: tuple[int, ...]
    bit_width: int
    order: tuple[int, ...]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        channels = self.shape[-1]
        _check_order(self.order, channels)
        if not 1 <= len(self.rows) <= MAX_ROWS:
            raise ConfigError(f"a ladder has 1..{MAX_ROWS} rows, not {len(self.rows)}")
        for row in self.rows:
            check_point(row.point, self.bit_width, channels)
            _check_groups(row, self.shape, self.bit_width)
            _check_codec(row, self.shape)

    def warm_up(self) -> None:
        """Code one silent frame with each row, because the first is the slowest."""
        silence = np.zeros(self.shape, np.uint8)
        for row, _ in enumerate(self.rows):
            planes = self.reduce(row, silence)
            for previous in (None, planes):
                self.decode(row, self.rows[row].codec.encode(planes, previous), previous)

    def reduce(self, row: int, counts: NDArray[np.uint8]) -> Planes:
        """Return what a row keeps of counts, uint8, [C', H, W]."""
        point, groups = self.rows[row].point, self.rows[row].groups
        if groups is not None:
            return groups.reduce(to_planes(counts))
        kept = to_planes(counts)[list(self.order[: point.channels])]
        return coarse(kept, self.bit_width, point.bit_width)

    def restore(self, row: int, planes: Planes) -> NDArray[np.uint8]:
        """Return counts of the full shape from what a row kept."""
        point, groups = self.rows[row].point, self.rows[row].groups
        if groups is not None:
            return from_planes(groups.restore(planes), self.shape)
        full = np.zeros((self.shape[-1], *planes.shape[1:]), np.uint8)
        full[list(self.order[: point.channels])] = planes << (self.bit_width - point.bit_width)
        return from_planes(full, self.shape)

    def decode(self, row: int, packet: bytes, previous: Planes | None) -> Planes:
        """Return what a row kept, from its packet.

        Raises:
            RivcError: if the packet does not hold that.
        """
        point, codec = self.rows[row].point, self.rows[row].codec
        planes = codec.decode(packet, previous)
        wanted = point.channels, *(self.shape[:2] if len(self.shape) == 3 else (1, 1))
        if planes.shape != wanted or planes.max() >> point.bit_width:
            raise QuantError(f"a packet decodes to {planes.shape}, not to what row {row} keeps")
        return np.asarray(planes, np.uint8)


def _check_order(order: tuple[int, ...], channels: int) -> None:
    if sorted(order) != list(range(channels)):
        raise ConfigError(f"an order of channels names each of 0..{channels - 1} once")


def _check_groups(row: Row, shape: tuple[int, ...], bit_width: int) -> None:
    groups = row.groups
    if groups is None:
        return
    frame = shape[-1], *(shape[:2] if len(shape) == 3 else (1, 1))
    theirs = groups.shape, groups.count_bits, groups.bit_width, groups.groups
    if theirs != (frame, bit_width, row.point.bit_width, row.point.channels):
        raise ConfigError(
            f"{groups.groups} groups of frames {list(groups.shape)} where a row keeps {row.point}"
        )


def _check_codec(row: Row, shape: tuple[int, ...]) -> None:
    """One that was fitted to other frames would only fail when they come."""
    descriptor = getattr(row.codec, "descriptor", None)
    frame = row.point.channels, *(shape[:2] if len(shape) == 3 else (1, 1))
    if descriptor and (descriptor.shape, descriptor.bit_width) != (frame, row.point.bit_width):
        raise ConfigError(
            f"a codec of {descriptor.bit_width} bits and frames {list(descriptor.shape)} where a "
            f"row keeps {row.point}"
        )


def check_point(point: Point, bit_width: int, channels: int) -> None:
    """Raise ConfigError unless there is so much to keep."""
    most = (bit_width, channels, 255)
    for name, value, limit in zip(point._fields, point, most, strict=True):
        if not 1 <= value <= limit:
            raise ConfigError(f"a row with {name}={value} where 1..{limit} are possible")


def coarse(counts: NDArray[np.uint8], bit_width: int, kept: int) -> NDArray[np.uint8]:
    """Round counts to the leading bits of their code.

    >>> coarse(np.arange(16, dtype=np.uint8), 4, 2).tolist()
    [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3]
    """
    shift = bit_width - kept
    if not shift:
        return counts
    rounded = np.rint(counts / np.float32(1 << shift))
    return np.minimum(rounded, (1 << kept) - 1).astype(np.uint8)


def importance(split: Split, counts: NDArray[np.uint8], infer: Infer) -> tuple[int, ...]:
    r"""Return the channels by what the readout loses without them, the most important first.

    .. math:: I_c = \sum_{t, a} | r_a(x_t) - r_a(x_t|_{c = 0}) |

    Args:
        split: the cut.
        counts: of some states, uint8, [T, *shape]; 64 of them, evenly spread, are used.
        infer: the server half, from counts to a readout.
    """
    sample = counts[:: max(1, len(counts) // SAMPLE)][:SAMPLE]
    whole = infer(sample)
    losses = []
    for channel in range(split.shape[-1]):
        without = sample.copy()
        without[..., channel] = 0
        losses.append(int(np.abs(infer(without) - whole).sum()))
    return tuple(int(i) for i in np.argsort(np.negative(losses), kind="stable"))


def fit_ladder(
    split: Split, recording: Recording, points: Sequence[Point], order: tuple[int, ...] = ()
) -> Ladder:
    """Fit a codec for each row on the first half of a recording, and measure it on the second.

    Args:
        split: the cut.
        recording: of its counts.
        points: of the rows, the best first.
        order: channels by importance; empty: as they are.

    Raises:
        ConfigError: if there are too few frames, the order is none, or a point keeps what there is
            not.
    """
    half = len(recording.codes) // 2
    if half < 2 or recording.codes.shape[1] != split.shape[-1]:
        raise ConfigError(
            f"{recording.codes.shape} is no recording of {split.shape}, or has fewer than 4 frames"
        )
    order = order or tuple(range(split.shape[-1]))
    _check_order(order, split.shape[-1])
    rows: list[Row] = []
    for point in points:
        check_point(point, split.bit_width, split.shape[-1])
        planes = np.ascontiguousarray(recording.codes[:, list(order[: point.channels])])
        planes = coarse(planes, split.bit_width, point.bit_width)
        codec = next((row.codec for row in rows if row.point[:2] == point[:2]), None)
        if codec is None:
            starts = recording.starts[:half]
            codec = FeatureCodec.fit(planes[:half], point.bit_width, starts=starts)
        sizes = _sizes(codec, planes[half:], point.skip)
        p95 = int(np.percentile(sizes, 95, method="higher"))
        rows.append(Row(point, codec, float(np.mean(sizes)), p95))
    return Ladder(split.shape, split.bit_width, order, tuple(rows))


def _sizes(codec: Codec, planes: Planes, skip: int) -> list[int]:
    """Bytes of packets, each against the one that was sent before it."""
    sent: list[Any] = [None, *planes[::skip]]
    return [len(codec.encode(frame, previous)) for previous, frame in pairwise(sent)]
