"""Compile a function where numba works, and leave it as it is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from rivc.compiled import compiled, why_not

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])


def loop(function: F) -> F:
    """Return a function of integers, compiled when it is first called if that is possible here."""
    return function if why_not() else compiled(function)
