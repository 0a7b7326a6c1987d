"""The int64 definition against plain Python integers, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import QuantError
from rivc.quant.exact import SIGNIFICAND
from rivc.snn_convert import Layer, SpikingProgram, reference
from rivc.snn_convert.validate import MAX_LEVELS, MAX_NEURONS
from rivc.snn_convert.windows import windows
from tests import naive
from tests.programs import dense_program, random_counts
from tests.strategies import counts_for, programs


@settings(max_examples=60)
@given(programs(), st.data())
def test_the_definition_is_integrate_and_fire_tick_by_tick(
    program: SpikingProgram, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(program))
    emitted = reference.trace(program, counts)
    readout = reference.run(program, counts)
    for b, state in enumerate(counts):
        expected, spikes = naive.run(program, state)
        assert readout[b].tolist() == expected
        fired = [int(x[b].sum()) for x, q in zip(emitted, program.layers, strict=True) if q.levels]
        assert fired == spikes


@settings(max_examples=60)
@given(programs(), st.data())
def test_weighted_sums_are_those_of_plain_integers(
    program: SpikingProgram, data: st.DataObject
) -> None:
    """No BLAS and no float: every product and every sum in int64."""
    counts = data.draw(counts_for(program))
    received: list[np.ndarray] = [counts.astype(np.int64), *reference.trace(program, counts)]
    for layer, x in zip(program.layers, received, strict=False):
        if layer.has_weights:
            z, weight = reference.weighted(layer, x), layer.weight.astype(np.int64)
            expected = (
                np.einsum("bi,oi->bo", x, weight)
                if layer.kind == "dense"
                else np.einsum("bhwcij,ocij->bhwo", windows(layer, x), weight)
            )
            assert z.dtype == np.int64
            np.testing.assert_array_equal(z, expected)


def test_a_wide_layer_adds_up_exactly() -> None:
    """All inputs at one end but an odd one; the widest layer, 16 times as wide, has room left."""
    inputs = MAX_NEURONS // 16
    layer = Layer("dense", np.full((1, inputs), -127, np.int8), np.zeros(1, np.int32))
    x = np.full((1, inputs), MAX_LEVELS)
    x[0, 0] -= 1
    assert reference.weighted(layer, x).item() == 127 - 127 * MAX_LEVELS * inputs
    assert MAX_LEVELS * 128 * MAX_NEURONS < 1 << 39 < 1 << SIGNIFICAND["float64"]


def one_neuron(threshold: int, bias: int, frac_bits: int, levels: int) -> Layer:
    return Layer(
        "dense",
        np.ones((1, 1), np.int8),
        np.array([bias], np.int32),
        np.array([threshold], np.int32),
        weight_bits=2,
        frac_bits=frac_bits,
        levels=levels,
    )


@given(
    st.integers(1, 1000),
    st.integers(0, 4),
    st.sampled_from([1, 3, 15, 255]),
    st.integers(-(10**6), 10**6),
    st.data(),
)
def test_the_staircase_rounds_to_nearest_and_ties_up(
    half: int, frac_bits: int, levels: int, z: int, data: st.DataObject
) -> None:
    """At a tie between two counts, just below it and just above it."""
    threshold, count = 2 * half, data.draw(st.integers(-1, levels))
    tie = count * threshold + half
    for v_mem, expected in ((tie - 1, count), (tie, count + 1), (tie + 1, count + 1)):
        layer = one_neuron(threshold, v_mem - (z << frac_bits), frac_bits, levels)
        got = int(reference.staircase(layer, np.array([[z]]))[0, 0])
        assert got == min(max(expected, 0), levels) == naive.fire(layer, 0, z)


@given(st.integers(1, 1000), st.sampled_from([1, 3, 15, 255]), st.data())
def test_an_odd_threshold_has_no_ties(half: int, levels: int, data: st.DataObject) -> None:
    threshold, count = 2 * half + 1, data.draw(st.integers(-1, levels))
    for v_mem, expected in ((count * threshold + half, count), (count * threshold - half, count)):
        layer = one_neuron(threshold, v_mem, 0, levels)
        got = int(reference.staircase(layer, np.array([[0]]))[0, 0])
        assert got == min(max(expected, 0), levels) == naive.fire(layer, 0, 0)


def test_the_trace_has_one_array_a_layer_and_the_readout_last(
    program: SpikingProgram, rng: np.random.Generator
) -> None:
    counts = random_counts(program, rng, 3)
    emitted = reference.trace(program, counts)
    assert [x.shape[1:] for x in emitted] == list(program.shapes[1:])
    assert all(x.dtype == np.int64 for x in emitted)
    np.testing.assert_array_equal(
        emitted[-1].reshape(3, *program.action_layout), reference.run(program, counts)
    )


@pytest.mark.parametrize(
    ("padding", "pixel", "seen"),
    [
        ((2, 0, 0, 0), (2, 1), [[0], [0], [1]]),
        ((0, 2, 0, 0), (1, 2), [[0, 0, 1]]),
        ((0, 0, 2, 0), (0, 1), [[1], [0], [0]]),
        ((0, 0, 0, 2), (1, 0), [[1, 0, 0]]),
    ],
    ids=["top", "left", "bottom", "right"],
)
def test_the_padding_order_is_top_left_bottom_right(
    padding: tuple[int, int, int, int], pixel: tuple[int, int], seen: list[list[int]]
) -> None:
    """A pixel at the far edge is seen by the window that is farthest from the padding alone."""
    ones = np.ones((1, 1, 3, 3), np.int8)
    layer = Layer("conv2d", ones, np.zeros(1, np.int32), weight_bits=2, padding=padding)
    image = np.zeros((1, 3, 3, 1), np.int64)
    image[0, *pixel, 0] = 1
    assert reference.weighted(layer, image)[0, :, :, 0].tolist() == seen


def test_an_empty_batch_gives_an_empty_readout(program: SpikingProgram) -> None:
    counts = np.zeros((0, *program.encoding.shape), np.uint8)
    assert reference.run(program, counts).shape == (0, *program.action_layout)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.zeros((2, 6), np.int64), "uint8"),
        (np.zeros((2, 6)), "uint8"),
        (np.zeros((2, 5), np.uint8), r"\(2, 5\)"),
        (np.zeros(6, np.uint8), "uint8"),
        (np.zeros((), np.uint8), "uint8"),
        (np.full((2, 6), 16, np.uint8), r"16 .* 0\.\.15"),
    ],
)
def test_counts_that_the_program_cannot_take_are_refused(counts: np.ndarray, message: str) -> None:
    with pytest.raises(QuantError, match=message):
        reference.run(dense_program(), counts)
