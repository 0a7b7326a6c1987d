"""Compile a function where numba works, and leave it as it is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])


def loop(function: F) -> F:
    """Return a function of integers, compiled when it is first called if that is possible here."""
    try:
        from rivc.compiled import compiled

        return compiled(function)
    except (ImportError, OSError, RuntimeError):  # the last: nowhere to keep loops
        return function
