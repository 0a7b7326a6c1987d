"""What a NIR graph can hold: sums that float32 has exactly, and nodes of a size that readers bear.

`unary` is the larger form and the narrower type, so that what fits it fits `compact` too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import ChipLimitError
from rivc.neurochip.backend import Violation
from rivc.neurochip.export.nir.nodes import square_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivc.snn_convert import Layer, SpikingProgram

EXACT: Final = 1 << 24  # every integer up to it is a float32, and so is every partial sum
MAX_VALUES: Final = 1 << 24  # of one node: 64 MiB
MAX_TOTAL: Final = 1 << 25  # of a graph
MAX_PRODUCTS: Final = 1 << 32  # of one node and one state
NARROWER: Final = "lower quant.activation_bits or use fewer filters, units or pixels"


def require_fit(program: SpikingProgram) -> None:
    """Raise ChipLimitError, naming every violation, unless a graph can hold the program."""
    found = violations(program)
    if found:
        listed = " | ".join(map(str, found))
        raise ChipLimitError(f"a NIR graph cannot hold the program: {listed}")


def violations(program: SpikingProgram) -> list[Violation]:
    """Return every limit that a program exceeds, layer by layer."""
    nodes = [_nodes(program, i) for i in range(len(program.layers))]
    found = [
        violation
        for i, layer in enumerate(program.layers)
        for violation in (*_inexact(program, i, layer), *_oversized(i, nodes[i]))
    ]
    total = sum(values for layer in nodes for values, _ in layer)
    if total > MAX_TOTAL:
        found.append(Violation(-1, f"{total:,} values, at most {MAX_TOTAL:,}", NARROWER))
    return found


def reach(layer: Layer, levels_in: int) -> int:
    """Return the largest magnitude of a weighted sum, and of its parts in any order.

    Counts are never negative: excitation and inhibition bound it on either side.
    """
    rows = layer.weight.astype(np.int64).reshape(len(layer.weight), -1)
    return max(int(np.clip(side * rows, 0, None).sum(1).max()) for side in (1, -1)) * levels_in


def _inexact(program: SpikingProgram, i: int, layer: Layer) -> Iterator[Violation]:
    """Sums beyond float32.

    A level adds a constant to a sum, both exact; whatever is rounded there keeps its sign, and a
    neuron asks for nothing else.
    """
    if not layer.has_weights:
        return
    offset = int(np.abs(layer.bias.astype(np.int64)).max()) if layer.is_readout else 1
    largest = reach(layer, program.levels_in[i]) + offset
    if largest > EXACT:
        what = f"sums up to {largest:,}, float32 is exact up to {EXACT:,}"
        yield Violation(i, what, "use fewer inputs, narrower weights or quant.activation_bits")


def _oversized(i: int, nodes: list[tuple[int, int]]) -> Iterator[Violation]:
    values = max((values for values, _ in nodes), default=0)
    if values > MAX_VALUES:
        yield Violation(i, f"a node of {values:,} values, at most {MAX_VALUES:,}", NARROWER)
    products = max((values * places for values, places in nodes), default=0)
    if products > MAX_PRODUCTS:
        yield Violation(i, f"{products:,} products a state, at most {MAX_PRODUCTS:,}", NARROWER)


def _nodes(program: SpikingProgram, i: int) -> list[tuple[int, int]]:
    """Values of each large node of the unary form, and at how many places it is applied."""
    layer, shape, out = program.layers[i], program.shapes[i], program.shapes[i + 1]
    places, channels = math.prod(out[:-1]), out[-1]
    if layer.kind == "flatten":
        return []
    if layer.kind == "dense":
        return [(layer.weight.size, 1), *_levels(channels, layer.levels, 1)]
    window = square_window(layer, shape)
    area, size = window.side**2, math.prod(window.size)
    extension = (4 * shape[-1] ** 2, size) if window.extended else (0, 0)
    if layer.kind == "conv2d":
        weights = (channels * shape[-1] * area, places)
        return [extension, weights, *_levels(channels, layer.levels, places)]
    neurons = channels * program.levels_in[i]
    pool = (neurons * neurons * area, places)
    return [extension, *_levels(channels, program.levels_in[i], size), pool, (neurons * places, 1)]


def _levels(channels: int, levels: int, places: int) -> list[tuple[int, int]]:
    mixing = (channels * channels * levels, places)
    return [mixing, mixing, (3 * channels * levels * places, 1)]
