"""What the windows of a conv2d or maxpool2d see of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert.program import Layer


def padded(layer: Layer, x: NDArray[Any]) -> NDArray[Any]:
    """Return pictures, [B, H, W, C], with the layer's zeros around them."""
    if not any(layer.padding):
        return x
    top, left, bottom, right = layer.padding
    batch, high, wide, channels = x.shape
    larger = np.zeros((batch, high + top + bottom, wide + left + right, channels), x.dtype)
    larger[:, top : top + high, left : left + wide] = x
    return larger


def windows(layer: Layer, x: NDArray[Any]) -> NDArray[Any]:
    """Return every window of pictures, [B, H, W, C] -> [B, h, w, C, kh, kw], as a view."""
    every = np.lib.stride_tricks.sliding_window_view(padded(layer, x), layer.window, axis=(1, 2))
    return every[:, :: layer.stride, :: layer.stride]
