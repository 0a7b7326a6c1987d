"""Windows of pictures as rows of a matrix, and back; importing this needs numba.

A convolution then is one product of matrices, on the emulator as in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivc.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pair = tuple[int, int]


@compiled
def gather(x: NDArray[Any], stride: Pair, corner: Pair, rows: NDArray[Any]) -> None:
    """Write the windows of pictures, [B, H, W * C], to rows, [B, h, w, kh, kw * C].

    What lies outside of a picture is left as it is.

    Args:
        x: pictures.
        stride: from one window to the next, in lines and in numbers.
        corner: what is padded above a picture and to its left, in the same.
        rows: windows.
    """
    (down, right), (top, left) = stride, corner
    for b in range(rows.shape[0]):
        for y in range(rows.shape[1]):
            line = y * down - top
            first, end = max(0, -line), min(rows.shape[3], x.shape[1] - line)
            for p in range(rows.shape[2]):
                at = p * right - left
                start, stop = max(0, -at), min(rows.shape[4], x.shape[2] - at)
                for i in range(first, end):
                    source = x[b, line + i, at + start : at + stop]
                    target = rows[b, y, p, i, start:stop]
                    for k in range(len(source)):
                        target[k] = source[k]


@compiled
def scatter(rows: NDArray[Any], stride: Pair, corner: Pair, x: NDArray[Any]) -> None:
    """Add windows to where `gather` takes them from: its transpose."""
    (down, right), (top, left) = stride, corner
    for b in range(rows.shape[0]):
        for y in range(rows.shape[1]):
            line = y * down - top
            first, end = max(0, -line), min(rows.shape[3], x.shape[1] - line)
            for p in range(rows.shape[2]):
                at = p * right - left
                start, stop = max(0, -at), min(rows.shape[4], x.shape[2] - at)
                for i in range(first, end):
                    source = rows[b, y, p, i, start:stop]
                    target = x[b, line + i, at + start : at + stop]
                    for k in range(len(target)):
                        target[k] += source[k]


@compiled
def pad(x: NDArray[Any], corner: Pair, padded: NDArray[Any]) -> None:
    """Copy pictures, [B, H, L], with zeros around them, in any type, to [B, H', L'].

    Args:
        x: pictures, lines of numbers.
        corner: lines above a picture, and numbers to its left.
        padded: written; ends where the last window does, which may be before a picture does.
    """
    (top, left), (_, lines, length) = corner, padded.shape
    width = min(x.shape[2], length - left)
    for b in range(len(x)):
        for y in range(lines):
            line = padded[b, y]
            is_inside = top <= y < top + x.shape[1]
            blank = left if is_inside else length
            for k in range(blank):
                line[k] = 0
            if is_inside:
                source, target, rest = (
                    x[b, y - top],
                    line[left : left + width],
                    line[left + width :],
                )
                for k in range(width):
                    target[k] = source[k]
                for k in range(len(rest)):
                    rest[k] = 0
