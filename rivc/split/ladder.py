r"""The ladder of rates: fewer bits, fewer channels, fewer frames, each row with what it costs.

A row takes the m most important channels, rounds counts of b bits to k bits of the same code,

.. math:: c' = min(\lfloor (c + 2^{b-k-1}) / 2^{b-k} \rfloor, 2^k - 1), \qquad \hat c = 2^{b-k} c',

so that silence stays silence and no weight changes, and codes what is left with tables of its own.
The row of all bits and channels loses nothing: with it the split policy is the uncut one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from rivc.errors import ConfigError, QuantError
from rivc.split.cut import from_planes, to_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from rivc.split.cut import Split

    Planes = NDArray[np.uint8]
    Fit = Callable[[Planes, int], "Codec"]
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
    """

    point: Point
    codec: Codec
    mean_bytes: float
    p95_bytes: int
    episode_return: float = float("nan")


@dataclass(frozen=True, eq=False)
class Ladder:
    """Rows, the best first; both ends need the same.

    Attributes:
        shape: of the counts, (H, W, C) or (units,).
        bit_width: of the counts.
        order: channels by importance, the most important first.
        rows: by return, then by bytes.

    Raises:
        ConfigError: if a row keeps what there is not.
    """

    shape: tuple[int, ...]
    bit_width: int
    order: tuple[int, ...]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        channels = self.shape[-1]
        if sorted(self.order) != list(range(channels)):
            raise ConfigError(f"an order of channels names each of 0..{channels - 1} once")
        if not 1 <= len(self.rows) <= MAX_ROWS:
            raise ConfigError(f"a ladder has 1..{MAX_ROWS} rows, not {len(self.rows)}")
        for row in self.rows:
            check_point(row.point, self.bit_width, channels)

    def reduce(self, row: int, counts: NDArray[np.uint8]) -> Planes:
        """Return what a row keeps of counts, uint8, [C', H, W]."""
        point = self.rows[row].point
        kept = to_planes(counts)[list(self.order[: point.channels])]
        return coarse(kept, self.bit_width, point.bit_width)

    def restore(self, row: int, planes: Planes) -> NDArray[np.uint8]:
        """Return counts of the full shape from what a row kept."""
        point = self.rows[row].point
        full = np.zeros((self.shape[-1], *planes.shape[1:]), np.uint8)
        full[list(self.order[: point.channels])] = planes << (self.bit_width - point.bit_width)
        return from_planes(full, self.shape)

    def decode(self, row: int, packet: bytes, previous: Planes | None) -> Planes:
        """Return what a row kept, from its packet.

        Raises:
            RivcError: if the packet does not hold that.
        """
        point, codec = self.rows[row].point, self.rows[row].codec
        planes: Planes = codec.decode(packet, previous)
        wanted = point.channels, *(self.shape[:2] if len(self.shape) == 3 else (1, 1))
        if planes.shape != wanted or planes.max() >> point.bit_width:
            raise QuantError(f"a packet decodes to {planes.shape}, not to what row {row} keeps")
        return planes

    @cached_property
    def identity(self) -> bytes:
        """Sixteen bytes that two ladders of the same rows share, whatever they were measured at."""
        points = [list(row.point) for row in self.rows]
        told = json.dumps([list(self.shape), self.bit_width, list(self.order), points])
        return hashlib.sha256(told.encode()).digest()[:16]


def check_point(point: Point, bit_width: int, channels: int) -> None:
    """Raise ConfigError unless there is so much to keep."""
    most = (bit_width, channels, 255)
    for name, value, limit in zip(point._fields, point, most, strict=True):
        if not 1 <= value <= limit:
            raise ConfigError(f"a row with {name}={value} where 1..{limit} are possible")


def coarse(counts: NDArray[np.uint8], bit_width: int, kept: int) -> NDArray[np.uint8]:
    """Round counts to the leading bits of their code.

    >>> coarse(np.arange(16, dtype=np.uint8), 4, 2).tolist()
    [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3]
    """
    shift = bit_width - kept
    if not shift:
        return counts
    rounded = (counts.astype(np.uint16) + (1 << (shift - 1))) >> shift
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
    split: Split,
    counts: NDArray[np.uint8],
    points: Sequence[Point],
    fit: Fit,
    order: tuple[int, ...] = (),
) -> Ladder:
    """Fit a codec for each row on the first half of recorded counts, and measure on the second.

    Args:
        split: the cut.
        counts: of consecutive frames, uint8, [T, *shape], T >= 4.
        points: of the rows, the best first.
        fit: makes a codec from planes [T, C, H, W] and their bit width.
        order: channels by importance; empty: as they are.

    Raises:
        ConfigError: if there are too few frames, or a point keeps what there is not.
    """
    if len(counts) < 4:
        raise ConfigError(f"{len(counts)} frames are too few to fit and to measure; record 4")
    order = order or tuple(range(split.shape[-1]))
    rows: list[Row] = []
    for point in points:
        check_point(point, split.bit_width, split.shape[-1])
        planes = np.stack([to_planes(c) for c in counts])[:, list(order[: point.channels])]
        planes = coarse(planes, split.bit_width, point.bit_width)
        half = len(planes) // 2
        codec = next((r.codec for r in rows if r.point[:2] == point[:2]), None)
        codec = codec or fit(planes[:half], point.bit_width)
        sizes = _sizes(codec, planes[half:], point.skip)
        p95 = int(np.percentile(sizes, 95, method="higher"))
        rows.append(Row(point, codec, float(np.mean(sizes)), p95))
    return Ladder(split.shape, split.bit_width, order, tuple(rows))


def _sizes(codec: Codec, planes: Planes, skip: int) -> list[int]:
    """Bytes of packets, each against the one that was sent before it."""
    sent: list[Any] = [None, *planes[::skip]]
    return [len(codec.encode(frame, previous)) for previous, frame in pairwise(sent)]
