"""Layer-synchronous: one layer fires while the next one integrates."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivc.snn_convert.schedules.machine import Machine


def synchronous(machine: Machine) -> int:
    r"""Let every layer in turn fire for L ticks of plain integrate-and-fire.

    .. math:: s_t = [v_t > th], \quad v_{t+1} = v_t - s_t\,th, \quad 0 \le t < L

    The membrane is complete before the first tick, so that the spikes come without a gap from the
    first tick on (a thermometer code) and add up to the count. The OR of a window in every tick
    then adds up to its largest count. The next layer waits for all of them, so that one product
    will do for all ticks.

    Returns:
        Latency: the sum of L over the layers, and one tick for the readout.
    """
    machine.inject()
    for layer in machine.layers:
        with nullcontext() if machine.is_watched else layer.sending_at_once():
            for _ in range(layer.stage.levels):
                layer.fire(layer.v_mem > layer.stage.threshold)
                machine.tick()
    machine.tick()
    return machine.clock
