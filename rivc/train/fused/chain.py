"""A chain of dense layers as flat arrays, and the compiled passes over it.

A pass is one call, whatever the number of layers. Where the arrays of a layer lie in the flat ones
is data, so that the loops are compiled once for all networks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.quant.compiled import compiled
from rivc.quant.qat.loops import fire, unfire
from rivc.train.fused.centred import add_gradient, add_values, split
from rivc.train.fused.kernels import (
    hidden_thresholds,
    quantize_weights,
    readout_bias,
    sum_rows,
    weight_scales,
)
from rivc.train.fused.products import NARROW, multiply, multiply_rows, transpose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]
    Record = Any

LAYER: Final = np.dtype(
    [
        ("units", np.int64),
        ("inputs", np.int64),
        ("is_real", np.bool_),  # of float training, which ignores the chip
        ("weight", np.int64),  # first place in the vector of parameters
        ("bias", np.int64),
        ("log_step", np.int64),
        ("synapses", np.int64),  # first place among all weights
        ("neurons", np.int64),  # and among all units
        ("q_max", np.int64),  # largest weight
        ("gaussian", np.float64),  # Gaussian step, or 0 for binary weights
        ("gain", np.float64),  # 2^F
        ("levels", np.float64),  # largest count; 0 in a readout
        ("zero", np.float64),  # count that stands for zero at the input
        ("least", np.float64),  # threshold
        ("largest", np.float64),  # threshold
        ("room", np.float64),  # largest bias
        ("groups", np.int64),  # of a centred readout; 0 elsewhere
    ]
)


class Chain(NamedTuple):
    """Everything that the passes read and write.

    Attributes:
        layers: `LAYER` records, [layers].
        rows: of the largest pass.
        values: parameters, float32, [P].
        grad: of a loss, float32, [P].
        w_q: weights that sums are taken with, [C, I] of each layer, float32.
        w_t: the same, [I, C].
        scale: of the weights, and the sums of integer weights, float32, [2, units].
        q: threshold and offset, in the widest type that carries a membrane, [2, units].
        unit: value of one count that each layer receives; the last is that of the readout.
        received: by the first layer, in real steps from zero, float32, [rows * inputs].
        out: what each layer returned, [rows, C] of each, float32.
        cut: what was rounded and cut off, the same.
        back: gradients on the way, float32, [3, rows * widest].
        rest: weights and biases of a centred readout without `common`, float32, [C * (I + 1)].
        common: mean weights and biases of its groups, float32, [d * (I + 1)].
    """

    layers: Record
    rows: int
    values: Floats
    grad: Floats
    w_q: Floats
    w_t: Floats
    scale: Floats
    q: Floats
    unit: NDArray[np.float64]
    received: Floats
    out: Floats
    cut: Floats
    back: Floats
    rest: Floats
    common: Floats


@compiled
def _matrix(flat: Floats, first: int, rows: int, columns: int) -> Floats:
    return flat[first : first + rows * columns].reshape(rows, columns)


@compiled
def returned(chain: Chain, i: int, rows: int) -> Floats:
    """Return what layer `i` returned, [rows, C]."""
    layer = chain.layers[i]
    return _matrix(chain.out, chain.rows * layer.neurons, rows, layer.units)


@compiled
def derive(chain: Chain) -> None:
    """Derive all that a pass needs from the parameters as they are now."""
    for i in range(len(chain.layers)):
        layer = chain.layers[i]
        units, inputs, at = layer.units, layer.inputs, layer.neurons
        weight = _matrix(chain.values, layer.weight, units, inputs)
        w_q = _matrix(chain.w_q, layer.synapses, units, inputs)
        scale, sums = chain.scale[0][at : at + units], chain.scale[1][at : at + units]
        grid = layer.q_max, layer.gaussian
        if layer.is_real:
            for c in range(units):
                for k in range(inputs):
                    w_q[c, k] = weight[c, k]
        if layer.groups > 0:
            _split_readout(chain, i)
            weight = _matrix(chain.rest, 0, units, inputs)
        if not layer.is_real or layer.levels == 0:  # a margin is counted in steps, in floats too
            weight_scales(weight, grid, layer.levels == 0, scale)
        if not layer.is_real:
            quantize_weights(weight, scale, grid, w_q, sums)
        transpose(w_q, _matrix(chain.w_t, layer.synapses, inputs, units))
        _derive_neurons(chain, i, scale, sums)


@compiled
def _split_readout(chain: Chain, i: int) -> None:
    """Take out of a centred readout what the outputs of each group have in common."""
    layer = chain.layers[i]
    units, inputs, groups = layer.units, layer.inputs, layer.groups
    for first, place, columns in ((layer.weight, 0, inputs), (layer.bias, inputs, 1)):
        split(
            _matrix(chain.values, first, units, columns),
            _matrix(chain.rest, place * units, units, columns),
            _matrix(chain.common, place * groups, groups, columns),
        )


@compiled
def _derive_neurons(chain: Chain, i: int, scale: Floats, sums: Floats) -> None:
    """Derive thresholds and offsets, and the value of what leaves."""
    layer, unit_in = chain.layers[i], chain.unit[i]
    bias = chain.values[layer.bias : layer.bias + layer.units]
    if layer.groups > 0:
        bias = chain.rest[layer.units * layer.inputs :]
    q = chain.q[:, layer.neurons : layer.neurons + layer.units]
    if layer.levels > 0:
        chain.unit[i + 1] = math.exp(np.float64(chain.values[layer.log_step]))
        steps = chain.unit[i + 1], unit_in
        limits = layer.gain, layer.zero, layer.least, layer.largest, layer.room
        if not layer.is_real:
            hidden_thresholds(bias, steps, sums, scale, limits, q)
    else:
        chain.unit[i + 1] = np.float64(scale[0]) * unit_in
        if not layer.is_real:
            readout_bias(bias, chain.unit[i + 1], sums, (layer.zero, layer.room), q[1])


@compiled
def forward(chain: Chain, x: Floats) -> None:
    """Pass counts, float32, [R, inputs], on to the readout; see `returned`."""
    first, rows = chain.layers[0], len(x)
    received = _matrix(chain.received, 0, rows, first.inputs)
    unit, zero = np.float32(chain.unit[0] if first.is_real else 1.0), np.float32(first.zero)
    for b in range(rows):
        for k in range(first.inputs):
            received[b, k] = (x[b, k] - zero) * unit
    _forward_layer(chain, 0, received if first.is_real else x)
    for i in range(1, len(chain.layers)):
        _forward_layer(chain, i, returned(chain, i - 1, rows))


@compiled
def _forward_layer(chain: Chain, i: int, x: Floats) -> None:
    layer, rows = chain.layers[i], len(x)
    z = returned(chain, i, rows)
    if layer.units < NARROW:
        multiply_rows(x, _matrix(chain.w_q, layer.synapses, layer.units, layer.inputs), z)
    else:
        multiply(x, _matrix(chain.w_t, layer.synapses, layer.inputs, layer.units), z)
    at, end = layer.neurons, layer.neurons + layer.units
    threshold, offset = chain.q[0][at:end], chain.q[1][at:end]
    cut = _matrix(chain.cut, chain.rows * at, rows, layer.units)
    if layer.is_real:
        _add_bias(z, chain.values[layer.bias : layer.bias + layer.units], layer.levels > 0)
    elif layer.levels > 0:
        fire(z, threshold, offset, (layer.gain, layer.levels), cut)
    else:
        _read_out(z, offset, np.float32(chain.unit[i + 1]), cut)
        if layer.groups > 0:
            common = _matrix(chain.common, 0, layer.groups, layer.inputs)
            bias = _matrix(chain.common, layer.groups * layer.inputs, layer.groups, 1)
            add_values(x, common, bias, (chain.unit[i], layer.zero), z)


@compiled
def _add_bias(z: Floats, bias: Floats, is_hidden: bool) -> None:
    """Make real sums real outputs; a readout lets negative values pass."""
    for b in range(len(z)):
        for c in range(len(bias)):
            y = z[b, c] + bias[c]
            z[b, c] = max(y, np.float32(0)) if is_hidden else y


@compiled
def _read_out(z: Floats, offset: Floats, unit: Any, cut: Floats) -> None:
    """Make the sums of a readout action values, and keep them."""
    for b in range(len(z)):
        for c in range(len(offset)):
            cut[b, c] = z[b, c]
            z[b, c] = (z[b, c] + offset[c]) * unit


@compiled
def backward(chain: Chain, rows: int, grad_q: Floats) -> None:
    """Write the gradient of a loss into `chain.grad`.

    Args:
        chain: after `forward`.
        rows: leading ones of that pass, R.
        grad_q: of their action values, [R, d, n].
    """
    last = len(chain.layers) - 1
    here, there = chain.back[0], chain.back[1]
    for k in range(grad_q.size):
        here[k] = grad_q.flat[k]
    for i in range(last, -1, -1):
        layer = chain.layers[i]
        if i == 0:
            x = _matrix(chain.received, 0, rows, layer.inputs)
        else:
            x = returned(chain, i - 1, rows)
        grad = _matrix(here, 0, rows, layer.units)
        scaled = _matrix(chain.back[2], 0, rows, layer.units)
        of_step_in = _backward_neurons(chain, i, grad, scaled)
        _weight_gradient(scaled, x, _matrix(chain.grad, layer.weight, layer.units, layer.inputs))
        if i > 0:
            w_q = _matrix(chain.w_q, layer.synapses, layer.units, layer.inputs)
            grad_x = _matrix(there, 0, rows, layer.inputs)
            multiply(grad, w_q, grad_x)
            if layer.groups > 0 and not layer.is_real:
                common = _matrix(chain.common, 0, layer.groups, layer.inputs)
                of_step_in += add_gradient(x, common, chain.unit[i], grad_q, grad_x)
            chain.grad[chain.layers[i - 1].log_step] = of_step_in
            here, there = there, here


@compiled
def _weight_gradient(scaled: Floats, x: Floats, grad: Floats) -> None:
    """Write scaled.T @ x, [C, I]; for few inputs, the other way round."""
    if x.shape[1] >= NARROW:
        multiply(scaled.T, x, grad)
        return
    turned = np.empty((x.shape[1], scaled.shape[1]), np.float32)
    multiply(x.T, scaled, turned)
    transpose(turned, grad)


@compiled
def _backward_neurons(chain: Chain, i: int, grad: Floats, scaled: Floats) -> float:
    """Go back, straight through all roundings, from what left to the weighted sums.

    Args:
        chain: after `forward`.
        i: the layer.
        grad: of what left, [R, C]; becomes that of the weighted sums.
        scaled: gradient of the weighted sums for one step of a latent weight, written.

    Returns:
        The gradient of the logarithm of the value of one count that was received.
    """
    layer, rows, units = chain.layers[i], len(grad), grad.shape[1]
    at = layer.neurons
    bias = chain.grad[layer.bias : layer.bias + units]
    cut = _matrix(chain.cut, chain.rows * at, rows, units)
    of_step_in = 0.0
    if layer.is_real:
        if layer.levels > 0:
            _gate(grad, returned(chain, i, rows))
        sum_rows(grad, bias)
    elif layer.levels > 0:
        of_step_in = _backward_spikes(chain, i, grad, cut)
    else:
        sum_rows(grad, bias)
        for b in range(rows):
            for c in range(units):
                grad[b, c] *= np.float32(chain.unit[i + 1])
                of_step_in += grad[b, c] * cut[b, c]
    for b in range(rows):
        for c in range(units):
            scaled[b, c] = grad[b, c] if layer.is_real else grad[b, c] / chain.scale[0, at + c]
    return of_step_in


@compiled
def _gate(grad: Floats, out: Floats) -> None:
    """Stop gradients where nothing left."""
    for b in range(len(grad)):
        for c in range(grad.shape[1]):
            grad[b, c] = grad[b, c] if out[b, c] > 0 else np.float32(0)


@compiled
def _backward_spikes(chain: Chain, i: int, grad: Floats, cut: Floats) -> float:
    """Go back through a staircase; see `_backward_neurons`."""
    layer = chain.layers[i]
    units, at = layer.units, layer.neurons
    bias = chain.grad[layer.bias : layer.bias + units]
    factor, ratio = np.empty(units, np.float32), np.empty(units)
    for c in range(units):
        factor[c] = layer.gain / chain.q[0, at + c]
        ratio[c] = chain.q[1, at + c] / chain.q[0, at + c]
    passed, slope = unfire(grad, cut, factor, layer.levels + 1.0, grad)
    of_step, of_step_in = 0.0, 0.0
    for c in range(units):
        bias[c] = passed[c] / chain.unit[i + 1]
        of_step += passed[c] / 2 - slope[c]
        of_step_in += slope[c] - passed[c] * ratio[c]
    chain.grad[layer.log_step] += np.float32(of_step)
    return of_step_in
