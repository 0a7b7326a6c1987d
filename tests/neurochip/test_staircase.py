"""The staircase in floats is the staircase in integers, on both ways to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.neurochip.staircase import _cuts_to_float32, make_staircase
from rivc.snn_convert import Layer, reference
from rivc.snn_convert.validate import membrane_bits
from tests.strategies import seeds

LEVELS_IN = 255


def layer_of(threshold: list[int], bias: list[int], levels: int, frac_bits: int) -> Layer:
    """A layer whose sums reach two million either way: float64 unless they are cut off."""
    weight = np.full((len(threshold), 64), 127, np.int8)
    arrays = (np.array(values, np.int32) for values in (bias, threshold))
    return Layer("dense", weight, *arrays, weight_bits=8, frac_bits=frac_bits, levels=levels)


def counts(layer: Layer, z: np.ndarray) -> np.ndarray:
    fire = make_staircase(layer, np.dtype(np.float32), membrane_bits(layer, LEVELS_IN))
    return fire((z << layer.frac_bits).astype(np.float32))


def around_every_step(layer: Layer, rng: np.random.Generator) -> np.ndarray:
    """Sums next to every step of every neuron, and anywhere, [N, out]."""
    reach = 64 * 127 * LEVELS_IN
    threshold = layer.threshold.astype(np.int64)
    offset = layer.bias + threshold // 2
    k = np.arange(layer.levels + 2)[:, None]
    at = (k * threshold - offset) >> layer.frac_bits
    near = [at + shift for shift in (-2, -1, 0, 1, 2)]
    anywhere = rng.integers(-reach, reach + 1, (50, len(threshold)))
    ends = np.full((2, len(threshold)), reach) * np.array([[1], [-1]])
    return np.clip(np.concatenate([*near, anywhere, ends]), -reach, reach)


thresholds = st.one_of(  # just above one step of the sums, or anywhere
    st.lists(st.integers(16, 40), min_size=1, max_size=5),
    st.lists(st.integers(2, 30_000), min_size=1, max_size=5),
    st.lists(st.integers(1 << 14, 1 << 21), min_size=1, max_size=5),
)


@given(
    thresholds,
    st.sampled_from([1, 3, 15, 127, 255]),
    st.sampled_from([0, 4, 4, 7]),
    seeds,
)
def test_counts_are_those_of_the_definition(
    threshold: list[int], levels: int, frac_bits: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    reach = int(rng.choice([100, 100_000, 1 << 25]))
    bias = rng.integers(-reach, reach, len(threshold)).tolist()
    layer = layer_of(threshold, bias, levels, frac_bits)
    z = around_every_step(layer, rng)
    np.testing.assert_array_equal(counts(layer, z), reference.staircase(layer, z))


@pytest.mark.parametrize(("threshold", "cut"), [(16, True), (15, False)])
def test_sums_are_cut_off_first_only_where_a_threshold_holds_a_whole_step(
    threshold: int, cut: bool
) -> None:
    layer = layer_of([threshold], [-7], levels=15, frac_bits=4)
    assert _cuts_to_float32(layer) == cut


@pytest.mark.parametrize("bias", [1 << 25, -(1 << 25)])
def test_an_offset_that_float32_does_not_hold_is_not_cut(bias: int) -> None:
    assert not _cuts_to_float32(layer_of([99], [bias], levels=15, frac_bits=4))
