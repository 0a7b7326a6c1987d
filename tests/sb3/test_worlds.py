"""A VecEnv as the worlds of a run: what ended why, and what was seen last."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rivc.errors import FailedError, UsageError

pytest.importorskip("stable_baselines3", reason="pip install 'rivc[sb3]'")

from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rivc.sb3.worlds import VecWorlds

STEPS = 4


def worlds_of(env: Any, normalizer: Any = None) -> tuple[VecWorlds, list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []
    env.seed(0)
    shown = env.reset()
    return VecWorlds(
        env,
        normalizer,
        shape=env.observation_space.shape,
        is_multi=False,
        shown=shown,
        watch=seen.append,
    ), seen


def limited(steps: int) -> DummyVecEnv:
    return DummyVecEnv([lambda: gym.make("CartPole-v1", max_episode_steps=steps)] * 2)


def test_a_time_limit_ends_an_episode_without_terminating_it() -> None:
    worlds, seen = worlds_of(limited(STEPS))
    action = np.array([[0], [1]])
    for _ in range(STEPS - 1):
        moves, episodes = worlds.step(action)
        assert not moves.ended.any()
        assert episodes == []
    moves, episodes = worlds.step(action)
    assert moves.ended.all()
    assert not moves.terminated.any()
    assert [(e.episode_return, e.length) for e in episodes] == [(STEPS, STEPS)] * 2
    for i in range(2):  # the last observation, not the first of the next episode
        assert np.array_equal(moves.observation[i], seen[-1]["infos"][i]["terminal_observation"])
    assert not np.array_equal(moves.observation, worlds.observation)
    assert np.array_equal(worlds.observation, seen[-1]["new_obs"])


def test_a_fall_terminates() -> None:
    worlds, _ = worlds_of(limited(500))
    ended = np.zeros(2, np.bool_)
    while not ended.any():
        moves, _ = worlds.step(np.zeros((2, 1), np.int64))
        ended = moves.ended
    assert np.array_equal(moves.terminated, moves.ended)


def test_what_vec_normalize_was_given_is_taken() -> None:
    plain, _ = worlds_of(limited(STEPS))
    env = VecNormalize(limited(STEPS))
    normalized, _ = worlds_of(env, env)
    for _ in range(2 * STEPS):
        action = np.array([[1], [0]])
        (a, _), (b, _) = plain.step(action), normalized.step(action)
        assert np.array_equal(plain.observation, normalized.observation)
        np.testing.assert_allclose(a.observation, b.observation, rtol=1e-5, atol=1e-6)
        assert np.array_equal(a.reward, b.reward)


def test_a_reward_that_is_no_number_is_told_at_once() -> None:
    env = DummyVecEnv(
        [lambda: gym.wrappers.TransformReward(gym.make("CartPole-v1"), lambda _: np.nan)]
    )
    worlds, seen = worlds_of(env)
    with pytest.raises(FailedError, match=r"rewards of \[nan\]; check the task"):
        worlds.step(np.array([[0]]))
    assert not seen


def test_it_has_neither_state_nor_expert() -> None:
    worlds, _ = worlds_of(limited(STEPS))
    with pytest.raises(UsageError, match="no state"):
        worlds.capture()
    with pytest.raises(UsageError, match="no expert"):
        worlds.expert_action()
