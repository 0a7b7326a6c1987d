"""Whether an environment can be saved exactly, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker

from rivc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

STATELESS: Final = (OrderEnforcing, PassiveEnvChecker)


class StateMethods(NamedTuple):
    """How to save an environment and to continue from what was saved."""

    get_state: Callable[[], dict[str, Any]]
    set_state: Callable[[dict[str, Any]], None]


def state_methods(env: gym.Env[Any, Any]) -> StateMethods | None:
    """Return how to save an environment, or None if no state would hold all of it.

    A state is a dict of numpy arrays and of values that JSON holds. An environment has one if it
    provides both methods and each wrapper around it does so too, or has nothing to remember.
    """
    if isinstance(env, STATELESS):
        return _after_reset(env)
    if isinstance(env, gym.Wrapper) and state_methods(env.env) is None:
        return None
    get_state = getattr(env, "get_state", None)
    set_state = getattr(env, "set_state", None)
    return StateMethods(get_state, set_state) if get_state and set_state else None


def require_state_methods(env: gym.Env[Any, Any]) -> StateMethods:
    """Return the state methods of an environment.

    Raises:
        UsageError: it has none.
    """
    methods = state_methods(env)
    if methods is None:
        raise UsageError(f"{env} has no state to get or set; replay its seed and actions instead")
    return methods


def _after_reset(env: gym.Wrapper[Any, Any, Any, Any]) -> StateMethods | None:
    """Return the state methods behind a wrapper that refuses to step what was never reset."""
    inner = state_methods(env.env)
    if inner is None:
        return None

    def set_state(state: dict[str, Any]) -> None:
        env.reset(seed=0)  # of what the state replaces; nothing is ever reset without a seed
        inner.set_state(state)

    return StateMethods(inner.get_state, set_state)
