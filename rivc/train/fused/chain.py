"""A chain of layers as flat arrays, and the compiled passes over it.

A pass is one call, whatever the number of layers. Where the arrays of a layer lie in the flat ones
is data, so that the loops are compiled once for all networks.

A convolution is a dense layer over windows: its rows are the windows of all pictures, and what they
return, row by row, is the next picture. Passes take as many states at a time as keep windows in the
cache.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.quant.compiled import compiled
from rivc.quant.qat.loops import fire, unfire
from rivc.quant.windows import gather, scatter
from rivc.train.fused.centred import add_gradient, add_values, split
from rivc.train.fused.kernels import (
    add_rows,
    fill,
    hidden_thresholds,
    quantize_weights,
    readout_bias,
    weight_scales,
)
from rivc.train.fused.products import NARROW, add_product, multiply, multiply_rows, transpose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]
    Record = Any

GEOMETRY: Final = np.dtype(
    [
        ("kernel", np.int64),  # 0 of a dense layer
        ("stride", np.int64),
        ("top", np.int64),
        ("left", np.int64),
        ("down", np.int64),  # windows of a picture
        ("across", np.int64),
        ("lines", np.int64),  # of a picture that is received
        ("length", np.int64),  # of a line, in numbers
        ("planes", np.int64),  # numbers of a pixel
        ("is_padded", np.bool_),
    ]
)
LAYER: Final = np.dtype(
    [
        ("units", np.int64),
        ("inputs", np.int64),  # of one unit
        ("windows", np.int64),  # rows of a state; 1 of a dense layer
        ("geometry", GEOMETRY),
        ("is_real", np.bool_),  # of float training, which ignores the chip
        ("weight", np.int64),  # first place in the vector of parameters
        ("bias", np.int64),
        ("log_step", np.int64),
        ("synapses", np.int64),  # first place among all weights
        ("channels", np.int64),  # and among all units
        ("neurons", np.int64),  # and among all numbers that leave a layer
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
        block: rows that are passed on together.
        values: parameters, float32, [P].
        grad: of a loss, float32, [P].
        w_q: weights that sums are taken with, [C, I] of each layer, float32.
        w_t: the same, [I, C].
        scale: of the weights, and the sums of integer weights, float32, [2, units].
        q: threshold and offset, in the widest type that carries a membrane, [2, units].
        unit: value of one count that each layer receives; the last is that of the readout.
        received: by the first layer, in real steps from zero, float32, [rows * inputs].
        out: what each layer returned, [rows, windows, C] of each, float32.
        cut: what was rounded and cut off, the same.
        room: windows of a block, float32.
        back: gradients on the way, float32, [2, block * widest].
        rest: weights and biases of a centred readout without `common`, float32, [C * (I + 1)].
        common: mean weights and biases of its groups, float32, [d * (I + 1)].
    """

    layers: Record
    rows: int
    block: int
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
    room: Floats
    back: Floats
    rest: Floats
    common: Floats


@compiled
def _matrix(flat: Floats, first: int, rows: int, columns: int) -> Floats:
    return flat[first : first + rows * columns].reshape(rows, columns)


@compiled
def returned(chain: Chain, i: int, rows: int) -> Floats:
    """Return what layer `i` returned, a row for each state."""
    layer = chain.layers[i]
    return _matrix(chain.out, chain.rows * layer.neurons, rows, layer.windows * layer.units)


@compiled
def _left(chain: Chain, flat: Floats, i: int, some: tuple[int, int]) -> Floats:
    """View what left layer `i` for some states, (first, count), in `out` or `cut`, [R, C]."""
    layer, (first, count) = chain.layers[i], some
    at = chain.rows * layer.neurons + first * layer.windows * layer.units
    return _matrix(flat, at, count * layer.windows, layer.units)


@compiled
def _came(chain: Chain, start: Floats, i: int, some: tuple[int, int], blank: Any) -> Floats:
    """Return what layer `i` got for some states, [R, inputs]; `blank` stands around pictures."""
    layer, (first, count) = chain.layers[i], some
    shape = layer.geometry
    size = layer.inputs if shape.kernel == 0 else shape.lines * shape.length
    flat, at = start, first * size
    if i > 0:
        flat, at = chain.out, at + chain.rows * chain.layers[i - 1].neurons
    if shape.kernel == 0:
        return _matrix(flat, at, count, layer.inputs)
    rows = _matrix(chain.room, 0, count * layer.windows, layer.inputs)
    if shape.is_padded:
        fill(rows.reshape(rows.size), blank)
    x = flat[at : at + count * size].reshape(count, shape.lines, shape.length)
    gather(x, *_steps(shape), _as_windows(rows, shape, count))
    return rows


