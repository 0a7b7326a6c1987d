"""Membranes of lossy chips: how wide they are, where they saturate, what they never meet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import QuantError
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from rivc.snn_convert.lossy import Lossy
from rivc.snn_convert.schedules import run
from rivc.snn_convert.schedules.circuit import build_circuit, wire
from tests.programs import dense_program, one_neuron, wide_program
from tests.strategies import counts_for, programs


def test_membranes_have_room_for_what_was_to_be_taken_back_and_is_dropped() -> None:
    program = dense_program()
    middle = Layer(
        "dense",
        np.ones((5, 5), np.int8),
        np.zeros(5, np.int32),
        np.full(5, 8, np.int32),
        weight_bits=2,
        levels=15,
    )
    program = replace(program, layers=(program.layers[0], middle, program.layers[1]))
    exact = list(wire(program))
    lossy = list(wire(program, Lossy(dropped_spikes=0.1)))
    assert lossy[1].reach == exact[1].reach  # the first layer takes nothing back
    assert lossy[2].reach > exact[2].reach


@pytest.mark.parametrize(("schedule", "more"), [("synchronous", 0), ("radix", 0), ("gated", 1)])
@settings(max_examples=30)
@given(program=programs(), data=st.data())
def test_a_register_of_the_membrane_s_width_saturates_nothing(
    schedule: str, more: int, program: SpikingProgram, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(program))
    lossy = Lossy(membrane_bits=max(program.membrane_bits) + more)
    done = run(program, counts, schedule, lossy=lossy)
    np.testing.assert_array_equal(done.readout, reference.run(program, counts))


@pytest.mark.parametrize(("bits", "expected"), [(9, 50), (8, 31), (7, 15), (4, 1), (2, 0)])
def test_a_membrane_saturates_at_the_largest_number_of_its_register(
    bits: int, expected: int
) -> None:
    """200 plus half of 4 is 202, 50 thresholds; 127 are 31 of them, 63 are 15, and 7 is one."""
    program = one_neuron(threshold=4, levels=255)
    done = run(program, np.array([[200]], np.uint8), lossy=Lossy(membrane_bits=bits))
    assert done.counts[0].item() == expected
    assert done.readout.item() == min(expected, (1 << (bits - 1)) - 1)


def test_a_membrane_saturates_at_the_smallest_number_too() -> None:
    program = one_neuron(threshold=4, levels=255)
    bias = np.array([-1000], np.int32)
    layers = (program.layers[0], replace(program.layers[1], bias=bias))
    program = replace(program, layers=layers)
    done = run(program, np.zeros((1, 1), np.uint8), lossy=Lossy(membrane_bits=8))
    assert done.readout.item() == -128


def test_what_saturates_on_the_way_is_lost() -> None:
    """15 - 4 passes the register of four bits in the first tick, 15 - 3 * 4 in the end does not."""
    hidden = Layer(
        "dense",
        2 * np.eye(2, dtype=np.int8),
        np.zeros(2, np.int32),
        np.full(2, 2, np.int32),
        weight_bits=3,
        levels=3,
    )
    last = Layer("dense", np.array([[15, -4]], np.int8), np.zeros(1, np.int32), weight_bits=5)
    encoding = InputEncoding("vector", (2,), 2, (0.0,) * 2, (1.0,) * 2)
    program = SpikingProgram(encoding, (hidden, last), 1.0, (1, 1), "ideal")
    counts = np.array([[1, 3]], np.uint8)
    assert run(program, counts).readout.item() == 3
    for raster in (False, True):
        assert (
            run(program, counts, lossy=Lossy(membrane_bits=4), raster=raster).readout.item() == -1
        )


def test_a_gate_is_no_larger_than_its_register() -> None:
    """A larger current would lift a membrane from the floor to the ceiling, and it would fire."""
    program = dense_program()
    first = program.layers[0]
    silent = replace(first, bias=np.full(5, -(2**20), np.int32))
    second = Layer(
        "dense",
        np.ones((6, 5), np.int8),
        np.full(6, -(2**10), np.int32),
        np.full(6, 40, np.int32),
        weight_bits=2,
        levels=15,
    )
    last = Layer("dense", np.ones((6, 6), np.int8), np.zeros(6, np.int32), weight_bits=2)
    program = replace(program, layers=(silent, second, last))
    counts = np.zeros((1, 6), np.uint8)
    done = run(program, counts, "gated", lossy=Lossy(membrane_bits=8))
    assert done.spike_counts.tolist() == [[0], [0]]


@settings(max_examples=40)
@given(
    programs(),
    st.integers(1, 255),
    st.sampled_from([0, 0.5]),
    st.sampled_from([0, 0.7]),
)
def test_no_lossy_membrane_meets_its_threshold(
    program: SpikingProgram, ticks: int, weight_noise: float, membrane_noise: float
) -> None:
    lossy = Lossy(ticks=ticks, weight_noise=weight_noise, membrane_noise=membrane_noise)
    for stage in wire(program, lossy):
        assert (stage.start % 2 == 1).all() or not stage.levels
        assert all((even % 2 == 0).all() for even in (stage.threshold, stage.bias))
        assert stage.gain % 2 == 0


def test_losses_that_64_bits_cannot_hold_are_refused() -> None:
    program, lossy = wide_program(), Lossy(streaming=4093, weight_noise=1.0)
    assert max(stage.bits for stage in wire(program, lossy)) > 64
    with pytest.raises(QuantError, match=r"layer 0: .* bits, more than 64; take smaller losses"):
        build_circuit(program, lossy)
