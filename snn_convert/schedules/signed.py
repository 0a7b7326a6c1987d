"""Free-running with signed spikes: no schedule at all; silence proves that the answer is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert.schedules.machine import Machine


def signed(machine: Machine) -> NDArray[np.int64]:
    r"""Step every layer in every tick until none fires.

    .. math:: s = [v > th][c < L] - [v < 0][c > 0], \quad v \mathrel{-}= s\,th, \quad
        c \mathrel{+}= s

    A neuron takes back what it said too early. If a tick is silent, no membrane has changed in it,
    so that silence lasts; and a neuron at rest has 0 < v < th or its count c at a bound, that is
    c = clip(floor(V / th), 0, L) for its whole membrane V: the count of the definition. The
    readout may be read in any tick, and is exact once a tick was silent. Membranes are pooled
    before they fire.

    Returns:
        Latency of each state: ticks up to and including its first silent one; at most that of the
        synchronous schedule, since a neuron rests at most L ticks after its last input.
    """
    machine.inject()
    awake = True
    while awake:
        for layer in machine.layers:
            v_mem, count = layer.soma, layer.count
            more = (v_mem > layer.stage.threshold) & (count < layer.stage.levels)
            less = (v_mem < 0) & (count > 0)
            layer.fire_pooled(more.astype(np.int8) - less)
        awake = machine.tick()
    return machine.settled + 1
