"""Windows of pictures: where they lie, as rows of a matrix, and back; importing this needs numba.

A convolution then is one product of matrices, on the emulator as in training. A dense layer is one
too: its picture is one line, which is its only window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.compiled import compiled
from rivc.quant.views import view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Windows = Any  # a record of `WINDOWS`

WINDOWS: Final = np.dtype(
    [
        ("lines", np.int64),  # of a picture
        ("length", np.int64),  # of a line, in numbers
        ("kernel", np.int64),  # lines of a window
        ("line", np.int64),  # numbers of one of them
        ("down", np.int64),  # windows of a picture
        ("across", np.int64),
        ("step", np.int64),  # lines from one to the next
        ("right", np.int64),  # numbers from one to the next
        ("top", np.int64),  # lines padded above a picture
        ("left", np.int64),  # numbers padded before a line
        ("padded_lines", np.int64),  # up to where windows end
        ("padded_length", np.int64),
        ("is_whole", np.bool_),  # a picture ends where windows do, with nothing around it
        ("is_row", np.bool_),  # a picture is one line and one window: a row of a matrix
    ]
)


def windows_of(
    received: tuple[int, ...],
    window: tuple[int, int] = (1, 1),
    stride: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Windows:
    """Return the windows of pictures.

    Args:
        received: shape of a picture, (H, W, C); (inputs,) of a dense layer.
        window: lines and columns.
        stride: in both directions.
        padding: zeros at top, left, bottom, right.

    Example:
        >>> windows = windows_of((32, 32, 3), (3, 3), 2, (0, 0, 1, 1))
        >>> int(windows["down"]), int(windows["line"]), int(windows["padded_length"])
        (16, 9, 99)
    """
    height, width, planes = (1, 1, *received)[-3:]
    (kernel, side), (top, left, bottom, right) = window, padding
    down = (top + height + bottom - kernel) // stride + 1
    across = (left + width + right - side) // stride + 1
    picture = height, width * planes
    padded = (down - 1) * stride + kernel, ((across - 1) * stride + side) * planes
    steps = stride, stride * planes, top, left * planes
    is_whole = padded == picture and not any(padding)
    is_row = is_whole and kernel == down == across == 1
    places = *picture, kernel, side * planes, down, across, *steps, *padded, is_whole, is_row
    [record] = np.array([places], WINDOWS)
    return record


@compiled
def gather(x: NDArray[Any], windows: Windows, rows: NDArray[Any]) -> None:
    """Write the windows of pictures, flat, to rows, [B * h * w, kh * kw * C].

    What lies outside of a picture is left as it is.
    """
    pictures, out = _pictures(x, windows), _by_line(rows, windows)
    for b in range(out.shape[0]):
        for y in range(out.shape[1]):
            for p in range(out.shape[2]):
                (line, at), (first, end), (start, stop) = _inside(windows, y, p)
                for i in range(first, end):
                    source = pictures[b, line + i, at + start : at + stop]
                    target = out[b, y, p, i, start:stop]
                    for k in range(len(source)):
                        target[k] = source[k]


@compiled
def scatter(rows: NDArray[Any], windows: Windows, x: NDArray[Any]) -> None:
    """Add windows to where `gather` takes them from: its transpose."""
    pictures, given = _pictures(x, windows), _by_line(rows, windows)
    for b in range(given.shape[0]):
        for y in range(given.shape[1]):
            for p in range(given.shape[2]):
                (line, at), (first, end), (start, stop) = _inside(windows, y, p)
                for i in range(first, end):
                    source = given[b, y, p, i, start:stop]
                    target = pictures[b, line + i, at + start : at + stop]
                    for k in range(len(target)):
                        target[k] += source[k]


@compiled
def pad(x: NDArray[Any], windows: Windows, padded: NDArray[Any], blank: Any = 0) -> None:
    """Copy pictures, flat, with `blank` around them, up to where windows end; in any type."""
    pictures = _pictures(x, windows)
    count, lines, length = len(pictures), windows.padded_lines, windows.padded_length
    out = view(padded, 0, (count, lines, length))
    top, left = windows.top, windows.left
    width = min(pictures.shape[2], length - left)
    for b in range(count):
        for y in range(lines):
            line = out[b, y]
            is_inside = top <= y < top + pictures.shape[1]
            before = left if is_inside else length
            for k in range(before):
                line[k] = blank
            if is_inside:
                source, target = pictures[b, y - top], line[left : left + width]
                rest = line[left + width :]
                for k in range(width):
                    target[k] = source[k]
                for k in range(len(rest)):
                    rest[k] = blank


@compiled
def place_of_line(windows: Windows, line: int) -> Any:
    """Return where a line of windows, counted over all pictures, begins in padded ones."""
    b, y = divmod(line, windows.down)
    return (b * windows.padded_lines + y * windows.step) * windows.padded_length


@compiled
def _inside(windows: Windows, y: int, p: int) -> Any:
    """Return where a window begins, and which of its lines and numbers lie within the picture."""
    line, at = y * windows.step - windows.top, p * windows.right - windows.left
    lines = max(0, -line), min(windows.kernel, windows.lines - line)
    numbers = max(0, -at), min(windows.line, windows.length - at)
    return (line, at), lines, numbers


@compiled
def _pictures(x: NDArray[Any], windows: Windows) -> Any:
    """View numbers as pictures, [B, H, W * C]."""
    count = len(x) // (windows.lines * windows.length)
    return view(x, 0, (count, windows.lines, windows.length))


@compiled
def _by_line(rows: NDArray[Any], windows: Windows) -> Any:
    """View rows as windows, [B, h, w, kh, kw * C]."""
    down, across = windows.down, windows.across
    count = len(rows) // (down * across)
    return view(rows, 0, (count, down, across, windows.kernel, windows.line))
