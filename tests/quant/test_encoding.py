"""Facts about observations on their way to counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.errors import ConfigError, QuantError
from rivc.quant.encoding import InputEncoding

bounds = st.floats(allow_nan=False, allow_infinity=False)


@given(st.integers(1, 8), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_the_bounds_get_the_first_and_the_last_count(bits: int, low: float, span: float) -> None:
    encoding = InputEncoding.over_range([low], [low + span], bit_width=bits)
    counts = encoding.encode([[low], [low + span]])
    assert counts.ravel().tolist() == [0, encoding.levels]


@given(st.integers(1, 8), st.floats(allow_nan=False))
def test_counts_never_wrap(bits: int, value: float) -> None:
    encoding = InputEncoding.over_range([-1.0], [1.0], bit_width=bits)
    count = int(encoding.encode([value])[0])
    expected = min(max((value + 1) / encoding.step[0], 0.0), encoding.levels)
    assert abs(count - expected) <= 0.5


@given(bounds, bounds)
def test_any_finite_range_gives_a_finite_encoding_or_a_clear_refusal(a: float, b: float) -> None:
    try:
        encoding = InputEncoding.over_range([min(a, b)], [max(a, b)], bit_width=8)
    except QuantError as error:
        assert "range" in str(error)  # noqa: PT017
        return
    assert 0 < encoding.step[0] < np.inf
    assert encoding.encode([a]).dtype == np.uint8


def test_ties_go_to_the_even_count() -> None:
    encoding = InputEncoding.over_range([0.0], [15.0], bit_width=4)
    assert encoding.encode([[0.5], [1.5], [2.5]]).ravel().tolist() == [0, 2, 2]


def test_clipped_features_are_counted() -> None:
    encoding = InputEncoding.over_range([-1.0, -1.0], [1.0, 1.0], bit_width=8)
    observation = [[-1.0, 1.0], [-1.1, 1.1], [0.0, np.inf]]
    assert encoding.encode_counting(observation)[1] == 3
    assert encoding.encode(observation).tolist() == [[0, 255], [0, 255], [128, 255]]


def test_a_feature_without_range_counts_zero() -> None:
    encoding = InputEncoding.over_range([2.0], [2.0], bit_width=8)
    assert encoding.encode([2.0]).tolist() == [0]


def test_images_pass_as_they_are(rng: np.random.Generator) -> None:
    encoding = InputEncoding.image((4, 3, 2))
    image = rng.integers(0, 256, (5, 4, 3, 2)).astype(np.uint8)
    np.testing.assert_array_equal(encoding.encode(image), image)
    assert encoding.encode_counting(image)[1] == 0
    assert encoding.levels == 255


def test_an_image_of_floats_is_refused() -> None:
    with pytest.raises(QuantError, match="uint8, got float64"):
        InputEncoding.image((2, 2, 1)).encode(np.zeros((2, 2, 1)))


@pytest.mark.parametrize("method", ["encode", "encode_counting"])
def test_not_a_number_is_refused(method: str) -> None:
    encoding = InputEncoding.over_range([0.0], [1.0], bit_width=4)
    with pytest.raises(QuantError, match="NaN"):
        getattr(encoding, method)([np.nan])


@pytest.mark.parametrize("observation", [["a"], [1j], [None], [b"1"]])
def test_what_is_no_real_number_is_refused(observation: list[object]) -> None:
    encoding = InputEncoding.over_range([0.0], [1.0], bit_width=4)
    with pytest.raises(QuantError, match="real numbers"):
        encoding.encode(observation)
    assert encoding.encode([True]).tolist() == [15]


@pytest.mark.parametrize("method", ["encode", "encode_counting"])
def test_another_shape_is_refused(method: str) -> None:
    encoding = InputEncoding.over_range([0.0, 0.0], [1.0, 1.0], bit_width=4)
    with pytest.raises(QuantError, match=r"shape \(3,\) where \(2,\)"):
        getattr(encoding, method)([0.0, 0.0, 0.0])


@pytest.mark.parametrize(("low", "high"), [([1.0], [0.0]), ([0.0], [np.inf]), ([np.nan], [1.0])])
def test_a_range_upside_down_or_endless_is_refused(low: list[float], high: list[float]) -> None:
    with pytest.raises(QuantError, match="range"):
        InputEncoding.over_range(low, high, bit_width=4)


@pytest.mark.parametrize("bit_width", [0, 9])
def test_a_count_is_at_most_a_byte(bit_width: int) -> None:
    with pytest.raises(ConfigError, match=r"outside 1\.\."):
        InputEncoding.over_range([0.0], [1.0], bit_width=bit_width)
