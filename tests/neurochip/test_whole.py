"""A whole program over bytes: the integers of the definition, whatever the layers and the batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import QuantError
from rivc.neurochip.kernels.packed import pack
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from tests.emulators import WAYS, Chip, actor
from tests.programs import random_counts
from tests.random_programs import KINDS, random_program
from tests.strategies import counts_for, programs


def conv(
    units: int, planes: int, kernel: tuple[int, int], stride: int = 1, level: int = 15
) -> Layer:
    """Weights and thresholds drawn so that counts of either end are met."""
    rng = np.random.default_rng(units)
    weight = rng.integers(-127, 128, (units, planes, *kernel)).astype(np.int8)
    threshold = rng.integers(2000, 9000, units).astype(np.int32)
    bias = rng.integers(-5000, 5000, units).astype(np.int32)
    return Layer("conv2d", weight, bias, threshold, weight_bits=8, levels=level, stride=stride)


def readout(inputs: int, units: int) -> Layer:
    rng = np.random.default_rng(inputs)
    weight = rng.integers(-127, 128, (units, inputs)).astype(np.int8)
    ends = rng.choice([-(2**31), 2**31 - 1], units).astype(np.int32)
    return Layer("dense", weight, ends, weight_bits=8)


def camera(shape: tuple[int, int, int], layers: tuple[Layer, ...], units: int) -> SpikingProgram:
    """A program that sees pictures."""
    emitted: tuple[int, ...] = shape
    for layer in layers:
        emitted = layer.output_shape(emitted)
    last = readout(int(np.prod(emitted)), units)
    encoding = InputEncoding.image(shape)
    return SpikingProgram(encoding, (*layers, Layer("flatten"), last), 1.0, (1, units), "ideal")


def assert_exact(program: SpikingProgram, counts: np.ndarray) -> None:
    """Readout and spikes are those of the definition and of the layers in numpy."""
    chip, other = Chip("bytes"), Chip("numpy")
    chip.load(program)
    other.load(program)
    result = chip.infer(counts)
    np.testing.assert_array_equal(result.readout, reference.run(program, counts))
    np.testing.assert_array_equal(result.spike_counts, other.infer(counts).spike_counts)


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_any_program_is_exact(data: st.DataObject) -> None:
    program = data.draw(programs())
    assert_exact(program, data.draw(counts_for(program)))


@pytest.mark.parametrize("planes", [1, 2, 3, 16])
@pytest.mark.parametrize("kernel", [(1, 1), (1, 3), (3, 1), (3, 3), (5, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_windows_of_any_line_are_exact_at_full_counts(
    planes: int, kernel: tuple[int, int], stride: int
) -> None:
    shape, layer = (7, 6, planes), conv(17, planes, kernel, stride)
    rng = np.random.default_rng(0)
    counts = rng.choice(np.array([0, 1, 254, 255], np.uint8), (5, *shape))
    assert_exact(camera(shape, (layer,), 5), counts)


@pytest.mark.parametrize(("kernel", "is_copied"), [((5, 2), True), ((5, 3), True), ((5, 4), False)])
def test_lines_shorter_than_a_word_are_read_where_more_bytes_follow(
    kernel: tuple[int, int], is_copied: bool
) -> None:
    packed = pack(camera((5, kernel[1], 1), (conv(3, 1, kernel),), 4))
    assert packed is not None
    assert packed.layers["is_copied"].tolist() == [is_copied, True]


@pytest.mark.parametrize("units", [1, 5, 16, 17, 32, 33, 100])
def test_a_layer_may_have_any_number_of_units(units: int) -> None:
    program = camera((6, 7, 2), (conv(units, 2, (3, 3)), conv(units, units, (2, 2))), units)
    assert_exact(program, random_counts(program, np.random.default_rng(0), 3))


def test_a_batch_of_many_blocks_is_exact() -> None:
    shape = 40, 36, 2
    layers = conv(8, 2, (3, 3)), Layer("maxpool2d", kernel=3, stride=2), conv(9, 8, (3, 3), 2)
    program = camera(shape, layers, 6)
    packed = pack(program)
    assert packed is not None
    assert 1 < packed.block < 20
    assert_exact(program, random_counts(program, np.random.default_rng(0), 3 * packed.block + 1))


def test_what_shapes_decide_is_laid_out_once() -> None:
    program = random_program(np.random.default_rng(0), KINDS[2], 4)
    integers = [
        (-layer.weight, layer.bias, layer.threshold)
        for layer in program.layers
        if layer.has_weights
    ]
    before, after = pack(program), pack(program.with_integers(integers, 1.0))
    assert before is not None
    assert after is not None
    assert after.layers is before.layers
    np.testing.assert_array_equal(after.words.view(np.int8), -before.words.view(np.int8))


@pytest.mark.parametrize(("inputs", "is_taken"), [(66_000, True), (67_000, False)])
def test_sums_that_int32_does_not_hold_go_another_way(inputs: int, is_taken: bool) -> None:
    last = Layer("dense", np.full((2, inputs), 127, np.int8), np.zeros(2, np.int32), weight_bits=8)
    encoding = InputEncoding("vector", (inputs,), 8, (0.0,) * inputs, (1.0,) * inputs)
    program = SpikingProgram(encoding, (last,), 1.0, (1, 2), "ideal")
    assert (pack(program) is not None) == is_taken


@pytest.mark.parametrize("way", WAYS)
def test_a_pixel_beyond_the_largest_count_is_an_error(way: str) -> None:
    encoding = InputEncoding("image", (2, 2, 1), 4)
    last = Layer("dense", np.eye(4, dtype=np.int8), np.zeros(4, np.int32), weight_bits=2)
    program = SpikingProgram(encoding, (Layer("flatten"), last), 1.0, (1, 4), "ideal")
    act = actor(program, way)
    seen = np.array([0, 15, 3, 2], np.uint8).reshape(2, 2, 1)
    assert act(seen).tolist() == [1]
    with pytest.raises(QuantError, match="16"):
        act(seen + np.uint8(1))
