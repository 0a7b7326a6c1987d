r"""From weighted sums to spike counts in floats, exactly.

A layer's sums arrive scaled as :math:`2^F z`, in a float type that holds them. With offset
:math:`o = B + \lfloor th / 2 \rfloor` the count is

.. math:: clip(\lfloor (2^F z + o) / th \rfloor, 0, L)

Large sums need float64 in the quotient, unless they are cut off first: where :math:`th \ge 2^F`,
every sum below

.. math:: z_0 = \lceil -o / 2^F \rceil

counts 0 like :math:`z_0` itself, and every sum above :math:`z_L = \lceil (L th - o) / 2^F \rceil`
counts L like :math:`z_L`. What is left is below :math:`(L + 1) th`, which float32 nearly always
holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.quant.exact import SIGNIFICAND

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.snn_convert import Layer

    Step = Callable[[NDArray[Any]], NDArray[Any]]

FLOAT32: Final = 1 << SIGNIFICAND["float32"]


def narrowest(bound: int) -> np.dtype[Any]:
    """Return the narrowest float type that holds every integer of magnitude below `bound`.

    >>> narrowest(1 << 24), narrowest((1 << 24) + 1)
    (dtype('float32'), dtype('float64'))
    """
    return np.dtype(np.float32 if bound <= FLOAT32 else np.float64)


def membrane_type(layer: Layer, membrane_bits: int) -> np.dtype[Any]:
    """Return the narrowest float type in which the quotient of every membrane floors exactly."""
    quotient = int(layer.threshold.max()) * (layer.levels + 1) if layer.levels else 0
    return narrowest(1 << max(membrane_bits, quotient.bit_length() + 1))


def make_staircase(layer: Layer, sums: np.dtype[Any], membrane_bits: int, pixels: int = 1) -> Step:
    """Return the function from scaled sums to counts or a readout; it may overwrite.

    Args:
        layer: dense or conv2d.
        sums: float type of the sums, [..., pixels * out].
        membrane_bits: bits, sign included, that hold every membrane.
        pixels: how many neurons have the threshold and bias of a channel.
    """
    membranes = membrane_type(layer, membrane_bits)
    if layer.is_readout:
        bias = layer.bias.astype(membranes)
        return lambda z: np.asarray(z + bias)
    if membranes != np.float32 and _cuts_to_float32(layer):
        return _cut_first(layer, sums, pixels)
    return _clip_last(layer, membranes, pixels)


def _clip_last(layer: Layer, dtype: np.dtype[Any], pixels: int) -> Step:
    threshold, offset = (
        np.tile(part, pixels).astype(dtype) for part in (layer.threshold, firing_offset(layer))
    )
    top = dtype.type(layer.levels)

    def fire(z: NDArray[Any]) -> NDArray[Any]:
        v_mem = z.astype(dtype, copy=False)
        v_mem += offset
        v_mem /= threshold
        np.clip(v_mem, 0, top, out=v_mem)
        return np.asarray(np.floor(v_mem, out=v_mem))

    return fire


def _cut_first(layer: Layer, sums: np.dtype[Any], pixels: int) -> Step:
    low, high = (np.tile(bound, pixels).astype(sums) for bound in _cuts(layer))
    threshold, offset = (
        np.tile(part, pixels).astype(np.float32) for part in (layer.threshold, firing_offset(layer))
    )

    def fire(z: NDArray[Any]) -> NDArray[Any]:
        np.maximum(z, low, out=z)
        np.minimum(z, high, out=z)
        v_mem = z.astype(np.float32, copy=False)
        v_mem += offset
        v_mem /= threshold
        return np.asarray(np.floor(v_mem, out=v_mem))

    return fire


def _cuts(layer: Layer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The scaled sums 2^F z_0 and 2^F z_L of each channel."""
    gain, offset = layer.frac_bits, firing_offset(layer)
    top = offset - layer.levels * layer.threshold.astype(np.int64)
    return -(offset >> gain) << gain, -(top >> gain) << gain


def _cuts_to_float32(layer: Layer) -> bool:
    """Tell whether cutting is right for every channel, and leaves what float32 holds."""
    threshold, gain = layer.threshold.astype(np.int64), 1 << layer.frac_bits
    reach = max(int(np.abs(part).max()) for part in (*_cuts(layer), firing_offset(layer)))
    return (
        int(threshold.min()) >= gain
        and int(threshold.max()) * (layer.levels + 1) < FLOAT32 // 2
        and reach < FLOAT32
    )


def firing_offset(layer: Layer) -> NDArray[np.int64]:
    """Return B + floor(th / 2) of each channel: what a membrane is before it receives anything."""
    return layer.bias.astype(np.int64) + layer.threshold.astype(np.int64) // 2
