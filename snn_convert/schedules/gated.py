"""Clock-gated: stock integrate-and-fire, all layers at all times, and one unit that keeps time."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivc.snn_convert.schedules.machine import Machine


def gated(machine: Machine) -> int:
    r"""Step every neuron in every tick; a clock sends each layer -G, then +G, then -G.

    .. math:: v \mathrel{+}= I_t + G ([t = t_l] - [t = 0] - [t = t_l + L_l]), \quad
        s = [v > th], \quad v \mathrel{-}= s\,th, \quad t_l = \sum_{i < l} L_i

    With G no smaller than any membrane, a layer is silent until its inputs are complete, fires as
    in the synchronous schedule, and is silent from then on. No neuron is told anything; this is the
    form for hardware that has plain neurons only, if a membrane can hold G.

    Returns:
        Latency: as in the synchronous schedule.
    """
    levels = [layer.stage.levels for layer in machine.layers]
    opens = list(accumulate(levels, initial=0))
    machine.inject()
    for tick in range(opens[-1] + 1):
        for layer, opening, closing in zip(machine.layers, opens, opens[1:], strict=False):
            gate = (tick == opening) - (tick == 0) - (tick == closing)
            layer.integrate(gate * layer.hold)
            layer.fire(layer.v_mem > layer.stage.threshold)
        machine.tick()
    return machine.clock
