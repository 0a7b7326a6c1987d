"""Pictures as cameras send them, made into what a program takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import RobotError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES: Final = 1 << 27  # 128 MiB: beyond 8K RGB
CHANNELS: Final = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0), "mono8": (0,)}


@dataclass(frozen=True, slots=True, eq=False)
class RawPicture:
    """A picture as it came over a wire, nothing of it trusted.

    Attributes:
        height: rows.
        width: pixels in a row.
        encoding: "rgb8", "bgr8" or "mono8".
        step: bytes from one row to the next; rows may be padded.
        data: the bytes, any buffer.
    """

    height: int
    width: int
    encoding: str
    step: int
    data: Any


def decode(raw: RawPicture) -> NDArray[np.uint8]:
    """Return a picture of its own, uint8, [H, W, C], red first.

    Raises:
        RobotError: if the encoding is another, or the sizes do not fit the bytes.

    Example:
        >>> decode(RawPicture(1, 2, "bgr8", 8, bytes([1, 2, 3, 4, 5, 6, 0, 0]))).tolist()
        [[[3, 2, 1], [6, 5, 4]]]
    """
    if raw.encoding not in CHANNELS:
        raise RobotError(
            f"the camera sends {raw.encoding!r}; known: {', '.join(CHANNELS)}"
            f"{nearest(raw.encoding, CHANNELS)}; convert it before it gets here"
        )
    order = CHANNELS[raw.encoding]
    row, size = raw.width * len(order), raw.height * raw.step
    given = memoryview(raw.data).nbytes
    if min(raw.height, raw.width) < 1 or raw.step < row or not size <= given <= MAX_BYTES:
        raise RobotError(
            f"a picture of {raw.height} rows of {raw.width} pixels, {raw.encoding}, "
            f"step {raw.step}, does not fit {given} bytes (at most {MAX_BYTES})"
        )
    rows = np.frombuffer(raw.data, np.uint8, size).reshape(raw.height, raw.step)[:, :row]
    return rows.reshape(raw.height, raw.width, len(order))[:, :, order]


def shrink(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    r"""Return the middle of a picture as a square of `size` pixels a side.

    Each pixel is the mean over k by k pixels, halves up, with :math:`k = \lfloor min(H, W) / size
    \rfloor`; what is left over at the edges is cut off.

    Raises:
        RobotError: if the picture is smaller than that.
    """
    height, width, channels = picture.shape
    k = min(height, width) // size
    if k < 1:
        raise RobotError(f"a picture of {height}x{width} pixels cannot be shrunk to {size}x{size}")
    top, left = (height - k * size) // 2, (width - k * size) // 2
    middle = picture[top : top + k * size, left : left + k * size]
    sums = middle.reshape(size, k, size, k, channels).sum((1, 3), dtype=np.uint64)
    return np.asarray((sums + k * k // 2) // (k * k), np.uint8)
