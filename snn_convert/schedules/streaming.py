"""Streaming: spike rates and no waiting, what conversion usually means; never exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivc.snn_convert.schedules.machine import Machine


def streaming(machine: Machine) -> int:
    """Step every layer for T ticks of plain integrate-and-fire; see `Lossy.streaming`.

    Input and biases are spread over the ticks. Longer runs do not become exact: finer rates do not
    have the rounding that the network was trained with.

    Returns:
        Latency: T, and one tick for the readout.
    """
    for _ in range(machine.circuit.lossy.streaming or 1):
        machine.inject()
        for layer in machine.layers:
            layer.fire(layer.v_mem > layer.stage.threshold)
        machine.tick()
    machine.tick()
    return machine.clock
