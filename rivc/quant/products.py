"""Products of small matrices, compiled; a call of BLAS costs as much as some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rivc.compiled import reordered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]

NARROW: Final = 16  # fewer columns do not fill a vector register
NEAR: Final = 32  # lines of what is written that the first cache holds


@reordered
def add_product(x: Floats, w: Floats, out: Floats) -> None:
    """Add x @ w, [B, K] times [K, N], four rows and four columns of `x` at a time.

    The loop over N then has sixteen products for every four numbers of `w` and of `out`.
    """
    rows, depth, width = x.shape[0], x.shape[1], w.shape[1]
    tall, deep = rows - rows % 4, depth - depth % 4
    for b in range(0, tall, 4):
        out0, out1, out2, out3 = out[b], out[b + 1], out[b + 2], out[b + 3]
        for k in range(0, deep, 4):
            w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
            x00, x01, x02, x03 = x[b, k], x[b, k + 1], x[b, k + 2], x[b, k + 3]
            x10, x11, x12, x13 = x[b + 1, k], x[b + 1, k + 1], x[b + 1, k + 2], x[b + 1, k + 3]
            x20, x21, x22, x23 = x[b + 2, k], x[b + 2, k + 1], x[b + 2, k + 2], x[b + 2, k + 3]
            x30, x31, x32, x33 = x[b + 3, k], x[b + 3, k + 1], x[b + 3, k + 2], x[b + 3, k + 3]
            for j in range(width):
                v0, v1, v2, v3 = w0[j], w1[j], w2[j], w3[j]
                out0[j] += x00 * v0 + x01 * v1 + x02 * v2 + x03 * v3
                out1[j] += x10 * v0 + x11 * v1 + x12 * v2 + x13 * v3
                out2[j] += x20 * v0 + x21 * v1 + x22 * v2 + x23 * v3
                out3[j] += x30 * v0 + x31 * v1 + x32 * v2 + x33 * v3
        for k in range(deep, depth):
            v, x0, x1, x2, x3 = w[k], x[b, k], x[b + 1, k], x[b + 2, k], x[b + 3, k]
            for j in range(width):
                out0[j] += x0 * v[j]
                out1[j] += x1 * v[j]
                out2[j] += x2 * v[j]
                out3[j] += x3 * v[j]
    for b in range(tall, rows):
        _add_row(x[b], w, out[b])


@reordered
def _add_row(x: Floats, w: Floats, out: Floats) -> None:
    """Add x @ w, [K] times [K, N]."""
    for k in range(len(x)):
        factor = x[k]
        for j in range(len(out)):
            out[j] += factor * w[k, j]


@reordered
def transpose(x: Floats, out: Floats) -> None:
    """Write x.T, eight rows at a time, which are one store, and few columns, which stay near."""
    rows, columns = x.shape
    tall = rows - rows % 8
    for left in range(0, columns, NEAR):
        some = range(left, min(left + NEAR, columns))
        for i in range(0, tall, 8):
            x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
            x4, x5, x6, x7 = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
            for j in some:
                eight = out[j, i : i + 8]
                eight[0], eight[1], eight[2], eight[3] = x0[j], x1[j], x2[j], x3[j]
                eight[4], eight[5], eight[6], eight[7] = x4[j], x5[j], x6[j], x7[j]
        for i in range(tall, rows):
            for j in some:
                out[j, i] = x[i, j]
