"""Counts of many observations at once are those of `InputEncoding`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rivc.compiled import why_not
from rivc.errors import QuantError
from rivc.quant.encoding import InputEncoding
from rivc.train.counting import make_count

REALS = st.sampled_from([np.float32, np.float64])


@st.composite
def observed(draw: st.DrawFn) -> tuple[InputEncoding, np.ndarray[Any, Any]]:
    """An encoding and a batch of what it may meet, infinities included."""
    features, batch = draw(st.integers(1, 5)), draw(st.integers(0, 9))
    bounds = st.floats(-1e6, 1e6)
    ends = np.sort(draw(arrays(np.float64, (2, features), elements=bounds)), axis=0)
    dtype = draw(REALS)
    values = st.floats(allow_nan=False, width=np.dtype(dtype).itemsize * 8)
    near = st.floats(-2e6, 2e6, width=32)
    x = draw(arrays(dtype, (batch, features), elements=near | values))
    return InputEncoding.over_range(*ends, bit_width=draw(st.integers(1, 8))), x


@given(observed())
def test_counts_and_how_many_were_cut_off_are_those_of_the_encoding(
    seen: tuple[InputEncoding, np.ndarray[Any, Any]],
) -> None:
    encoding, x = seen
    counts, clipped = make_count(encoding)(x)
    expected, expected_clipped = encoding.encode_counting(x)
    np.testing.assert_array_equal(counts, expected)
    assert counts.dtype == np.uint8
    assert clipped == expected_clipped


@pytest.mark.parametrize(
    "x",
    [
        np.array([[1, 2], [3, 4]]),  # whole numbers
        np.arange(8.0)[::2].reshape(2, 2)[:, ::-1],  # not in C order
        np.float16([[1, 2]]),
    ],
)
def test_what_the_loop_does_not_take_is_counted_too(x: np.ndarray[Any, Any]) -> None:
    encoding = InputEncoding.over_range([0, 0], [9, 9], bit_width=8)
    np.testing.assert_array_equal(make_count(encoding)(x)[0], encoding.encode(x))


@pytest.mark.parametrize("x", [[[1.0, np.nan]], [[1.0, 2.0, 3.0]], [["a", "b"]]])
def test_what_is_no_observation_is_refused_as_the_encoding_does(x: Any) -> None:
    encoding = InputEncoding.over_range([0, 0], [9, 9], bit_width=8)
    with pytest.raises(QuantError) as expected:
        encoding.encode(x)
    with pytest.raises(QuantError, match=str(expected.value)[:20]):
        make_count(encoding)(np.array(x))


def test_pictures_pass_as_they_are() -> None:
    encoding = InputEncoding.image((2, 2, 1))
    picture = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    counts, clipped = make_count(encoding)(picture)
    assert counts is picture
    assert clipped == 0


@pytest.mark.skipif(bool(why_not()), reason="numba does not work here")
def test_the_loop_is_what_counts_vectors() -> None:
    encoding = InputEncoding.over_range([0], [9], bit_width=8)
    assert make_count(encoding) != encoding.encode_counting
