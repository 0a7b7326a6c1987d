"""Views of arrays in compiled loops, for the price of a comparison; numpy's `reshape` costs a call.

A pass of a small network takes some hundred of them, each as long as a dozen neurons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.imputils import impl_ret_borrowed
from numba.np.arrayobj import populate_array

from rivc.compiled import compiled
from rivc.quant.lanes import instruction

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]


@compiled
def view(x: Array, first: int, shape: tuple[int, ...]) -> Array:
    """View numbers of an array in C order, from place `first` on, in a shape.

    Raises:
        IndexError: if they reach beyond its ends.
    """
    count = 1
    for side in shape:
        if side < 0:
            raise IndexError("a view has a negative side")
        count *= side
    if first < 0 or count > x.size - first:
        raise IndexError("a view reaches beyond its array")
    seen: Array = _view(x, first, shape)
    return seen


@compiled
def matrix(x: Array, first: int, rows: int, columns: int) -> Array:
    """View numbers of an array in C order, from place `first` on, as a matrix."""
    return view(x, first, (rows, columns))


@compiled
def flat(x: Array) -> Array:
    """View an array in C order as one row."""
    return view(x, 0, (x.size,))


@instruction
def _view(_: Any, x: Any, first: Any, shape: Any) -> tuple[Any, Callable[..., Any]]:
    if not isinstance(x, types.Array) or x.layout != "C":
        raise TypingError(f"views are of arrays in C order, not of {x}")
    kind = types.Array(x.dtype, len(shape), "C", readonly=not x.mutable)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(x)(context, builder, args[0])
        sides = [
            context.cast(builder, side, given, types.intp)
            for side, given in zip(cgutils.unpack_tuple(builder, args[2]), shape, strict=True)
        ]
        place = context.cast(builder, args[1], signature.args[1], types.intp)
        seen = context.make_array(kind)(context, builder)
        populate_array(
            seen,
            data=builder.gep(array.data, [place]),
            shape=sides,
            strides=_strides(builder, sides, array.itemsize),
            itemsize=array.itemsize,
            meminfo=array.meminfo,
            parent=array.parent,
        )
        return impl_ret_borrowed(context, builder, kind, seen._getvalue())

    return kind(x, first, shape), generate


def _strides(builder: Any, sides: list[Any], itemsize: Any) -> list[Any]:
    """Bytes from one index to the next, of every axis."""
    strides = [itemsize]
    for side in reversed(sides[1:]):
        strides.insert(0, builder.mul(side, strides[0]))
    return strides
