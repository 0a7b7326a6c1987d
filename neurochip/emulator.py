r"""The default chip: integer spike counts on this machine, as fast as numpy goes.

Counting spikes needs no ticks: the staircase of a layer is what L ticks of integrate-and-fire with
subtractive reset add up to. The integers ride in floats wide enough to be exact (checked for every
program that is loaded), so that a layer is one matrix product and five passes over its neurons.
Windows of pictures are gathered for a few states at a time, so that they stay in the cache.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import BackendError
from rivc.neurochip.backend import Inference, Violation, require_fit
from rivc.neurochip.limits import ChipLimits
from rivc.neurochip.staircase import FLOAT32, narrowest, staircase
from rivc.quant.exact import SIGNIFICAND
from rivc.snn_convert.reference import check_counts
from rivc.snn_convert.validate import MAX_LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.snn_convert import Layer, SpikingProgram

    Counts = NDArray[Any]  # uint8 as they come in, then floats that hold them exactly
    Step = Callable[[Counts], Counts]

CACHE_BYTES: Final = 1 << 20  # of windows that are gathered at a time

# Sign included, so one bit of the significand is left, which keeps the floor of a quotient exact.
LIMITS: Final = ChipLimits(membrane_bits=SIGNIFICAND["float64"])


class Emulator:
    """A chip of exact integers and no time; see the module.

    Example:
        >>> from rivc.neurochip import load_backend
        >>> chip = load_backend("emulator")
        >>> chip.name
        'emulator'
    """

    name = "emulator"
    profile = "ideal"
    limits = LIMITS

    def __init__(self) -> None:
        self._program: SpikingProgram | None = None
        self._steps: list[tuple[Step, bool]] = []

    def check(self, program: SpikingProgram) -> list[Violation]:
        """Return every limit that the program exceeds: only widths beyond float64 do."""
        return self.limits.violations(program)

    def load(self, program: SpikingProgram) -> None:
        """Prepare the kernels of a program."""
        require_fit(self, program)
        self._steps = [
            (_KERNELS[layer.kind](layer, shape, levels_in, bits), layer.levels > 0)
            for layer, shape, levels_in, bits in zip(
                program.layers,
                program.shapes,
                program.levels_in,
                program.membrane_bits,
                strict=False,
            )
        ]
        self._program = program

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        """Run the loaded program on unsigned counts, uint8, [B, *shape]."""
        if self._program is None:
            raise BackendError("no program is loaded on the emulator; call load(program) first")
        x: Counts = check_counts(self._program, counts)
        spikes = []
        for step, fires in self._steps:
            x = step(x)
            if fires:
                spikes.append(_totals(x))
        readout = x.astype(np.int64).reshape(-1, *self._program.action_layout)
        totals = np.array(spikes, np.int64).reshape(len(spikes), len(x))
        return Inference(readout, totals)

    def close(self) -> None:
        """Forget the program."""
        self._program, self._steps = None, []


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
    rows = np.abs(layer.weight).reshape(len(layer.weight), -1).sum(1, dtype=np.int64)
    return narrowest(int(rows.max()) * levels_in + 1)


def _dense(layer: Layer, _: tuple[int, ...], levels_in: int, membrane_bits: int) -> Step:
    dtype = sum_type(layer, levels_in)
    weight = np.ascontiguousarray(layer.weight.T, dtype) * dtype.type(1 << layer.frac_bits)
    fire = staircase(layer, dtype, membrane_bits)
    return lambda x: fire(np.asarray(x.astype(dtype, copy=False) @ weight))


def _conv2d(layer: Layer, shape: tuple[int, ...], levels_in: int, membrane_bits: int) -> Step:
    dtype = sum_type(layer, levels_in)
    out, _, kernel_h, kernel_w = layer.weight.shape
    columns = np.ascontiguousarray(layer.weight.transpose(2, 3, 1, 0), dtype).reshape(-1, out)
    columns *= dtype.type(1 << layer.frac_bits)
    height, width, _ = layer.output_shape(shape)
    patches = _patches(layer, (kernel_h, kernel_w), (height, width), shape[2])
    pad = _padder(layer, shape, dtype)
    fire = staircase(_unrolled(layer, height * width), dtype, membrane_bits)

    def step(x: Counts) -> Counts:
        rows = patches(pad(x)).reshape(len(x) * height * width, len(columns))
        sums = (rows @ columns).reshape(len(x), height * width * out)
        return fire(sums).reshape(len(x), height, width, out)

    return _few_at_a_time(step, height * width * len(columns))


def _few_at_a_time(step: Step, window_size: int) -> Step:
    """Run a step on as many states at a time as the cache holds windows, `window_size` each."""
    few = max(1, CACHE_BYTES // (4 * window_size))

    def run(x: Counts) -> Counts:
        if len(x) <= few:
            return step(x)
        return np.concatenate([step(x[i : i + few]) for i in range(0, len(x), few)])

    return run


def _unrolled(layer: Layer, pixels: int) -> Layer:
    """A layer with a threshold and a bias for each neuron: long rows are faster than short ones."""
    return replace(
        layer, threshold=np.tile(layer.threshold, pixels), bias=np.tile(layer.bias, pixels)
    )


def _maxpool2d(layer: Layer, shape: tuple[int, ...], _: int, __: int) -> Step:
    height, width, channels = layer.output_shape(shape)
    patches = _patches(layer, (layer.kernel, layer.kernel), (height, width), channels)
    pad = _padder(layer, shape, np.dtype(np.float32))
    size = height * width * channels * layer.kernel**2
    return _few_at_a_time(lambda x: np.asarray(patches(pad(x)).max(axis=(3, 4))), size)


def _flatten(_: Layer, shape: tuple[int, ...], __: int, ___: int) -> Step:
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


_KERNELS: Final = {"dense": _dense, "conv2d": _conv2d, "maxpool2d": _maxpool2d, "flatten": _flatten}
