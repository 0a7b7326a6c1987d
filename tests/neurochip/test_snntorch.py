"""Facts about the stock neurons: they spike as counted, and none is kept alive."""

from __future__ import annotations

import torch
from snntorch import SpikingNeuron

from rivc.neurochip import load_backend
from rivc.neurochip.snntorch import _leaky
from tests.programs import conv_program


def test_neurons_do_not_pile_up_in_the_library() -> None:
    chip = load_backend("snntorch")
    before = len(SpikingNeuron.instances)
    for seed in range(5):
        chip.load(conv_program(seed))
    assert len(SpikingNeuron.instances) == before


def test_a_stock_neuron_that_is_charged_at_once_spikes_early_and_then_rests() -> None:
    neuron = _leaky(torch.tensor(4.0))
    v_mem, spikes = torch.zeros(1), []
    for tick in range(6):
        spike, v_mem = neuron(torch.tensor([12.5 if tick == 0 else 0.0]), v_mem)
        spikes.append(int(spike))
    assert spikes == [1, 1, 1, 0, 0, 0]


def test_a_membrane_half_below_its_threshold_stays_silent() -> None:
    neuron = _leaky(torch.tensor(4.0))
    spike, _ = neuron(torch.tensor([3.5]), torch.zeros(1))
    assert int(spike) == 0
