"""Synaptic operations: what an event-driven chip has to do for one decision."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.snn_convert import reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert import Layer, SpikingProgram


def count_synops(program: SpikingProgram, counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    r"""Return the effective synaptic operations of each state, int64, [B].

    .. math:: \sum_{layers} \#\{(i, j) : x_i \ne 0, w_{ij} \ne 0\}

    A multi-bit count is one event and one operation a synapse; biases are left out.

    Args:
        program: the program.
        counts: unsigned counts, [B, *shape].

    Reference:
        NeuroBench (Yik et al., 2025), "effective synaptic operations".
    """
    x = reference.check_counts(program, counts)
    received: list[NDArray[Any]] = [x, *reference.trace(program, x)]
    total = np.zeros(len(x), np.int64)
    for layer, x in zip(program.layers, received, strict=False):
        if layer.has_weights:
            total += _pairs(layer, x != 0).reshape(len(x), -1).sum(1)
    return total


def _pairs(layer: Layer, active: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many active inputs meet a synapse at each neuron."""
    synapses = replace(layer, weight=(layer.weight != 0).astype(np.int8))
    return reference.weighted(synapses, active.astype(np.int64))
