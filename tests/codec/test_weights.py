"""Weights come back, in about as many bits as their histogram has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.codec.weights import decode_weights, encode_weights
from rivc.errors import DamagedFileError, QuantError
from rivc.quant import Grid
from tests.strategies import seeds, weights


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_weights_of_every_grid_come_back(data: st.DataObject) -> None:
    bits, size = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 400))
    q = data.draw(weights((size,), bits))
    coded = encode_weights(q, Grid(bits))
    assert len(coded) <= 1 + -(-size * bits // 8)
    np.testing.assert_array_equal(decode_weights(coded, size, Grid(bits)), q)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_bits_are_within_one_percent_of_the_entropy(seed: int) -> None:
    q = np.clip(np.rint(np.random.default_rng(seed).normal(0, 1.5, 40_000)), -7, 7).astype(np.int8)
    counts = np.unique(q, return_counts=True)[1]
    entropy = -(counts * np.log2(counts / q.size)).sum() / 8
    assert len(encode_weights(q, Grid(4))) <= 1.01 * entropy


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.integers(1, 8), st.integers(1, 300))
def test_any_bytes_are_weights_or_damaged(data: bytes, bits: int, count: int) -> None:
    coded = encode_weights(np.ones(count, np.int8), Grid(bits))
    for one in (data, coded[: len(data)] + data, coded + data[:1]):
        try:
            q = decode_weights(one, count, Grid(bits))
        except DamagedFileError:
            continue
        assert q.shape == (count,)
        assert abs(q).max() <= Grid(bits).q_max


def test_more_weights_than_bytes_can_hold_are_refused_before_they_are_made() -> None:
    most = 1_000_000
    coded = encode_weights(np.zeros(most, np.int8), Grid(2))  # of all, they take the fewest bits
    assert not decode_weights(coded, most, Grid(2)).any()
    for count in (3 * most, 1 << 40):
        with pytest.raises(DamagedFileError, match="cannot lie in"):
            decode_weights(coded, count, Grid(2))


def test_what_lies_off_the_grid_is_refused() -> None:
    with pytest.raises(QuantError, match="4-bit grid"):
        encode_weights([8], Grid(4))
