"""Random programs: rebuilt from their number, within their profile, and of everything there is."""

from __future__ import annotations

import numpy as np
import pytest

from rivc.neurochip.states import boundary_sides
from rivc.neurochip.testing import make_program, make_states
from rivc.neurochip.testing.generate import describe
from rivc.neurochip.testing.integers import draw_staircase, legal_biases, legal_thresholds
from rivc.quant import ArithmeticProfile, load_profile
from rivc.snn_convert import SpikingProgram, reference

NUMBERS = range(60)


@pytest.fixture(scope="module")
def programs() -> list[SpikingProgram]:
    return [make_program("ideal", number) for number in NUMBERS]


def test_a_number_gives_the_same_program_again(programs: list[SpikingProgram]) -> None:
    assert programs == [make_program("ideal", number) for number in NUMBERS]
    assert programs[0] != make_program("ideal", 0, seed=1)


def test_a_version_has_the_same_layers_and_other_integers(programs: list[SpikingProgram]) -> None:
    for number in NUMBERS:
        program, other = programs[number], make_program("ideal", number, version=1)
        assert describe(program) == describe(other)
        assert program.shapes == other.shapes
        assert program != other


def test_programs_are_of_everything_there_is(programs: list[SpikingProgram]) -> None:
    layers = [layer for program in programs for layer in program.layers]
    windows = [layer for layer in layers if layer.kind in {"conv2d", "maxpool2d"}]
    images = [p.encoding.shape for p in programs if p.encoding.kind == "image"]
    assert {layer.levels for layer in layers} >= {0, 1, 3, 7, 15, 255}
    assert {layer.weight_bits for layer in layers if layer.levels} >= {1, 2, 3, 4, 8}
    assert {p.action_layout[0] for p in programs} == {1, 2, 3, 4, 5, 6}
    assert {layer.stride for layer in windows} == {1, 2, 3}
    assert any(high != wide for high, wide, _ in images)
    assert any(layer.window[0] != layer.window[1] for layer in windows)
    assert any(layer.padding[0] > layer.padding[2] for layer in windows)
    assert any(layer.padding[0] < layer.padding[2] for layer in windows)
    assert any(p.encoding.kind == "image" and p.layers[1].kind == "dense" for p in programs)
    assert any(len(p.layers) == 1 for p in programs)


def test_membranes_tie_saturate_rest_and_fire_by_themselves(
    programs: list[SpikingProgram],
) -> None:
    seen = dict.fromkeys(("tie", "saturated", "dead", "by itself"), 0)
    for number, program in enumerate(programs):
        counts = np.concatenate(list(make_states(program, number, count=8).values()))
        received = [counts.astype(np.int64), *reference.trace(program, counts)]
        for layer, x, emitted in zip(program.layers, received, received[1:], strict=False):
            if layer.levels:
                z = reference.weighted(layer, x)
                seen["tie"] += bool(boundary_sides(layer, z)[0].any())
                seen["saturated"] += bool((emitted == layer.levels).any())
                seen["dead"] += bool((emitted == 0).all())
                silent = reference.staircase(layer, np.zeros_like(z))
                seen["by itself"] += bool((silent > 0).any())
    assert min(seen.values()) >= 5, seen


@pytest.mark.parametrize("name", ["ideal", "akida1", "akida2"])
def test_the_integers_are_those_of_the_profile(name: str) -> None:
    profile = load_profile(name)
    for number in NUMBERS:
        program = make_program(name, number)
        assert program.profile == name
        weighted = [layer for layer in program.layers if layer.has_weights]
        for layer in (layer for layer in weighted if layer.levels):
            assert profile.holds(layer.threshold, layer.bias).all()
            assert layer.frac_bits == profile.frac_bits
        assert weighted[-1].weight_bits == (profile.readout_bits or program.layers[-1].weight_bits)
        for layer in weighted[1:-1]:
            assert layer.weight_bits in profile.weight_bits


def test_a_profile_without_fraction_bits_has_programs_too() -> None:
    profile = ArithmeticProfile("whole", frac_bits=0, threshold_max=100, bias_max=50)
    threshold = legal_thresholds(profile, np.array([0.0, 7.4, 1e30]))
    assert threshold.tolist() == [2, 7, 100]
    assert legal_biases(profile, np.array([-1e30, 0.4, 1e30]), threshold).tolist() == [-50, 0, 50]
    weight = np.array([[-3, 2], [1, 1]], np.int8)
    for seed in range(50):
        threshold, bias = draw_staircase(np.random.default_rng(seed), profile, weight, 15, 3)
        assert threshold.min() >= 2
        assert threshold.max() <= 100
        assert np.abs(bias).max() <= 50
