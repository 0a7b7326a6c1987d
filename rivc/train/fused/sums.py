"""The weighted sums of a layer: over bytes where the processor is fast at it, else over floats.

Integers are the same in both: a float32 holds every sum of counts times integer weights. A network
in real numbers has floats alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.compiled import inlined
from rivc.quant import weighing
from rivc.quant.products import transpose
from rivc.quant.views import flat, matrix
from rivc.quant.windows import pad
from rivc.train.fused.chain import received_by, what_came, what_left

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.train.fused.chain import Chain

    Floats = NDArray[Any]
    Counts = NDArray[np.uint8]


@inlined
def lay_out(chain: Chain, layer: Any) -> None:
    """Bring the weights of a layer into the order in which the product takes them."""
    w_q = matrix(chain.w_q, layer.synapses, layer.units, layer.inputs)
    if layer.over_bytes:
        words = matrix(chain.packed, layer.packed, layer.words, layer.width)
        weighing.pack(w_q, layer.geometry.kernel, words)
    else:
        words = matrix(chain.floats, layer.packed, layer.words, layer.width)
        transpose(w_q, words[:, : layer.units])


@inlined
def add_up(chain: Chain, x: Counts, i: int, some: tuple[int, int], z: Floats) -> None:
    """Write the weighted sums of layer `i` for some states, (first, count), to `z`, [R, C].

    `x` holds the counts of all states at the input, flat.
    """
    layer, (first, count) = chain.layers[i], some
    if not layer.over_bytes:
        words = matrix(chain.floats, layer.packed, layer.words, layer.width)
        came = what_came(chain, x, i, some, value_of_counts(chain))
        weighing.weigh(came, layer.geometry, words, z)
    elif i == 0:
        size = received_by(layer)
        _over_bytes(chain, layer, x[first * size : (first + count) * size], z)
    else:
        before = what_left(chain, chain.out, i - 1, some)
        _over_bytes(chain, layer, flat(before), z)


@inlined
def value_of_counts(chain: Chain) -> tuple[Any, Any]:
    """Return the value of a count at the input, and the count of zero, as sums are taken."""
    first = chain.layers[0]
    if first.is_real:
        return np.float32(chain.unit[0]), np.float32(first.zero)
    return np.float32(1), np.float32(0)


@inlined
def _over_bytes(chain: Chain, layer: Any, x: Any, z: Floats) -> None:
    pad(x, layer.geometry, chain.counts)
    words = matrix(chain.packed, layer.packed, layer.words, layer.width)
    weighing.weigh(chain.counts, layer.geometry, words, z)