@compiled
def _steps(shape: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Stride and corner of windows, as `rivc.quant.windows` counts them."""
    stride = shape.stride, shape.stride * shape.planes
    return stride, (shape.top, shape.left * shape.planes)


@compiled
def _as_windows(rows: Floats, shape: Any, count: int) -> Floats:
    """View rows of windows as `rivc.quant.windows` takes them."""
    line = shape.kernel * shape.planes
    return rows.reshape(count, shape.down, shape.across, shape.kernel, line)


@compiled
def derive(chain: Chain) -> None:
    """Derive all that a pass needs from the parameters as they are now."""
    for i in range(len(chain.layers)):
        layer = chain.layers[i]
        units, inputs, at = layer.units, layer.inputs, layer.channels
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
    q = chain.q[:, layer.channels : layer.channels + layer.units]
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
    received = _matrix(chain.received, 0, rows, x.shape[1])
    unit, zero = np.float32(chain.unit[0] if first.is_real else 1.0), np.float32(first.zero)
    for b in range(rows):
        for k in range(x.shape[1]):
            received[b, k] = (x[b, k] - zero) * unit
    start = chain.received if first.is_real else x.reshape(x.size)
    blank = -zero * unit if first.is_real else np.float32(0)
    for at in range(0, rows, chain.block):
        some = at, min(chain.block, rows - at)
        for i in range(len(chain.layers)):
            _forward_layer(chain, i, _came(chain, start, i, some, blank), some)
            blank = np.float32(0)
        blank = -zero * unit if first.is_real else np.float32(0)


@compiled
def _forward_layer(chain: Chain, i: int, x: Floats, some: tuple[int, int]) -> None:
    layer = chain.layers[i]
    z, cut = _left(chain, chain.out, i, some), _left(chain, chain.cut, i, some)
    if layer.units < NARROW:
        multiply_rows(x, _matrix(chain.w_q, layer.synapses, layer.units, layer.inputs), z)
    else:
        multiply(x, _matrix(chain.w_t, layer.synapses, layer.inputs, layer.units), z)
    at, end = layer.channels, layer.channels + layer.units
    threshold, offset = chain.q[0][at:end], chain.q[1][at:end]
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
    fill(chain.grad, np.float32(0))
    flat, units = grad_q.reshape(grad_q.size), grad_q.size // rows
    for at in range(0, rows, chain.block):
        some = at, min(chain.block, rows - at)
        here = chain.back[0]
        for k in range(some[1] * units):
            here[k] = flat[at * units + k]
        _backward_block(chain, some)
    for i in range(len(chain.layers)):
        layer = chain.layers[i]
        scale = chain.scale[0][layer.channels : layer.channels + layer.units]
        if not layer.is_real:
            _divide(_matrix(chain.grad, layer.weight, layer.units, layer.inputs), scale)


@compiled
def _divide(grad: Floats, scale: Floats) -> None:
    """Make gradients of integer weights, [C, I], those of the latent ones."""
    for c in range(len(grad)):
        step = scale[c]
        for k in range(grad.shape[1]):
            grad[c, k] /= step


@compiled
def _backward_block(chain: Chain, some: tuple[int, int]) -> None:
    """Add the gradient of some states to `chain.grad`, from that of their values in `back[0]`."""
    first = chain.layers[0]
    unit = np.float32(chain.unit[0] if first.is_real else 1.0)
    for i in range(len(chain.layers) - 1, -1, -1):
        layer = chain.layers[i]
        rows = some[1] * layer.windows
        of_left = _matrix(chain.back[0], 0, rows, layer.units)
        of_sums = _matrix(chain.back[1], 0, rows, layer.units)
        of_step_in = _backward_neurons(chain, i, of_left, of_sums, some)
        x = _came(chain, chain.received, i, some, -np.float32(layer.zero) * unit)
        _weight_gradient(of_sums, x, _matrix(chain.grad, layer.weight, layer.units, layer.inputs))
        if i > 0:
            _backward_inputs(chain, layer, of_sums)
            if layer.groups > 0 and not layer.is_real:
                common = _matrix(chain.common, 0, layer.groups, layer.inputs)
                ratio = chain.unit[i] / chain.unit[i + 1]
                of_x = _matrix(chain.back[0], 0, *x.shape)
                of_step_in += add_gradient(x, common, ratio, of_sums, of_x)
            chain.grad[chain.layers[i - 1].log_step] += np.float32(of_step_in)


@compiled
def _backward_inputs(chain: Chain, layer: Any, grad: Floats) -> None:
    """Write the gradient of what a layer got to `back[0]`, for that of its sums, [R, C]."""
    w_q = _matrix(chain.w_q, layer.synapses, layer.units, layer.inputs)
    shape = layer.geometry
    if shape.kernel == 0:
        multiply(grad, w_q, _matrix(chain.back[0], 0, len(grad), layer.inputs))
        return
    rows = _matrix(chain.room, 0, len(grad), layer.inputs)
    multiply(grad, w_q, rows)
    count = len(grad) // layer.windows
    x = chain.back[0][: count * shape.lines * shape.length]
    fill(x, np.float32(0))
    windows = _as_windows(rows, shape, count)
    scatter(windows, *_steps(shape), x.reshape(count, shape.lines, shape.length))


@compiled
def _weight_gradient(of_sums: Floats, x: Floats, grad: Floats) -> None:
    """Add of_sums.T @ x, [C, I]; for few inputs, the other way round."""
    if x.shape[1] >= NARROW:
        add_product(of_sums.T, x, grad)
        return
    turned, back = np.empty((x.shape[1], len(grad)), np.float32), np.empty_like(grad)
    multiply(x.T, of_sums, turned)
    transpose(turned, back)
    for c in range(len(grad)):
        for k in range(grad.shape[1]):
            grad[c, k] += back[c, k]


@compiled
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
    cut = _left(chain, chain.cut, i, some)
    of_step_in = 0.0
    if layer.is_real:
        out = _left(chain, chain.out, i, some)
        for b in range(rows):
            for c in range(units):
                passes = layer.levels == 0 or out[b, c] > 0
                of_sums[b, c] = grad[b, c] if passes else np.float32(0)
        add_rows(of_sums, bias)
    elif layer.levels > 0:
        of_step_in = _backward_spikes(chain, i, grad, cut, of_sums)
    else:
        add_rows(grad, bias)
        for b in range(rows):
            for c in range(units):
                of_sums[b, c] = grad[b, c] * np.float32(chain.unit[i + 1])
                of_step_in += of_sums[b, c] * cut[b, c]
    return of_step_in


@compiled
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
