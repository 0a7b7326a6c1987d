"""Facts about the default chip: the types it takes are wide enough, and no wider."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rivc.neurochip.floats import NUMPY, Kernels
from rivc.neurochip.kernels import COMPILED, packed, rows, steps, whole
from rivc.neurochip.kernels.stairs import integer
from rivc.neurochip.staircase import membrane_type
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from rivc.snn_convert.validate import MAX_NEURONS, membrane_bits
from tests.emulators import WAYS, Chip
from tests.programs import random_counts
from tests.random_programs import KINDS, random_program


def neuron(fan_in: int, threshold: int, levels: int, frac_bits: int = 4) -> Layer:
    """One neuron whose largest membrane is the sum of `fan_in` full weights and counts."""
    return Layer(
        "dense",
        np.full((1, fan_in), 127, np.int8),
        np.array([0], np.int32),
        np.array([threshold], np.int32),
        weight_bits=8,
        frac_bits=frac_bits,
        levels=levels,
    )


def carrier(layer: Layer) -> np.dtype[Any]:
    return membrane_type(layer, membrane_bits(layer, 255))


def test_float32_is_taken_up_to_the_written_bound() -> None:
    """2 (2^F D + |B| + th) + 1 < 2^24 and (L + 1) th < 2^23."""
    layer = neuron(16, 2, 15)
    room = (1 << 23) - 1 - (16 * 127 * 255 << 4)  # what is left for bias and threshold
    assert room > 1 << 10
    just = replace(layer, bias=np.array([room - 2], np.int32))
    over = replace(layer, bias=np.array([room - 1], np.int32))
    assert carrier(just) == np.float32
    assert carrier(over) == np.float64


def test_float32_is_left_where_a_quotient_would_round() -> None:
    th = ((1 << 23) - 1) // 256
    assert carrier(neuron(1, th, 255)) == np.float32
    assert carrier(neuron(1, th + 1, 255)) == np.float64


@pytest.mark.parametrize("bits", [16, 32])
def test_sums_ride_in_the_narrowest_integers(bits: int) -> None:
    assert integer(bits) == np.dtype(f"int{bits}")
    assert integer(bits + 1) == np.dtype(f"int{2 * bits}")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "fan_in", [66_000, 67_000]
)  # 127 * 255 times it: just within int32, beyond
def test_sums_of_either_sign_at_the_end_of_int32_do_not_wrap(fan_in: int, way: str) -> None:
    weight = np.outer(np.array([1, -1], np.int8), np.full(fan_in, 127, np.int8))
    threshold = np.full(2, 1 << 24, np.int32)
    hidden = Layer("dense", weight, np.zeros(2, np.int32), threshold, weight_bits=8, levels=255)
    last = Layer("dense", np.eye(2, dtype=np.int8), np.zeros(2, np.int32), weight_bits=8)
    encoding = InputEncoding("vector", (fan_in,), 8, (0.0,) * fan_in, (1.0,) * fan_in)
    program = SpikingProgram(encoding, (hidden, last), 1.0, (1, 2), "ideal")
    chip = Chip(way)
    chip.load(program)
    counts = np.full((1, fan_in), 255, np.uint8)
    np.testing.assert_array_equal(chip.infer(counts).readout, reference.run(program, counts))


@pytest.mark.parametrize("kernels", [COMPILED, NUMPY], ids=["compiled", "numpy"])
def test_the_spikes_of_the_largest_layer_add_up(kernels: Kernels) -> None:
    counts = np.full((1, MAX_NEURONS), 255, np.uint8 if kernels is COMPILED else np.float32)
    assert int(kernels.totals(counts)[0]) == 255 * MAX_NEURONS


@pytest.mark.parametrize("way", ["bytes", "rows"])
def test_nothing_is_compiled_after_a_load(way: str) -> None:
    """Whatever the batch, and also for arrays that cannot be written or are not contiguous."""
    loops: list[Any] = [whole.run_whole, rows.run_rows, packed.lay_out]
    loops += [steps.add_rows, steps.gather, steps.fire, steps.pool, steps.read_out, steps.add_up]
    rng = np.random.default_rng(0)
    for kind in KINDS:
        program = random_program(rng, kind, 4)
        chip = Chip(way)
        chip.load(program)
        known = [len(loop.signatures) for loop in loops]
        counts = random_counts(program, rng, 66)
        still = counts[:3].copy()
        still.flags.writeable = False
        for batch in (still, counts[:0], counts[:1], counts[::2], np.asfortranarray(counts)):
            expected = reference.run(program, batch)
            np.testing.assert_array_equal(chip.infer(batch).readout, expected)
        assert [len(loop.signatures) for loop in loops] == known


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("frac_bits", [0, 4])
@pytest.mark.parametrize("levels", [1, 15, 255])
@pytest.mark.parametrize("fan_in", [1, 3, 16, 64, 257])
def test_the_emulator_is_exact_on_both_sides_of_the_bound(
    fan_in: int, levels: int, frac_bits: int, way: str
) -> None:
    rng = np.random.default_rng(fan_in)
    units = 400
    worst = fan_in * 127 * 255 << frac_bits
    top = max(4, min(worst, 2**31 - 1) // max(1, levels // 2))
    threshold = rng.integers(2, top, units).astype(np.int32)
    bias = rng.integers(-min(worst, 2**31 - 1), min(worst, 2**31 - 1), units).astype(np.int32)
    weight = rng.choice(np.array([-127, 127, 126, 1], np.int8), (units, fan_in))
    hidden = Layer(
        "dense", weight, bias, threshold, weight_bits=8, frac_bits=frac_bits, levels=levels
    )
    last = Layer("dense", np.eye(units, dtype=np.int8), np.zeros(units, np.int32), weight_bits=8)
    ranges = (0.0,) * fan_in, (1.0,) * fan_in
    encoding = InputEncoding("vector", (fan_in,), 8, *ranges)
    program = SpikingProgram(encoding, (hidden, last), 1.0, (1, units), "ideal")
    counts = rng.choice(np.array([0, 1, 254, 255], np.uint8), (60, fan_in))
    chip = Chip(way)
    chip.load(program)
    np.testing.assert_array_equal(chip.infer(counts).readout, reference.run(program, counts))
