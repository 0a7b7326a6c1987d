"""Which environments can be saved exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import (
    DelayObservation,
    OrderEnforcing,
    PassiveEnvChecker,
    RecordEpisodeStatistics,
    TimeLimit,
)

from rivc.envs import BinnedAction, GreyHistory, state_methods
from rivc.envs.tracker import VisualTracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class ContinuousTracker(gym.ActionWrapper[Any, Any, Any]):
    """A tracker with one continuous action, and a state because it says so."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.Box(0.0, 6.0, (1,), np.float32)

    def action(self, action: NDArray[np.float32]) -> np.int64:
        return np.int64(action[0])

    def get_state(self) -> dict[str, Any]:
        return self.unwrapped.get_state()  # type: ignore[attr-defined,no-any-return]

    def set_state(self, state: dict[str, Any]) -> None:
        self.unwrapped.set_state(state)  # type: ignore[attr-defined]


def tracker() -> gym.Env[Any, Any]:
    return VisualTracker(obs_mode="grey", camera="ray", size=8)


STACKS = [
    tracker,
    lambda: OrderEnforcing(tracker()),
    lambda: OrderEnforcing(PassiveEnvChecker(tracker())),
    lambda: GreyHistory(OrderEnforcing(tracker())),
    lambda: OrderEnforcing(GreyHistory(tracker())),
    lambda: BinnedAction(OrderEnforcing(ContinuousTracker(tracker())), 7),
]


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_that_holds_all_continues_exactly_without_a_reset(
    stack: Callable[[], gym.Env[Any, Any]],
) -> None:
    env, fresh = stack(), stack()
    methods, fresh_methods = state_methods(env), state_methods(fresh)
    assert methods
    assert fresh_methods
    env.reset(seed=3)
    for _ in range(3):
        env.step(np.int64(1))
    fresh_methods.set_state(methods.get_state())
    for _ in range(3):
        expected, actual = env.step(np.int64(5)), fresh.step(np.int64(5))
        np.testing.assert_array_equal(actual[0], expected[0])
        assert actual[1:] == expected[1:]


@pytest.mark.parametrize(
    "env",
    [
        gym.make("CartPole-v1"),
        OrderEnforcing(gym.make("CartPole-v1").unwrapped),
        TimeLimit(tracker(), 10),
        DelayObservation(tracker(), 1),
        RecordEpisodeStatistics(tracker()),
        GreyHistory(TimeLimit(tracker(), 10)),
        OrderEnforcing(TimeLimit(tracker(), 10)),
        BinnedAction(gym.make("Pendulum-v1", max_episode_steps=-1)),
    ],
    ids=str,
)
def test_a_stack_that_remembers_more_than_it_tells_has_no_state(env: gym.Env[Any, Any]) -> None:
    assert state_methods(env) is None


def test_no_reset_is_without_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int | None] = []
    original = VisualTracker.reset

    def reset(self: VisualTracker, *, seed: int | None = None, options: Any = None) -> Any:
        seeds.append(seed)
        return original(self, seed=seed, options=options)

    monkeypatch.setattr(VisualTracker, "reset", reset)
    env = OrderEnforcing(tracker())
    env.reset(seed=3)
    methods = state_methods(env)
    assert methods is not None
    methods.set_state(methods.get_state())
    assert None not in seeds
