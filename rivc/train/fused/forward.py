"""The way forward: integers from the parameters, action values from counts; a call each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.compiled import compiled, inlined
from rivc.quant.qat.loops import fire
from rivc.quant.views import flat, matrix
from rivc.train.fused.centred import add_values, split
from rivc.train.fused.chain import what_came, what_left
from rivc.train.fused.kernels import (
    hidden_thresholds,
    quantize_weights,
    readout_bias,
    weight_scales,
)
from rivc.train.fused.sums import add_up, lay_out, value_of_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.train.fused.chain import Chain

    Counts = NDArray[np.uint8]
    Floats = NDArray[Any]


@compiled
def derive(chain: Chain) -> None:
    """Derive all that a pass needs from the parameters as they are now."""
    for i in range(len(chain.layers)):
        layer = chain.layers[i]
        units, inputs, at = layer.units, layer.inputs, layer.channels
        weight = matrix(chain.values, layer.weight, units, inputs)
        w_q = matrix(chain.w_q, layer.synapses, units, inputs)
        scale, sums = chain.scale[0][at : at + units], chain.scale[1][at : at + units]
        grid = layer.q_max, layer.gaussian
        if layer.is_real:
            for c in range(units):
                for k in range(inputs):
                    w_q[c, k] = weight[c, k]
        if layer.groups > 0:
            _split_readout(chain, i)
            weight = matrix(chain.rest, 0, units, inputs)
        if not layer.is_real or layer.levels == 0:  # a margin is counted in steps, in floats too
            weight_scales(weight, grid, layer.levels == 0, scale)
        if not layer.is_real:
            quantize_weights(weight, scale, grid, w_q, sums)
        lay_out(chain, layer)
        _derive_neurons(chain, i, scale, sums)


@compiled
def freeze(
    chain: Chain, weight: NDArray[np.int8], bias: NDArray[np.int32], threshold: NDArray[np.int32]
) -> bool:
    """Derive all integers and write them, each layer's behind those of the one before.

    Returns:
        False, and nothing of use is written, unless all parameters and what follows are finite.
    """
    derive(chain)
    unit = np.float32(chain.unit[-1])
    if not (0 < unit < np.inf and _are_finite(chain.values) and _are_finite(chain.q.ravel())):
        return False
    for k in range(len(weight)):
        weight[k] = np.int8(chain.w_q[k])
    for c in range(len(bias)):
        threshold[c] = np.int32(chain.q[0, c])
        bias[c] = np.int32(chain.q[1, c] - threshold[c] // 2)  # of a readout all thresholds are 1
    return True


@compiled
def _are_finite(x: Floats) -> bool:
    """Tell whether none of some numbers is infinite or NaN."""
    finite = True
    for k in range(len(x)):
        finite &= math.isfinite(x[k])
    return finite


@inlined
def _split_readout(chain: Chain, i: int) -> None:
    """Take out of a centred readout what the outputs of each group have in common."""
    layer = chain.layers[i]
    units, inputs, groups = layer.units, layer.inputs, layer.groups
    for first, place, columns in ((layer.weight, 0, inputs), (layer.bias, inputs, 1)):
        split(
            matrix(chain.values, first, units, columns),
            matrix(chain.rest, place * units, units, columns),
            matrix(chain.common, place * groups, groups, columns),
        )


@inlined
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
        limits = layer.gain, layer.zero, layer.least, layer.largest, layer.bias_max
        if not layer.is_real:
            hidden_thresholds(bias, steps, sums, scale, limits, q)
    else:
        chain.unit[i + 1] = np.float64(scale[0]) * unit_in
        if not layer.is_real:
            readout_bias(bias, chain.unit[i + 1], sums, (layer.zero, layer.bias_max), q[1])


@compiled
def forward(chain: Chain, x: Counts) -> None:
    """Pass counts, uint8, [R, inputs], on to the readout; see `returned`."""
    counts, rows = flat(x), len(x)
    for part in range(2):  # states that are kept, and all others
        end = min(rows, chain.kept) if part == 0 else rows
        for at in range(part * chain.kept, end, chain.block):
            some = at, min(chain.block, end - at)
            for i in range(len(chain.layers)):
                _forward_layer(chain, counts, i, some)


@inlined
def _forward_layer(chain: Chain, x: Counts, i: int, some: tuple[int, int]) -> None:
    layer, cut = chain.layers[i], what_left(chain, chain.cut, i, some)
    z = what_left(chain, chain.out, i, some)
    if layer.levels == 0:
        z = matrix(chain.returned, some[0] * layer.units, some[1], layer.units)
    add_up(chain, x, i, some, z)
    at, end = layer.channels, layer.channels + layer.units
    threshold, offset = chain.q[0][at:end], chain.q[1][at:end]
    if layer.is_real:
        _add_bias(z, chain.values[layer.bias : layer.bias + layer.units], layer.levels > 0)
    elif layer.levels > 0:
        fire(z, threshold, offset, (layer.gain, layer.levels), cut)
    else:
        _read_out(z, offset, np.float32(chain.unit[i + 1]), cut)
        if layer.groups > 0:
            came = what_came(chain, x, i, some, value_of_counts(chain))
            _add_values(chain, i, matrix(came, 0, some[1], layer.inputs), z)


@inlined
def _add_values(chain: Chain, i: int, x: Floats, q: Floats) -> None:
    """Add what the groups of a centred readout have in common."""
    layer = chain.layers[i]
    common = matrix(chain.common, 0, layer.groups, layer.inputs)
    bias = matrix(chain.common, layer.groups * layer.inputs, layer.groups, 1)
    add_values(x, common, bias, (chain.unit[i], layer.zero), q)


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
