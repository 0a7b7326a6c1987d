r"""The definition of a program: int64, numpy, one line of arithmetic a layer.

Every other form (learner, emulator, spiking schedule, chip, C) must equal this one, integer for
integer. It is written to be read, not to be fast.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import QuantError
from rivc.snn_convert.windows import windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from rivc.snn_convert.program import Layer, SpikingProgram


def run(program: SpikingProgram, counts: ArrayLike) -> NDArray[np.int64]:
    """Return the readout of a program.

    Args:
        program: the program.
        counts: unsigned counts, [B, *shape], as `program.encode` gives them.

    Returns:
        Integers, int64, [B, d, n].

    Raises:
        QuantError: if the counts have the wrong shape or type, or exceed the input's range.
    """
    return trace(program, counts)[-1].reshape(-1, *program.action_layout)


def trace(program: SpikingProgram, counts: ArrayLike) -> list[NDArray[np.int64]]:
    """Return what every layer emits, one int64 array a layer; the last is the readout, [B, d * n].

    Raises:
        QuantError: as for `run`.
    """
    x = check_counts(program, counts).astype(np.int64)
    emitted = []
    for layer in program.layers:
        x = emit(layer, x)
        emitted.append(x)
    return emitted


def emit(layer: Layer, x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what one layer emits for what it receives, both int64 and channels last."""
    return _LAYERS[layer.kind](layer, x)


def check_counts(program: SpikingProgram, counts: ArrayLike) -> NDArray[np.uint8]:
    """Return the counts as an array, or raise QuantError if the program cannot take them."""
    x = np.asarray(counts)
    encoding = program.encoding
    if x.dtype != np.uint8 or x.shape[1:] != encoding.shape:
        raise QuantError(f"counts must be uint8 [B, {encoding.shape}], got {x.dtype} {x.shape}")
    if encoding.levels < 255 and x.size:
        encoding.check_counts(int(x.max()))
    return x


def staircase(layer: Layer, z: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the spike counts of weighted sums; the sums plus bias for a readout. Channels last."""
    if layer.is_readout:
        return z + layer.bias
    threshold = layer.threshold.astype(np.int64)
    v_mem = (z << layer.frac_bits) + layer.bias + threshold // 2
    return np.asarray(np.clip(v_mem // threshold, 0, layer.levels))


def weighted(layer: Layer, x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the weighted sums z of a dense or conv2d layer, channels last.

    They ride in float64, for BLAS multiplies no int64, and stay whole: a neuron of a program has at
    most 2^24 inputs (`validate.MAX_NEURONS`), each below 2^8 and weighed by at most 2^7, so that
    every partial sum, in any order, is below 2^39, and float64 holds all up to 2^53.
    """
    seen, weight = x.astype(np.float64), layer.weight.astype(np.float64)
    if layer.kind == "dense":
        z = seen @ weight.T
    else:
        z = np.tensordot(windows(layer, seen), weight, ((4, 5, 3), (2, 3, 1)))
    return z.astype(np.int64)


def _spiking(layer: Layer, x: NDArray[np.int64]) -> NDArray[np.int64]:
    return staircase(layer, weighted(layer, x))


def _maxpool2d(layer: Layer, x: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(windows(layer, x).max(axis=(-2, -1)))


def _flatten(layer: Layer, x: NDArray[np.int64]) -> NDArray[np.int64]:
    return x.reshape(len(x), math.prod(x.shape[1:]))


_LAYERS: Final[dict[str, Callable[[Layer, NDArray[Any]], NDArray[np.int64]]]] = {
    "dense": _spiking,
    "conv2d": _spiking,
    "maxpool2d": _maxpool2d,
    "flatten": _flatten,
}
