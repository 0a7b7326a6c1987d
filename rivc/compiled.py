"""How loops are compiled, on the robot and in training; importing this needs numba.

A loop is compiled when it is first called with a choice of types, or taken from the disk, with the
loops that it calls inside: after a change of these, remove ``__pycache__`` where their callers are.
Numbers are set one by one in them: numba takes several times longer over whole arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a loop that computes what numpy would, divisions by zero included."""
    loop: F = numba.njit(cache=True, error_model="numpy")(function)
    return loop


def reordered(function: F) -> F:
    """Compile a loop whose sums may be taken in any order, products and sums in one rounding."""
    loose = {"reassoc", "nsz", "contract"}
    loop: F = numba.njit(cache=True, error_model="numpy", fastmath=loose)(function)
    return loop
