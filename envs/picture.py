"""What counts as a picture, and arithmetic on it, in integers so that it is the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from gymnasium import spaces

if TYPE_CHECKING:
    from numpy.typing import NDArray

LUMA: Final = np.array([77, 150, 29], dtype=np.uint16)  # Rec. 601 weights in 256ths


def to_grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma of pictures, uint8, [..., H, W, 3] -> [..., H, W, 1].

    Example:
        >>> to_grey(np.array([[[255, 255, 255], [255, 0, 0]]], dtype=np.uint8)).tolist()
        [[[255], [77]]]
    """
    luma = (picture @ LUMA + np.uint16(128)) >> 8
    return np.asarray(luma[..., None], dtype=np.uint8)


def depth_levels(
    depth_m: NDArray[np.floating[Any]], range_m: tuple[float, float]
) -> NDArray[np.uint8]:
    r"""Return distances as a picture, float, [..., H, W] -> uint8, [..., H, W, 1].

    .. math:: 255 \, (f - z) / (f - n)

    clipped and rounded, for the distance `z`, the near end `n` and the far end `f`: what is near is
    bright, and what is far or missing (infinite) is 0, for which no neuron spikes.

    Args:
        depth_m: metres, infinite where there is nothing.
        range_m: near and far end.

    Example:
        >>> depth_levels(np.array([[0.0, 1.0, 2.0, np.inf]]), (1.0, 3.0))[0, :, 0].tolist()
        [255, 255, 128, 0]
    """
    near_m, far_m = range_m
    levels = (far_m - depth_m) * (255 / (far_m - near_m))
    return np.asarray(np.clip(levels, 0, 255) + 0.5, dtype=np.uint8)[..., None]


def picture_shape(space: spaces.Space[Any]) -> tuple[int, int, int] | None:
    """Return height, width and channels of a space of pictures, or None if it is another space.

    A picture is uint8, [H, W, 1] or [H, W, 3].
    """
    if not (isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3):
        return None
    height, width, channels = space.shape
    return (height, width, channels) if channels in (1, 3) else None
