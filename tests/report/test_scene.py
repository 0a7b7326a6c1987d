"""What is shown of a program, against the definition of the program."""

from __future__ import annotations

import numpy as np

from rivc.nets import build_network
from rivc.report.scene import LayerCells, spike_rates, spiking_layers
from rivc.snn_convert import SpikingProgram, convert, reference


def camera_program() -> SpikingProgram:
    network = build_network(
        "conv", input_shape=(8, 8, 3), action_layout=(1, 3), conv=((4, 3, 2),), hidden=(6,)
    )
    return convert(network)


def test_layers_that_fire_are_shown_and_no_others() -> None:
    assert spiking_layers(camera_program()) == (LayerCells("conv 4", 4), LayerCells("dense 6", 6))


def test_rates_are_counts_over_levels() -> None:
    program = camera_program()
    counts = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    emitted = reference.trace(program, counts)
    conv, dense = spike_rates(program, emitted)
    np.testing.assert_allclose(conv, emitted[0][0].mean((0, 1)) / 15)
    np.testing.assert_allclose(dense, emitted[2][0] / 15)
