"""Views of compiled loops: the numbers of numpy's reshape, the same memory, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("numba")

from numba.core.errors import TypingError

from rivc.compiled import compiled
from rivc.quant.views import flat, matrix, view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@compiled
def boxed(x: Array, first: int, high: int, wide: int, deep: int) -> Array:
    return view(x, first, (high, wide, deep))


@compiled
def set_corner(x: Array, first: int, rows: int, columns: int) -> None:
    matrix(x, first, rows, columns)[rows - 1, columns - 1] = 7


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64, np.bool_])
def test_a_view_is_the_reshaped_slice(dtype: type) -> None:
    x = (np.arange(60) % 11).astype(dtype)
    seen = boxed(x, 5, 2, 3, 4)
    np.testing.assert_array_equal(seen, x[5:29].reshape(2, 3, 4))
    assert seen.dtype == dtype
    assert np.shares_memory(seen, x)


def test_arrays_of_any_rank_are_seen_in_their_order() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(flat(x), x.ravel())
    np.testing.assert_array_equal(matrix(x, 0, 6, 4), x.reshape(6, 4))


def test_what_is_written_lands_in_the_array() -> None:
    x = np.zeros(12)
    set_corner(x, 4, 2, 3)
    assert np.flatnonzero(x).tolist() == [9]


def test_a_view_keeps_its_memory_alive() -> None:
    seen = boxed(np.full(24, 3.0), 0, 2, 3, 4)
    np.full(24, 5.0)
    assert (seen == 3.0).all()


def test_a_view_of_nothing_is_empty() -> None:
    assert matrix(np.zeros(0), 0, 0, 5).shape == (0, 5)
    assert matrix(np.zeros(3), 3, 1, 0).shape == (1, 0)


@pytest.mark.parametrize(
    ("first", "rows", "columns"), [(-1, 1, 1), (0, 3, 4), (9, 1, 2), (0, -1, -2), (2**63 - 1, 1, 1)]
)
def test_views_beyond_an_array_are_refused(first: int, rows: int, columns: int) -> None:
    with pytest.raises(IndexError, match="a view"):
        matrix(np.zeros(10), first, rows, columns)


def test_what_cannot_be_written_stays_so() -> None:
    x = np.zeros(4)
    x.flags.writeable = False
    with pytest.raises(TypingError, match="read"):
        set_corner(x, 0, 2, 2)


def test_arrays_in_another_order_are_refused() -> None:
    with pytest.raises(TypingError, match="C order"):
        flat(np.zeros((4, 6))[:, ::2])
