"""A whole program as one call: weighted sums over bytes, layer after layer, whatever their kind.

States are passed on in blocks that the cache holds. What a block needs is made anew in each call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.compiled import compiled, inlined
from rivc.neurochip.kernels.calls import Loops, make_calls
from rivc.neurochip.kernels.loops import HOLDS_NAN, add_up, choose, encode, fire, pool
from rivc.neurochip.kernels.packed import Packed, pack
from rivc.quant.views import matrix, view
from rivc.quant.weighing import SLACK, weigh
from rivc.quant.windows import pad

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.neurochip.floats import Calls
    from rivc.snn_convert import SpikingProgram

    Counts = NDArray[np.uint8]
    Integers = NDArray[np.int64]


class Room(NamedTuple):
    """What a block of states writes on its way.

    Attributes:
        padded: pictures as windows are read from them.
        emitted: what layers emit, in turn.
        sums: of a layer.
    """

    padded: Counts
    emitted: NDArray[np.uint8]
    sums: NDArray[np.int32]


@compiled
def run_whole(parts: tuple[Any, ...], x: Counts, totals: Integers, readout: Integers) -> None:
    """Write the spikes of each spiking layer, [layers, B], and the readout, [B, units].

    Args:
        parts: of `Packed`; numba takes a plain tuple from Python in half the time.
        x: counts of all states, flat.
        totals: spikes.
        readout: integers.
    """
    chain = Packed(*parts)
    states, block = len(readout), min(chain.block, len(readout))
    padded, emitted, sums = chain.room
    room = Room(
        np.empty(block * padded + SLACK, np.uint8),
        np.empty((2, block * emitted), np.uint8),
        np.empty(block * sums, np.int32),
    )
    size = len(x) // max(states, 1)
    for first in range(0, states, max(block, 1)):
        end = min(first + block, states)
        counts = x[first * size : end * size]
        _pass_on(chain, counts, room, totals[:, first:end], readout[first:end])


@inlined
def _pass_on(chain: Packed, x: Counts, room: Room, totals: Integers, readout: Integers) -> None:
    """Pass a block of states on to the readout; write its integers and the spikes of layers."""
    count, last, spiking = len(readout), len(chain.layers) - 1, 0
    for i in range(last):
        layer = chain.layers[i]
        size = layer.geometry.down * layer.geometry.across * layer.units
        emitted, sums = room.emitted[i % 2][: count * size], room.sums[: count * size]
        if layer.is_pool:
            _pool(layer, x, count, emitted)
        else:
            _add(chain, layer, x, room, sums)
            _fire(chain, layer, sums, emitted)
            add_up(matrix(emitted, 0, count, size), totals[spiking])
            spiking += 1
        x = emitted
    layer = chain.layers[last]
    _add(chain, layer, x, room, room.sums[: count * layer.units])
    for b in range(count):
        for j in range(layer.units):
            readout[b, j] = chain.bias[j] + room.sums[b * layer.units + j]


@inlined
def _add(chain: Packed, layer: Any, x: Counts, room: Room, sums: NDArray[np.int32]) -> None:
    """Write the weighted sums of a layer for some states, flat."""
    if layer.is_copied:
        pad(x, layer.geometry, room.padded)
        x = room.padded
    words = matrix(chain.words, layer.packed, layer.words, layer.width)
    rows = matrix(sums, 0, len(sums) // layer.units, layer.units)
    weigh(x, layer.geometry, words, rows)


@inlined
def _fire(chain: Packed, layer: Any, sums: NDArray[np.int32], emitted: Counts) -> None:
    """Write the counts of the sums of a layer."""
    units, rows = layer.units, len(sums) // layer.units
    stairs = matrix(chain.stairs, 3 * layer.neurons, 3, units)
    out = matrix(emitted, 0, rows, units)
    fire(matrix(sums, 0, rows, units), layer.frac_bits, stairs, out)


@inlined
def _pool(layer: Any, x: Counts, count: int, emitted: Counts) -> None:
    """Write the largest counts of the windows of some states."""
    for k in range(len(emitted)):
        emitted[k] = 0
    windows, planes = layer.geometry, layer.planes
    pool(
        view(x, 0, (count, windows.lines, windows.length // planes, planes)),
        (windows.kernel, windows.step),
        (windows.top, windows.left // planes),
        view(emitted, 0, (count, windows.down, windows.across, planes)),
    )


@compiled
def act_on_vector(
    parts: tuple[Any, ...],
    ranges: NDArray[np.float64],
    levels: int,
    observation: NDArray[np.float64],
    actions: Integers,
) -> bool:
    """Write the greedy action of each group for an observation; False if it holds NaN.

    Args:
        parts: of `Packed`.
        ranges: value of count 0 and of one count, [2, features].
        levels: largest count.
        observation: [features].
        actions: one a group.
    """
    x = np.empty(len(observation), np.uint8)
    if encode(observation, ranges, levels, x) == HOLDS_NAN:
        return False
    _act(parts, x, actions)
    return True


@compiled
def act_on_picture(parts: tuple[Any, ...], levels: int, picture: Counts, actions: Integers) -> bool:
    """Write the greedy action of each group for a picture, uint8, flat.

    Returns:
        False, and writes nothing, if a pixel is beyond the largest count.
    """
    largest = np.uint8(0)
    for k in range(len(picture)):
        largest = max(largest, picture[k])
    if largest > levels:
        return False
    _act(parts, picture, actions)
    return True


@inlined
def _act(parts: tuple[Any, ...], x: Counts, actions: Integers) -> None:
    chain = Packed(*parts)
    totals = np.empty((len(chain.layers), 1), np.int64)
    readout = np.empty((1, len(chain.bias)), np.int64)
    run_whole(parts, x, totals, readout)
    choose(readout[0], actions)


LOOPS: Final = Loops(run_whole, act_on_vector, act_on_picture)


def calls(program: SpikingProgram) -> Calls | None:
    """Return the calls of a program; None unless int32 holds all sums."""
    packed = pack(program)
    return packed and make_calls(program, tuple(packed), LOOPS)
