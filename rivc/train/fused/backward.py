"""The way back, straight through all roundings: gradients of the parameters in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.compiled import compiled, inlined
from rivc.quant.products import NARROW, add_product, transpose
from rivc.quant.qat.loops import unfire
from rivc.quant.views import flat, matrix
from rivc.quant.weighing import add_outer, weigh
from rivc.quant.windows import scatter
from rivc.train.fused.centred import add_gradient
from rivc.train.fused.chain import received_by, what_came, what_left
from rivc.train.fused.kernels import fill, sum_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.train.fused.chain import Chain

    Counts = NDArray[np.uint8]
    Floats = NDArray[Any]


@compiled
def backward(chain: Chain, x: Counts, grad_q: Floats) -> None:
    """Write the gradient of a loss into `chain.grad`.

    Args:
        chain: after `forward`.
        x: counts, the leading ones of that pass, uint8, [R, inputs].
        grad_q: of their action values, [R, d, n].
    """
    rows = len(x)
    fill(chain.grad, np.float32(0))
    of_q, units = flat(grad_q), grad_q.size // rows
    for at in range(0, rows, chain.block):
        some = at, min(chain.block, rows - at)
        here = chain.back[0]
        for k in range(some[1] * units):
            here[k] = of_q[at * units + k]
        _backward_block(chain, flat(x), some)
    for i in range(len(chain.layers)):
        layer = chain.layers[i]
        scale = chain.scale[0][layer.channels : layer.channels + layer.units]
        if not layer.is_real:
            _divide(matrix(chain.grad, layer.weight, layer.units, layer.inputs), scale)


@compiled
def _divide(grad: Floats, scale: Floats) -> None:
    """Make gradients of integer weights, [C, I], those of the latent ones."""
    for c in range(len(grad)):
        step = scale[c]
        for k in range(grad.shape[1]):
            grad[c, k] /= step


@inlined
def _backward_block(chain: Chain, x: Counts, some: tuple[int, int]) -> None:
    """Add the gradient of some states to `chain.grad`, from that of their values in `back[0]`."""
    first = chain.layers[0]
    steps = np.float32(chain.unit[0] if first.is_real else 1.0), np.float32(first.zero)
    for i in range(len(chain.layers) - 1, -1, -1):
        layer = chain.layers[i]
        rows = some[1] * layer.windows
        of_left = matrix(chain.back[0], 0, rows, layer.units)
        of_sums = matrix(chain.back[1], 0, rows, layer.units)
        of_step_in = _backward_neurons(chain, i, of_left, of_sums, some)
        came = what_came(chain, x, i, some, steps)
        _weight_gradient(chain, layer, of_sums, came)
        if i > 0:
            _backward_inputs(chain, layer, of_sums)
            if layer.groups > 0 and not layer.is_real:
                common = matrix(chain.common, 0, layer.groups, layer.inputs)
                ratio = chain.unit[i] / chain.unit[i + 1]
                states = matrix(came, 0, rows, layer.inputs)
                of_x = matrix(chain.back[0], 0, rows, layer.inputs)
                of_step_in += add_gradient(states, common, ratio, of_sums, of_x)
            chain.grad[chain.layers[i - 1].log_step] += np.float32(of_step_in)


@inlined
def _backward_inputs(chain: Chain, layer: Any, grad: Floats) -> None:
    """Write the gradient of what a layer got to `back[0]`, for that of its sums, [R, C]."""
    w_q = matrix(chain.w_q, layer.synapses, layer.units, layer.inputs)
    if layer.geometry.is_row:
        weigh(flat(grad), layer.sums, w_q, matrix(chain.back[0], 0, len(grad), layer.inputs))
        return
    rows = matrix(chain.room, 0, len(grad), layer.inputs)
    weigh(flat(grad), layer.sums, w_q, rows)
    x = chain.back[0][: len(grad) // layer.windows * received_by(layer)]
    fill(x, np.float32(0))
    scatter(rows, layer.geometry, x)


@inlined
def _weight_gradient(chain: Chain, layer: Any, of_sums: Floats, came: Floats) -> None:
    """Add the gradient of the weights of a layer that got `came`, flat."""
    grad = matrix(chain.grad, layer.weight, layer.units, layer.inputs)
    if layer.geometry.is_row:
        _add_rows(of_sums, matrix(came, 0, len(of_sums), layer.inputs), grad)
    else:
        add_outer(of_sums, came, layer.geometry, grad)


@compiled
def _add_rows(of_sums: Floats, x: Floats, grad: Floats) -> None:
    """Add of_sums.T @ x, [C, I]; for few inputs, the other way round."""
    if x.shape[1] >= NARROW:
        add_product(of_sums.T, x, grad)
        return
    turned, back = np.empty((x.shape[1], len(grad)), np.float32), np.empty_like(grad)
    fill(flat(turned), np.float32(0))
    add_product(x.T, of_sums, turned)
    transpose(turned, back)
    for c in range(len(grad)):
        for k in range(grad.shape[1]):
            grad[c, k] += back[c, k]


@inlined
def _backward_neurons(
    chain: Chain, i: int, grad: Floats, of_sums: Floats, some: tuple[int, int]
) -> float:
    """Go back, straight through all roundings, from what left to the weighted sums.

    Args:
        chain: after `forward`.
        i: the layer.
        grad: of what left, [R, C].
        of_sums: gradient of the weighted sums, [R, C], written.
        some: states, (first, count).

    Returns:
        The gradient of the logarithm of the value of one count that was received.
    """
    layer, rows, units = chain.layers[i], len(grad), grad.shape[1]
    bias = chain.grad[layer.bias : layer.bias + units]
    cut = what_left(chain, chain.cut, i, some)
    of_step_in = 0.0
    if layer.is_real:
        out = what_left(chain, chain.out, i, some)
        for b in range(rows):
            for c in range(units):
                passes = layer.levels == 0 or out[b, c] > 0
                of_sums[b, c] = grad[b, c] if passes else np.float32(0)
        sum_rows(of_sums, bias)
    elif layer.levels > 0:
        of_step_in = _backward_spikes(chain, i, grad, cut, of_sums)
    else:
        sum_rows(grad, bias)
        for b in range(rows):
            for c in range(units):
                of_sums[b, c] = grad[b, c] * np.float32(chain.unit[i + 1])
                of_step_in += of_sums[b, c] * cut[b, c]
    return of_step_in


@inlined
def _backward_spikes(chain: Chain, i: int, grad: Floats, cut: Floats, of_sums: Floats) -> float:
    """Go back through a staircase; see `_backward_neurons`."""
    layer = chain.layers[i]
    units, at = layer.units, layer.channels
    bias = chain.grad[layer.bias : layer.bias + units]
    factor, ratio = np.empty(units, np.float32), np.empty(units)
    for c in range(units):
        factor[c] = layer.gain / chain.q[0, at + c]
        ratio[c] = chain.q[1, at + c] / chain.q[0, at + c]
    passed, slope = unfire(grad, cut, factor, layer.levels + 1.0, of_sums)
    of_step, of_step_in = 0.0, 0.0
    for c in range(units):
        bias[c] += np.float32(passed[c] / chain.unit[i + 1])
        of_step += passed[c] / 2 - slope[c]
        of_step_in += slope[c] - passed[c] * ratio[c]
    chain.grad[layer.log_step] += np.float32(of_step)
    return of_step_in
