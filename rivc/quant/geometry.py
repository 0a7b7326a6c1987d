"""Where the zeros of `same` padding go."""

from __future__ import annotations


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return zeros before and after one axis; the odd one goes after.

    >>> same_padding(32, 3, 2)
    (0, 1)
    """
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def is_same_padding(
    padding: tuple[int, ...], shape: tuple[int, ...], window: tuple[int, int], stride: int
) -> bool:
    """Tell whether zeros at (top, left, bottom, right) of an HWC picture are those of `same`.

    >>> is_same_padding((0, 0, 1, 1), (32, 32, 3), (3, 3), 2)
    True
    """
    (top, bottom), (left, right) = (
        same_padding(n, k, stride) for n, k in zip(shape[:2], window, strict=True)
    )
    return padding == (top, left, bottom, right)
