r"""The layers of the emulator in numpy.

The integers ride in floats wide enough to be exact (checked for every program that is loaded), so
that a layer is one matrix product and five passes over its neurons. Windows of pictures are
gathered for a few states at a time, so that they stay in the cache.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.neurochip.staircase import FLOAT32, make_staircase, narrowest
from rivc.snn_convert.validate import MAX_LEVELS, membrane_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from rivc.snn_convert import Layer, SpikingProgram

    Counts = NDArray[Any]  # uint8 as they come in, then floats that hold them exactly
    Step = Callable[[Counts], Counts]
    Run = Callable[[Counts], tuple[NDArray[Any], NDArray[np.int64]]]  # readout and spikes
    Act = Callable[[NDArray[Any], NDArray[np.int64]], bool]

CACHE_BYTES: Final = 1 << 20  # of windows that are gathered at a time


class Calls(NamedTuple):
    """A program as one call.

    Attributes:
        run: from counts, [B, *shape], to readout and spikes.
        act: from an observation, and where to write its actions, to whether it could be taken; None
            where this takes more than one call.
    """

    run: Run
    act: Act | None = None


class Kernels(NamedTuple):
    """One way to run layers.

    Attributes:
        steps: by kind, from a layer, the shape and the largest count that it receives to the
            function from what it receives to what it emits, [B, *shape].
        totals: the spikes of each state.
        calls: from a program to all of its layers in one call; None where there is no such call.
    """

    steps: Mapping[str, Callable[[Layer, tuple[int, ...], int], Step]]
    totals: Callable[[Counts], NDArray[Any]]
    calls: Callable[[SpikingProgram], Calls | None] = lambda _: None


def _totals(x: Counts) -> NDArray[np.float64]:
    """The spikes of each state; rows of bounded length add up exactly in float32."""
    rows = x.reshape(len(x), math.prod(x.shape[1:]))
    if rows.shape[1] * MAX_LEVELS < FLOAT32:
        return np.asarray(rows @ np.ones(rows.shape[1], rows.dtype))
    return np.asarray(rows.sum(1, dtype=np.float64))


def sum_type(layer: Layer, levels_in: int) -> np.dtype[Any]:
    """Return the narrowest float type that holds every partial sum of the layer's inputs.

    The factor 2^F only moves the exponent, so it takes no bits.
    """
    return narrowest(layer.weight_norm * levels_in + 1)


def _dense(layer: Layer, _: tuple[int, ...], levels_in: int) -> Step:
    dtype = sum_type(layer, levels_in)
    weight = np.ascontiguousarray(layer.weight.T, dtype) * dtype.type(1 << layer.frac_bits)
    fire = make_staircase(layer, dtype, membrane_bits(layer, levels_in))
    return lambda x: fire(np.asarray(x.astype(dtype, copy=False) @ weight))


def _conv2d(layer: Layer, shape: tuple[int, ...], levels_in: int) -> Step:
    dtype = sum_type(layer, levels_in)
    out, _, kernel_h, kernel_w = layer.weight.shape
    columns = np.ascontiguousarray(layer.weight.transpose(2, 3, 1, 0), dtype).reshape(-1, out)
    columns *= dtype.type(1 << layer.frac_bits)
    height, width, _ = layer.output_shape(shape)
    patches = _patches(layer, (kernel_h, kernel_w), (height, width), shape[2])
    pad = _padder(layer, shape, dtype)
    # Long rows, of all the neurons of a picture, are faster than short ones.
    fire = make_staircase(layer, dtype, membrane_bits(layer, levels_in), height * width)

    def step(x: Counts) -> Counts:
        rows = patches(pad(x)).reshape(len(x) * height * width, len(columns))
        sums = (rows @ columns).reshape(len(x), height * width * out)
        return fire(sums).reshape(len(x), height, width, out)

    return few_at_a_time(step, height * width * len(columns))


def few_at_a_time(step: Step, window_size: int) -> Step:
    """Run a step on as many states at a time as the cache holds windows, `window_size` each."""
    few = max(1, CACHE_BYTES // (4 * window_size))

    def run(x: Counts) -> Counts:
        if len(x) <= few:
            return step(x)
        return np.concatenate([step(x[i : i + few]) for i in range(0, len(x), few)])

    return run


def _maxpool2d(layer: Layer, shape: tuple[int, ...], _: int) -> Step:
    height, width, channels = layer.output_shape(shape)
    patches = _patches(layer, (layer.kernel, layer.kernel), (height, width), channels)
    pad = _padder(layer, shape, np.dtype(np.float32))
    size = height * width * channels * layer.kernel**2
    return few_at_a_time(lambda x: np.asarray(patches(pad(x)).max(axis=(3, 4))), size)


def flatten(_: Layer, shape: tuple[int, ...], __: int) -> Step:
    """Order by height, width, channel, as pictures are."""
    size = math.prod(shape)
    return lambda x: x.reshape(len(x), size)


def _padder(layer: Layer, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Step:
    """Zeros around the picture and the cast to the carrier, in one copy."""
    top, left, bottom, right = layer.padding
    high, wide, channels = shape
    padded_shape = (high + top + bottom, wide + left + right, channels)

    def pad(x: Counts) -> Counts:
        if not any(layer.padding):
            return np.ascontiguousarray(x, dtype)
        padded = np.zeros((len(x), *padded_shape), dtype)
        padded[:, top : top + high, left : left + wide] = x
        return padded

    return pad


def _patches(
    layer: Layer, kernel: tuple[int, int], windows: tuple[int, int], channels: int
) -> Step:
    """Every window of a picture as a view, [B, H, W, kh, kw, C]."""
    (kernel_h, kernel_w), (height, width), stride = kernel, windows, layer.stride

    def view(x: Counts) -> Counts:
        b, h, w, c = x.strides
        shape = (len(x), height, width, kernel_h, kernel_w, channels)
        return np.ndarray(shape, x.dtype, x, strides=(b, h * stride, w * stride, h, w, c))

    return view


NUMPY: Final = Kernels(
    {"dense": _dense, "conv2d": _conv2d, "maxpool2d": _maxpool2d, "flatten": flatten}, _totals
)
