r"""The default chip: integer spike counts on this machine, as fast as numpy goes.

Counting spikes needs no ticks: the staircase of a layer is what L ticks of integrate-and-fire with
subtractive reset add up to. The integers ride in floats wide enough to be exact (checked for every
program that is loaded), so that a layer is one matrix product and five passes over its neurons.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import BackendError
from rivc.neurochip.backend import Inference, Violation, require_fit
from rivc.neurochip.limits import ChipLimits
from rivc.quant.exact import SIGNIFICAND
from rivc.snn_convert.reference import check_counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.snn_convert import Layer, SpikingProgram

    Counts = NDArray[Any]  # uint8 as they come in, then floats that hold them exactly
    Step = Callable[[Counts], Counts]

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
            (_KERNELS[layer.kind](layer, shape, carrier_of(layer, bits)), layer.levels > 0)
            for layer, shape, bits in zip(
                program.layers, program.shapes, program.membrane_bits, strict=False
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
                spikes.append(x.sum(axis=tuple(range(1, x.ndim)), dtype=np.float64))
        readout = x.astype(np.int64).reshape(-1, *self._program.action_layout)
        totals = np.array(spikes, np.int64).reshape(len(spikes), len(x))
        return Inference(readout, totals)

    def close(self) -> None:
        """Forget the program."""
        self._program, self._steps = None, []


def carrier_of(layer: Layer, membrane_bits: int) -> np.dtype[Any]:
    """Return the narrowest float type in which this layer, with its present weights, is exact."""
    if not layer.has_weights:
        return np.dtype(np.float32)
    quotient = int(layer.threshold.max()) * (layer.levels + 1) if layer.levels else 0
    bits = max(membrane_bits, quotient.bit_length() + 1)
    return np.dtype(np.float32 if bits <= SIGNIFICAND["float32"] else np.float64)


def _staircase(layer: Layer, dtype: np.dtype[Any]) -> Step:
    """What happens to the weighted sums, in place."""
    bias = layer.bias.astype(dtype)
    if layer.is_readout:
        return lambda z: np.add(z, bias, out=z)
    threshold = layer.threshold.astype(dtype)
    offset = bias + np.floor(threshold / 2)
    top = dtype.type(layer.levels)

    def fire(v_mem: Counts) -> Counts:
        v_mem += offset
        v_mem /= threshold
        np.maximum(v_mem, 0, out=v_mem)
        np.minimum(v_mem, top, out=v_mem)
        return np.floor(v_mem, out=v_mem)

    return fire


def _dense(layer: Layer, _: tuple[int, ...], dtype: np.dtype[Any]) -> Step:
    weight = np.ascontiguousarray(layer.weight.T, dtype) * dtype.type(1 << layer.frac_bits)
    fire = _staircase(layer, dtype)
    return lambda x: fire(x.astype(dtype, copy=False) @ weight)


def _conv2d(layer: Layer, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Step:
    out, _, kernel_h, kernel_w = layer.weight.shape
    columns = np.ascontiguousarray(layer.weight.transpose(2, 3, 1, 0), dtype).reshape(-1, out)
    columns *= dtype.type(1 << layer.frac_bits)
    height, width, _ = layer.output_shape(shape)
    patches = _patches(layer, (kernel_h, kernel_w), (height, width), shape[2])
    pad = _padder(layer, shape, dtype)
    fire = _staircase(layer, dtype)

    def step(x: Counts) -> Counts:
        rows = patches(pad(x)).reshape(len(x) * height * width, len(columns))
        return fire(rows @ columns).reshape(len(x), height, width, out)

    return step


def _maxpool2d(layer: Layer, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Step:
    height, width, channels = layer.output_shape(shape)
    patches = _patches(layer, (layer.kernel, layer.kernel), (height, width), channels)
    pad = _padder(layer, shape, dtype)
    return lambda x: patches(pad(x)).max(axis=(3, 4))


def _flatten(_: Layer, shape: tuple[int, ...], __: np.dtype[Any]) -> Step:
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
        strides = (b, h * stride, w * stride, h, w, c)
        return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)

    return view


_KERNELS: Final = {"dense": _dense, "conv2d": _conv2d, "maxpool2d": _maxpool2d, "flatten": _flatten}
