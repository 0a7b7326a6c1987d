"""The int64 definition against plain Python integers, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import QuantError
from rivc.snn_convert import Layer, SpikingProgram, reference
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
    st.integers(2, 60),
    st.integers(-200, 200),
    st.integers(0, 4),
    st.sampled_from([1, 3, 15]),
    st.integers(-300, 300),
)
def test_the_staircase_rounds_ties_up(
    threshold: int, bias: int, frac_bits: int, levels: int, z: int
) -> None:
    layer = one_neuron(threshold, bias, frac_bits, levels)
    exact = ((z << frac_bits) + bias) / threshold
    nearest = int(np.floor(exact + 0.5)) if threshold % 2 == 0 else round(exact)
    got = int(reference.staircase(layer, np.array([[z]]))[0, 0])
    assert got == min(max(nearest, 0), levels)
    assert got == naive.fire(layer, 0, z)


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
