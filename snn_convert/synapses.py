r"""The linear part of a layer as an operator: forwards on counts, backwards on what they weigh.

.. math:: z = W x, \qquad a = W^T g

both for dense layers and convolutions, on batches, in float64. Inputs, weights and sums are whole
numbers; as long as they stay below 2^53 every partial sum is exact in any order, so that the
operator is as exact as the reference and as fast as a matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rivc.snn_convert.windows import windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert.program import Layer

    Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Synapses:
    """The weights of a dense or conv2d layer between two shapes.

    Attributes:
        layer: whose weights they are.
        shape: of what the layer receives, without the batch.
        matrix: weights as a matrix, channels last like the inputs, [taps, out].

    Example:
        >>> from rivc.snn_convert import Layer
        >>> layer = Layer("dense", np.array([[1, -2], [0, 3]], np.int8))
        >>> synapses = Synapses.of(layer, (2,))
        >>> synapses.forwards(np.array([[5.0, 1.0]])).tolist()
        [[3.0, 3.0]]
        >>> synapses.backwards(np.array([[1.0, 1.0]])).tolist()
        [[1.0, 1.0]]
    """

    layer: Layer
    shape: tuple[int, ...]
    matrix: Reals

    @classmethod
    def of(cls, layer: Layer, shape: tuple[int, ...]) -> Synapses:
        """Return the synapses of a layer that receives inputs of a shape."""
        weight = layer.weight.astype(np.float64)
        if layer.kind == "conv2d":
            weight = weight.transpose(0, 2, 3, 1)
        return cls(layer, shape, np.ascontiguousarray(weight.reshape(len(weight), -1).T))

    def magnitudes(self) -> Synapses:
        """Return the same synapses without their signs."""
        return replace(self, matrix=np.abs(self.matrix))

    def widest_fan_out(self) -> float:
        """Return a bound on the sum of magnitudes of what any one input drives."""
        taps = math.prod(self.layer.window) if self.layer.kind == "conv2d" else 1
        rows = np.abs(self.matrix).sum(1).reshape(taps, -1)
        return float(rows.sum(0).max())

    def forwards(self, x: Reals) -> Reals:
        """Return weighted sums, [B, *out shape], of inputs, [B, *shape]."""
        if self.layer.kind == "dense":
            return np.asarray(x @ self.matrix)
        taps = unfold(self.layer, x)
        sums = taps.reshape(-1, len(self.matrix)) @ self.matrix
        return np.asarray(sums.reshape(*taps.shape[:3], self.matrix.shape[1]))

    def backwards(self, g: Reals) -> Reals:
        """Return for each input, [B, *shape], the weighted sum of what it drives."""
        if self.layer.kind == "dense":
            return np.asarray(g @ self.matrix.T)
        *where, out = g.shape
        taps = g.reshape(-1, out) @ self.matrix.T
        return fold(
            self.layer, taps.reshape(*where, *self.layer.window, self.shape[-1]), self.shape
        )


def unfold(layer: Layer, x: Reals) -> Reals:
    """Return what every window of a conv2d or maxpool2d sees, [B, H, W, kh, kw, C]."""
    return np.ascontiguousarray(windows(layer, x).transpose(0, 1, 2, 4, 5, 3))


def fold(layer: Layer, taps: Reals, shape: tuple[int, ...]) -> Reals:
    """Add up windows, [B, H, W, kh, kw, C], where they overlap: the transpose of `unfold`."""
    (top, left, bottom, right), step = layer.padding, layer.stride
    batch, high, wide, kernel_h, kernel_w, channels = taps.shape
    image = np.zeros((batch, shape[0] + top + bottom, shape[1] + left + right, channels))
    for i in range(kernel_h):
        for j in range(kernel_w):
            rows = slice(i, i + (high - 1) * step + 1, step)
            columns = slice(j, j + (wide - 1) * step + 1, step)
            image[:, rows, columns] += taps[:, :, :, i, j]
    return image[:, top : top + shape[0], left : left + shape[1]]


def flat(x: Reals) -> Reals:
    """Return a batch of vectors."""
    return x.reshape(len(x), math.prod(x.shape[1:]))
