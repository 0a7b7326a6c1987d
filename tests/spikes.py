"""What the definition says about spikes: who fires under a schedule, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rivc.snn_convert import reference

if TYPE_CHECKING:
    from rivc.snn_convert import SpikingProgram

POOLING = ("signed", "radix")  # the schedules that pool membranes: the pooled neurons fire


def fired(program: SpikingProgram, counts: np.ndarray, schedule: str) -> list[np.ndarray]:
    """Return the counts of the neurons that fire, one array a spiking layer."""
    emitted = reference.trace(program, counts)
    found = []
    for i, layer in enumerate(program.layers):
        if layer.levels:
            found.append(emitted[i])
        if layer.kind == "maxpool2d" and found and schedule in POOLING:
            found[-1] = emitted[i]
    return found


def levels_of(program: SpikingProgram) -> list[int]:
    """Return L of every spiking layer."""
    return [layer.levels for layer in program.layers if layer.levels]


def digits(count: int, levels: int) -> list[int]:
    """Take the larger half of what is left of the range, tick by tick, wherever it fits."""
    taken = []
    while levels:
        worth = levels - levels // 2
        taken.append(int(count >= worth))
        count -= worth * taken[-1]
        levels -= worth
    assert count == 0
    return taken


def assert_spikes(
    spike_counts: np.ndarray, program: SpikingProgram, counts: np.ndarray, schedule: str
) -> None:
    """Hold the spikes of each layer and state against the definition, [layers, B].

    Thermometer codes spike as often as the definition counts, radix once a digit, and signed once
    for every count and twice for every one that was taken back.
    """
    totals = [x.reshape(len(counts), -1).sum(1) for x in fired(program, counts, schedule)]
    expected = np.array(totals, np.int64).reshape(len(totals), len(counts))
    if schedule == "signed":
        assert (spike_counts >= expected).all()
        assert ((spike_counts - expected) % 2 == 0).all()
        return
    if schedule == "radix":
        for i, (x, levels) in enumerate(
            zip(fired(program, counts, schedule), levels_of(program), strict=True)
        ):
            spikes = np.array([sum(digits(count, levels)) for count in range(levels + 1)])
            expected[i] = spikes[x].reshape(len(x), -1).sum(1)
    np.testing.assert_array_equal(spike_counts, expected)
