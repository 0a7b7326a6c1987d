r"""The compact form: one neuron for every neuron of the program, in phases of ticks.

NIR cannot say that a reset subtracts, what a membrane starts with, or when a layer may fire; the
metadata of the neurons do. The input fires in phase 0, a count c as spikes in the first c ticks.
A neuron of phase p gathers the spikes of phase p - 1 and then, for its L ticks, fires while its
membrane exceeds the threshold:

.. math::
    v_0 = B + \lfloor th / 2 \rfloor + 1/2 + 2^F w * x, \quad
    s_t = [v_t > th], \quad v_{t+1} = v_t - s_t \, th

Pooling neurons belong to the phase of their input: since a count is always its phase's first
ticks, OR in every tick is the maximum. The readout is the membrane of an integrator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nir
import numpy as np

from rivc.neurochip.export.nir import nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.neurochip.export.nir.nodes import Chain
    from rivc.snn_convert import Layer, SpikingProgram


def build(program: SpikingProgram) -> nir.NIRGraph:
    """Return the compact graph of a program that `limits` lets pass."""
    chain: Chain = []
    phase, picture = 0, None
    for i, layer in enumerate(program.layers):
        shape = program.shapes[i]
        phase += layer.has_weights
        if layer.kind == "flatten":
            part = nodes.flatten(shape)
        else:
            part = [
                *_synapses(layer, shape, picture),
                _neurons(layer, program.shapes[i + 1], phase, program.levels_in[i]),
            ]
        picture = shape if layer.kind == "flatten" else None
        chain += nodes.numbered(i, part)
    return nodes.graph(program, chain, {"form": "compact", "code": "first ticks of a phase"})


def _synapses(layer: Layer, shape: tuple[int, ...], picture: tuple[int, ...] | None) -> Chain:
    if layer.kind == "dense":
        weight = nodes.dense_weight(layer, picture).astype(float) * 2**layer.frac_bits
        return [("weights", nodes.affine(weight))]
    window = nodes.square_window(layer, shape)
    if layer.kind == "conv2d":
        weight = layer.weight.astype(float) * 2**layer.frac_bits
    else:
        weight = np.eye(shape[2])[:, :, None, None] * np.ones((1, 1, *layer.window))
    conv = nodes.conv2d(
        window.embed(weight), window.size, stride=layer.stride, padding=window.padding
    )
    return [*nodes.extension(window, shape), ("weights", conv)]


def _neurons(
    layer: Layer, shape: tuple[int, ...], phase: int, levels_in: int
) -> tuple[str, nir.NIRNode]:
    shape = nodes.channels_first(shape)
    r = np.full(shape, nodes.R)
    about: dict[str, Any] = {"phase": phase, "ticks": layer.levels or levels_in}
    if layer.is_readout:
        about = {"phase": phase, "initial_membrane": layer.bias.astype(np.float64)}
        return "readout", nir.I(r, metadata=about)
    if layer.kind == "maxpool2d":
        about |= {"reset": "to v_reset", "comparator": ">", "initial_membrane": np.zeros(shape)}
        return "neurons", nir.IF(r, np.full(shape, 0.5), np.zeros(shape), metadata=about)
    threshold = layer.threshold.astype(np.float64)
    about |= {"reset": "subtract", "comparator": ">", "frac_bits": layer.frac_bits}
    about["initial_membrane"] = nodes.spread(_initial(layer), shape)
    return "neurons", nir.IF(r, nodes.spread(threshold, shape), np.zeros(shape), metadata=about)


def _initial(layer: Layer) -> NDArray[np.float64]:
    """Bias, half a threshold for rounding, and a half that no tie survives."""
    return np.asarray(layer.bias + (layer.threshold // 2 + 0.5), np.float64)
