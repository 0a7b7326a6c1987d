"""A chain of layers as flat arrays, and how its passes look at them.

Where the arrays of a layer lie in the flat ones is data, so that the loops of `forward` and
`backward` are compiled once for all networks.

Rows of a layer are the windows of all pictures (`rivc.quant.windows`), and what they return, row by
row, is the next picture. Passes take as many states at a time as stay in the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.compiled import compiled, inlined
from rivc.quant.views import matrix
from rivc.quant.windows import WINDOWS, pad

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]
    Counts = NDArray[np.uint8]
    Record = Any

LAYER: Final = np.dtype(
    [
        ("units", np.int64),
        ("inputs", np.int64),  # of one unit
        ("windows", np.int64),  # rows of a state
        ("geometry", WINDOWS),
        ("sums", WINDOWS),  # a row of sums, as the way back takes them
        ("is_real", np.bool_),  # of float training, which ignores the chip
        ("weight", np.int64),  # first place in the vector of parameters
        ("bias", np.int64),
        ("log_step", np.int64),
        ("synapses", np.int64),  # first place among all weights
        ("over_bytes", np.bool_),  # sums are taken over bytes, not floats
        ("packed", np.int64),  # first place among packed weights, all over bytes or none
        ("words", np.int64),  # their shape, see `rivc.quant.weighing`
        ("width", np.int64),
        ("channels", np.int64),  # and among all units
        ("neurons", np.int64),  # and among all numbers that leave a layer
        ("q_max", np.int64),  # largest weight
        ("gaussian", np.float64),  # Gaussian step, or 0 for binary weights
        ("gain", np.float64),  # 2^F
        ("levels", np.float64),  # largest count; 0 in a readout
        ("zero", np.float64),  # count that stands for zero at the input
        ("least", np.float64),  # threshold
        ("largest", np.float64),  # threshold
        ("bias_max", np.float64),
        ("groups", np.int64),  # of a centred readout; 0 elsewhere
    ]
)


class Chain(NamedTuple):
    """Everything that the passes read and write.

    Attributes:
        layers: `LAYER` records, [layers].
        kept: leading states of a pass that a way back may follow.
        block: states that are passed on together.
        values: parameters, float32, [P].
        grad: of a loss, float32, [P].
        w_q: weights that sums are taken with, [C, I] of each layer, float32.
        floats: the same as `rivc.quant.weighing` takes them, float32, [I, padded C].
        packed: instead, of layers over bytes, int32.
        scale: of the weights, and the sums of integer weights, float32, [2, units].
        q: threshold and offset, in the widest type that carries a membrane, [2, units].
        unit: value of one count that each layer receives; the last is that of the readout.
        received: by the first layer, in real steps, float32, [block * inputs].
        out: what each layer returned, [kept + block, windows, C] of each, float32; the last block
            is that of states which are not kept.
        cut: what becomes the counts of a spiking layer, before it is rounded and cut off; the sums
            of a readout as they were; laid out as `out`.
        returned: by the readout, float32, [rows * units].
        room: gradients of windows of a block, float32.
        padded: pictures of a block, float32.
        counts: the same, uint8.
        back: gradients on the way, float32, [2, block * widest].
        rest: weights and biases of a centred readout without `common`, float32, [C * (I + 1)].
        common: mean weights and biases of its groups, float32, [d * (I + 1)].
    """

    layers: Record
    kept: int
    block: int
    values: Floats
    grad: Floats
    w_q: Floats
    floats: Floats
    packed: NDArray[np.int32]
    scale: Floats
    q: Floats
    unit: NDArray[np.float64]
    received: Floats
    out: Floats
    cut: Floats
    returned: Floats
    room: Floats
    padded: Floats
    counts: NDArray[np.uint8]
    back: Floats
    rest: Floats
    common: Floats


@inlined
def returned(chain: Chain, rows: int) -> Floats:
    """Return what the readout returned, a row for each state."""
    return matrix(chain.returned, 0, rows, chain.layers[-1].units)


@inlined
def what_left(chain: Chain, flat: Floats, i: int, some: tuple[int, int]) -> Floats:
    """View what left layer `i` for some states, (first, count), in `out` or `cut`, [R, C]."""
    layer, count = chain.layers[i], some[1]
    at = _place(chain, i, some[0])
    return matrix(flat, at, count * layer.windows, layer.units)


@inlined
def _place(chain: Chain, i: int, first: int) -> Any:
    """Return where states lie in `out` and `cut`, from their first one on."""
    layer = chain.layers[i]
    before = (chain.kept + chain.block) * layer.neurons
    return before + min(first, chain.kept) * layer.windows * layer.units


@inlined
def what_came(
    chain: Chain, x: Counts, i: int, some: tuple[int, int], steps: tuple[Any, Any]
) -> Floats:
    """Return what layer `i` got for some states, padded pictures, flat.

    Args:
        chain: after the layers before.
        x: counts of all states, flat.
        i: the layer.
        some: states, (first, count).
        steps: value of one count at the input and the count that stands for zero.
    """
    layer, (first, count) = chain.layers[i], some
    flat, size = chain.received, received_by(layer)
    if i == 0:
        _as_steps(x[first * size : (first + count) * size], steps, flat)
    else:
        flat = chain.out[_place(chain, i - 1, first) :]
    if layer.geometry.is_whole:
        return flat[: count * size]
    blank = -steps[1] * steps[0] if i == 0 else np.float32(0)
    pad(flat[: count * size], layer.geometry, chain.padded, blank)
    return chain.padded[: count * layer.geometry.padded_lines * layer.geometry.padded_length]


@inlined
def received_by(layer: Any) -> Any:
    """Return how many numbers a layer gets for one state."""
    return layer.geometry.lines * layer.geometry.length


@compiled
def _as_steps(x: Counts, steps: tuple[Any, Any], received: Floats) -> None:
    """Make counts steps from zero of some value."""
    unit, zero = steps
    for k in range(len(x)):
        received[k] = (np.float32(x[k]) - zero) * unit
