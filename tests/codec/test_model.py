"""Layout, classes and tables: what a model is fitted from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rivc.codec.context import contexts, fit_classes, make_model, places
from rivc.codec.layout import MAX_ROWS, NONE, Layout, fit_layout
from rivc.codec.tables import TOTAL, cumulative, frequencies
from tests.codec.frames import features, recordings


@given(hnp.arrays(np.int64, (3, 2, 4), elements=st.integers(0, 10**6)))
def test_frequencies_are_positive_and_add_up(counts: np.ndarray) -> None:
    frequency = frequencies(counts)
    assert frequency.min() >= 1
    assert (frequency.sum(-1) == TOTAL).all()
    starts = cumulative(frequency)
    assert starts.shape == (6, 5)
    assert set(starts[:, 0]) == {0}
    assert set(starts[:, -1]) == {TOTAL}


def test_an_unseen_context_leans_on_the_wider_one() -> None:
    counts = np.zeros((2, 2, 4), np.int64)
    counts[0, 0] = [1000, 0, 0, 0]
    frequency = frequencies(counts)
    assert (frequency[0, 1] > frequency[1, 1])[0]
    assert frequency[0, 1, 0] > 0.9 * TOTAL


@given(hnp.arrays(np.int64, st.integers(2, 256), elements=st.integers(0, 1000)), st.integers(1, 6))
def test_classes_rise_from_zero_which_stands_alone(histogram: np.ndarray, count: int) -> None:
    classes = fit_classes(histogram, count)
    assert classes[0] == 0
    assert classes[-1] == classes.max() < count
    assert (np.diff(classes.astype(int)) >= 0).all()
    if min(count, len(histogram)) > 1:
        assert classes[1] > 0


@given(recordings())
def test_what_is_fitted_is_a_layout(recording: tuple[int, np.ndarray]) -> None:
    _, codes = recording
    assert fit_layout(codes).is_valid(codes.shape[1])


def test_a_channel_leans_on_the_one_it_resembles() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 16, (30, 6, 5, 5)).astype(np.uint8)
    codes[:, 4] = codes[:, 1] // 2
    layout = fit_layout(codes)
    assert layout.reference[4] == 1
    assert layout.order[-1] == 4  # it varies least


def test_the_channels_of_a_pair_do_not_lean_on_each_other() -> None:
    codes = features(10, (2, 6, 6))
    codes[:, 1] = codes[:, 0]
    assert fit_layout(codes).reference.tolist() == [NONE, NONE]


def test_many_channels_share_rows_by_their_activity() -> None:
    codes = np.zeros((2, 200, 1, 1), np.uint8)
    codes[:, :, 0, 0] = np.arange(200) // 20
    layout = fit_layout(codes)
    assert layout.rows == MAX_ROWS
    assert layout.row[180] == 0
    assert layout.row[19] == MAX_ROWS - 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("order", [0, 1, 2, 2]),
        ("order", [0, 1, 2, 4]),
        ("reference", [NONE, 0, NONE, NONE]),
        ("reference", [NONE, NONE, NONE, 2]),
        ("reference", [2, NONE, NONE, NONE]),
        ("reference", [-2, NONE, NONE, NONE]),
        ("reference", [4, NONE, NONE, NONE]),
        ("row", [0, 1, 3, 3]),
        ("row", [0, -1, 0, 0]),
        ("row", [0, 0, 0]),
    ],
)
def test_what_is_no_layout_is_told(name: str, values: list[int]) -> None:
    four, none = np.arange(4, dtype=np.int32), np.full(4, NONE, np.int32)
    layout = Layout(four, none, four)
    assert layout.is_valid(4)
    assert replace(layout, reference=np.array([NONE, NONE, 1, 0], np.int32)).is_valid(4)
    assert not replace(layout, **{name: np.array(values, np.int32)}).is_valid(4)


def test_contexts_are_those_of_the_page() -> None:
    """docs/bitstream.md, symbol by symbol."""
    codes = features(3, (3, 3, 4), seed=5)
    layout, frame, previous = fit_layout(codes), codes[2], codes[1]
    classes = fit_classes(np.bincount(codes.ravel(), minlength=16), 5)
    model = make_model(layout, classes, np.zeros((0, 0), np.uint16), inter=True)
    symbols, at = contexts(model, frame, previous)
    count = int(classes.max()) + 1
    points = [(y, x) for y in range(3) for x in range(4)]
    a, b, c = layout.order
    order = [(k, y, x) for y, x in points for k in (a, b)] + [(c, y, x) for y, x in points]
    assert places(model, frame.shape).tolist() == [(k * 3 + y) * 4 + x for k, y, x in order]
    for symbol, context, (k, y, x) in zip(symbols, at, order, strict=True):
        left = int(frame[k, y, x - 1] if x else frame[k, y - 1, x] if y else 0)
        above = int(frame[k, y - 1, x] if y else left)
        like = layout.reference[k]
        expected = [
            layout.row[k],
            classes[previous[k, y, x]],
            classes[(left + above + 1) >> 1],
            0 if like == NONE else classes[frame[like, y, x]],
        ]
        assert context == np.ravel_multi_index([int(e) for e in expected], (3, *(count,) * 3))
        assert symbol == frame[k, y, x]
