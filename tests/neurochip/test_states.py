"""States that tell forms apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.nets import build_network
from rivc.neurochip.emulator import Emulator
from rivc.neurochip.export import make_golden
from rivc.neurochip.limits import ChipLimits
from rivc.neurochip.states import boundary_sides, hard_states, has_tie, random_states
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import SpikingProgram, convert, reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

NETWORKS = {
    "vector": {"kind": "mlp", "input_shape": (4,), "action_layout": (1, 2), "hidden": (16, 16)},
    "chip": {
        "kind": "mlp",
        "input_shape": (8,),
        "action_layout": (2, 3),
        "hidden": (16,),
        "profile": "akida1",
    },
    "image": {
        "kind": "conv",
        "input_shape": (12, 10, 3),
        "action_layout": (1, 5),
        "conv": ((8, 3, 2), (8, 3, 1)),
        "hidden": (16,),
    },
}


def program_of(name: str) -> SpikingProgram:
    return convert(build_network(**NETWORKS[name]))  # type: ignore[arg-type]


@pytest.fixture(params=NETWORKS)
def program(request: pytest.FixtureRequest) -> SpikingProgram:
    return program_of(request.param)


def sides(program: SpikingProgram, counts: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
    """States at, and one below, a threshold: a pair of numbers for every spiking layer."""
    received = [counts.astype(np.int64), *reference.trace(program, counts)]
    return [
        boundary_sides(layer, reference.weighted(layer, x)).sum(1)
        for layer, x in zip(program.layers, received, strict=False)
        if layer.levels
    ]


def test_boundary_states_meet_both_sides_of_a_threshold_in_every_layer(
    program: SpikingProgram,
) -> None:
    states = hard_states(program, np.random.default_rng(0))["boundary"]
    assert all((counts > 0).all() for counts in sides(program, states))


def test_random_states_alone_seldom_meet_a_boundary_of_a_first_layer() -> None:
    program = program_of("vector")
    states = random_states(program.encoding, 256, np.random.default_rng(0))
    assert sides(program, states)[0].min() == 0


def test_a_tie_is_between_the_greatest_readouts() -> None:
    readout = np.array([[[3, 3, 1]], [[3, 1, 1]], [[2, 2, 2]]])
    assert has_tie(readout).tolist() == [True, False, True]


def test_one_action_ties_with_nothing() -> None:
    assert not has_tie(np.zeros((2, 3, 1), np.int64)).any()


def test_ties_are_found(program: SpikingProgram) -> None:
    ties = hard_states(program, np.random.default_rng(0))["ties"]
    assert len(ties)
    assert has_tie(reference.run(program, ties)).all()


def test_the_extremes_are_nothing_and_everything(program: SpikingProgram) -> None:
    lowest, highest = hard_states(program, np.random.default_rng(0))["extremes"]
    assert (lowest == 0).all()
    assert (highest == program.encoding.levels).all()


def test_saturation_drives_a_neuron_to_its_largest_and_smallest_sum() -> None:
    program = program_of("vector")
    layer, top = program.layers[0], program.encoding.levels
    states = hard_states(program, np.random.default_rng(0))["saturation"]
    sums = reference.weighted(layer, states.astype(np.int64))
    weight = layer.weight.astype(np.int64)
    assert (sums.max(0) == np.clip(weight, 0, None).sum(1) * top).all()
    assert (sums.min(0) == np.clip(weight, None, 0).sum(1) * top).all()


@pytest.mark.parametrize("bit_width", [1, 4, 8])
def test_random_states_stay_in_range(bit_width: int) -> None:
    encoding = InputEncoding.over_range([0.0] * 3, [1.0] * 3, bit_width=bit_width)
    states = random_states(encoding, 64, np.random.default_rng(0))
    assert states.dtype == np.uint8
    assert states.shape == (64, 3)
    assert states.max() == encoding.levels


def test_no_random_states_have_the_shape_of_states() -> None:
    assert random_states(InputEncoding.image((8, 8, 3)), 0, np.random.default_rng(0)).shape == (
        0,
        8,
        8,
        3,
    )


def test_golden_vectors_are_enough_and_the_same_for_the_same_seed(program: SpikingProgram) -> None:
    one, other = make_golden(program), make_golden(program)
    assert len(one.inputs) >= 256
    assert sum(one.kinds.values()) == len(one.inputs)
    np.testing.assert_array_equal(one.inputs, other.inputs)
    np.testing.assert_array_equal(one.readout, reference.run(program, one.inputs))


@pytest.mark.parametrize("shift", [-1, 1])
def test_golden_vectors_catch_a_staircase_that_is_off_by_one(
    program: SpikingProgram, shift: int
) -> None:
    golden = make_golden(program)
    for i, layer in enumerate(program.layers):
        if layer.levels:
            layers = list(program.layers)
            layers[i] = replace(layer, bias=layer.bias + np.int32(shift))
            wrong = replace(program, layers=tuple(layers))
            emitted = reference.trace(program, golden.inputs)[i]
            assert (reference.trace(wrong, golden.inputs)[i] != emitted).any(), f"layer {i}"


def test_membranes_too_wide_for_the_emulator_have_the_same_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = program_of("chip")
    before = make_golden(program)
    monkeypatch.setattr(Emulator, "limits", ChipLimits(membrane_bits=4))
    np.testing.assert_array_equal(make_golden(program).inputs, before.inputs)
