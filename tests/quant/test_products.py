"""Products of small matrices are those of numpy."""

from __future__ import annotations

import numpy as np
import pytest

from rivc.quant.products import add_product, transpose


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (8, 4, 33), (6, 9, 17), (13, 18, 64)])
def test_products_are_those_of_numpy(shape: tuple[int, int, int]) -> None:
    rows, depth, width = shape
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (rows, depth)).astype(np.float32)
    w = rng.integers(-7, 8, (depth, width)).astype(np.float32)
    out, turned = np.ones((rows, width), np.float32), np.empty((width, depth), np.float32)
    add_product(x, w, out)
    np.testing.assert_array_equal(out, 1 + x @ w)
    transpose(w, turned)
    np.testing.assert_array_equal(turned, w.T)
