r"""The unary form: one integrate-and-fire neuron for every count level, firing at most once.

A neuron of a program counts to L by firing, resetting by subtraction, and firing again. NIR's
neurons reset to a value, and readers differ. So its count is written as L neurons, of which the
k-th fires if and only if the count is k or more:

.. math::
    count \ge k \iff 2^F z + B + \lfloor th / 2 \rfloor \ge k \, th \iff z \ge t_k, \quad
    t_k = \lceil (k \, th - B - \lfloor th / 2 \rfloor) / 2^F \rceil

All of it happens in one tick from the state of rest: what a reset would do is never asked, and
biases, which enter with every tick, enter once. The charge of a level is the integer
:math:`z + 1 - t_k` and the threshold 1/2, so that :math:`>` and :math:`\ge` agree.

Each spiking layer is four nodes from counts to counts: weights (the program's own), levels (copies
each sum, adds :math:`1 - t_k`), neurons, counts (adds up what fired). Pooling makes counts unary,
takes OR over each window (a neuron on the sum of its spikes), and adds up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nir
import numpy as np

from rivc.neurochip.export.nir import nodes
from rivc.neurochip.export.nir.limits import reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.neurochip.export.nir.nodes import Chain
    from rivc.snn_convert import Layer, SpikingProgram


def build(program: SpikingProgram) -> nir.NIRGraph:
    """Return the unary graph of a program that `limits` lets pass.

    It takes counts as currents, [n] or CHW, and gives the readout, [d * n], in its first tick.
    """
    chain: Chain = []
    picture = None
    for i, layer in enumerate(program.layers):
        shape, levels = program.shapes[i], program.levels_in[i]
        if layer.kind == "dense":
            part = _dense(layer, nodes.dense_weight(layer, picture), levels)
        elif layer.kind == "flatten":
            part = nodes.flatten(shape)
        else:
            part = (_conv2d if layer.kind == "conv2d" else _maxpool2d)(layer, shape, levels)
        picture = shape if layer.kind == "flatten" else None
        chain += nodes.numbered(i, part)
    return nodes.graph(program, chain, {"form": "unary", "ticks": 1})


def _dense(layer: Layer, weight: NDArray[np.int8], levels_in: int) -> Chain:
    if layer.is_readout:
        return [("readout", nodes.affine(weight, layer.bias))]
    return [
        ("weights", nodes.affine(weight)),
        *_firing(least_sums(layer, reach(layer, levels_in)), ()),
    ]


def _conv2d(layer: Layer, shape: tuple[int, ...], levels_in: int) -> Chain:
    window = nodes.square_window(layer, shape)
    weights = nodes.conv2d(
        window.embed(layer.weight), window.size, stride=layer.stride, padding=window.padding
    )
    return [
        *nodes.extension(window, shape),
        ("weights", weights),
        *_firing(least_sums(layer, reach(layer, levels_in)), layer.output_shape(shape)[:2]),
    ]


def _maxpool2d(layer: Layer, shape: tuple[int, ...], levels: int) -> Chain:
    window, channels = nodes.square_window(layer, shape), shape[2]
    size = layer.output_shape(shape)[:2]
    every_level = np.tile(np.arange(1, levels + 1), (channels, 1))
    ones = np.ones((1, 1, layer.kernel, layer.kernel))
    weight = window.embed(np.eye(channels * levels)[:, :, None, None] * ones)
    pool = nodes.conv2d(weight, window.size, stride=layer.stride, padding=window.padding)
    return [
        *nodes.extension(window, shape),
        *_firing(every_level, window.size)[:-1],
        ("pool", pool),
        ("pool_neurons", _neurons((channels * levels, *size))),
        _counts(channels, levels, size),
    ]


def least_sums(layer: Layer, drive: int) -> NDArray[np.int64]:
    """Return t_k of the module, the least weighted sum for every count, int64, [out, L].

    Where no sum within +-drive lies on both sides of t_k, the nearest value that acts alike.

    >>> from rivc.snn_convert import Layer
    >>> one = np.ones((1, 1), np.int8)
    >>> stairs = {"bias": np.int32([5]), "threshold": np.int32([12]), "frac_bits": 1, "levels": 3}
    >>> least_sums(Layer("dense", one, weight_bits=2, **stairs), 9)
    array([[ 1,  7, 10]])
    """
    threshold = layer.threshold.astype(np.int64)[:, None]
    k = np.arange(1, layer.levels + 1)
    needed = k * threshold - layer.bias[:, None] - threshold // 2
    return np.asarray(np.clip(-(-needed >> layer.frac_bits), -drive, drive + 1))


def _firing(least: NDArray[np.int64], size: tuple[int, ...]) -> Chain:
    """From sums to counts: the k-th neuron of a channel fires from `least[channel, k - 1]` up."""
    channels, levels = least.shape
    copies = np.repeat(np.eye(channels, dtype=np.float32), levels, axis=0)
    return [
        ("levels", nodes.mix(copies, size, 1 - least.ravel())),
        ("neurons", _neurons((channels * levels, *size))),
        _counts(channels, levels, size),
    ]


def _counts(channels: int, levels: int, size: tuple[int, ...]) -> tuple[str, nir.NIRNode]:
    return "counts", nodes.mix(np.repeat(np.eye(channels), levels, axis=1), size)


def _neurons(shape: tuple[int, ...]) -> nir.IF:
    def everywhere(value: float) -> NDArray[Any]:
        return np.full(shape, value, np.float32)

    return nir.IF(r=everywhere(nodes.R), v_threshold=everywhere(0.5), v_reset=everywhere(0))
