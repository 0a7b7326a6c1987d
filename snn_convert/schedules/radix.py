"""Radix: a layer's spikes are the digits of its counts, the most significant first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivc.snn_convert.schedules.machine import Machine


def radix(machine: Machine) -> int:
    r"""Let every layer in turn fire its count as digits.

    .. math:: s_t = [v_t > w_t\,th], \quad v_{t+1} = v_t - s_t w_t\,th, \quad
        w_t = \lceil R_t / 2 \rceil, \quad R_{t+1} = R_t - w_t, \quad R_0 = L

    A receiver counts the spike of tick t as w_t spikes. For L = 2^k - 1 the worths are
    2^(k-1), ..., 2, 1, and the receiver may just as well double its membrane at every tick. They
    add up to L, and no worth exceeds what remains after it by more than one, so that the digits
    reach every count from 0 to L and saturate there. Membranes are pooled before they fire.

    Returns:
        Latency: the sum over the layers of the bits of L, and one tick for the readout.
    """
    machine.inject()
    for layer in machine.layers:
        for worth in digit_worths(layer.stage.levels):
            layer.fire_pooled(layer.soma > worth * layer.stage.threshold, worth)
            machine.tick()
    machine.tick()
    return machine.clock


def digit_worths(levels: int) -> list[int]:
    """Return what the spike of each tick is worth, in counts.

    Example:
        >>> digit_worths(15), digit_worths(5)
        ([8, 4, 2, 1], [3, 1, 1])
    """
    worths = []
    while levels:
        worths.append((levels + 1) // 2)
        levels //= 2
    return worths
