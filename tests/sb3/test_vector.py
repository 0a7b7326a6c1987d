"""Vector environments of Gymnasium."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from rivc.errors import ConfigError

pytest.importorskip("stable_baselines3", reason="pip install 'rivc[sb3]'")

from stable_baselines3.common.env_util import make_vec_env

from rivc.sb3 import RIVC
from rivc.sb3.vector import GymnasiumVecEnv

SAME: dict[str, Any] = {
    "vectorization_mode": "sync",
    "vector_kwargs": {"autoreset_mode": AutoresetMode.SAME_STEP},
}


def test_it_steps_like_the_copies_of_sb3() -> None:
    """Seeded alike, until the first episodes end; then each library reseeds in its own way."""
    ours = GymnasiumVecEnv(gym.make_vec("CartPole-v1", 3, **SAME))
    theirs = make_vec_env("CartPole-v1", 3)
    rng, ended = np.random.default_rng(0), False
    for env in (ours, theirs):
        env.seed(7)
    assert np.array_equal(ours.reset(), theirs.reset())
    while not ended:
        actions = rng.integers(2, size=3)
        (a, ra, da, ia), (b, rb, db, ib) = ours.step(actions), theirs.step(actions)
        assert np.array_equal(a[~da], b[~db])
        assert np.array_equal(da, db)
        assert np.array_equal(ra, rb)
        ended = bool(da.any())
    for i in np.flatnonzero(da):
        assert np.array_equal(ia[i]["terminal_observation"], ib[i]["terminal_observation"])
        assert ia[i]["TimeLimit.truncated"] == ib[i]["TimeLimit.truncated"]
        assert (ia[i]["episode"]["r"], ia[i]["episode"]["l"]) == (
            ib[i]["episode"]["r"],
            ib[i]["episode"]["l"],
        )


def test_a_time_limit_truncates() -> None:
    env = GymnasiumVecEnv(gym.make_vec("CartPole-v1", 2, max_episode_steps=3, **SAME))
    env.reset()
    for _ in range(3):
        _, _, dones, infos = env.step(np.array([0, 1]))
    assert dones.all()
    assert all(info["TimeLimit.truncated"] for info in infos)


class Telling(gym.Wrapper[Any, Any, Any, Any]):
    """Episodes of three steps, whose info holds what it was given."""

    def __init__(self, info: dict[str, Any]) -> None:
        super().__init__(gym.make("CartPole-v1", max_episode_steps=3))
        self.info = info

    def step(self, action: Any) -> Any:
        return *self.env.step(action)[:4], self.info


def test_success_is_what_a_copy_says_and_nothing_if_it_says_nothing() -> None:
    said: list[dict[str, Any]] = [{"is_success": True}, {}, {"is_success": False}]
    copies = [lambda info=info: Telling(info) for info in said]
    same = AutoresetMode.SAME_STEP
    env = GymnasiumVecEnv(gym.vector.SyncVectorEnv(copies, autoreset_mode=same))
    env.reset()
    for _ in range(3):
        _, _, dones, infos = env.step(np.zeros(3, np.int64))
    assert dones.all()
    assert [{k: v for k, v in info.items() if k == "is_success"} for info in infos] == said


def test_it_is_learnt_in() -> None:
    env = gym.make_vec("CartPole-v1", 2, **SAME)
    one = RIVC("MlpPolicy", env, hidden=[8], learning_starts=64, batch_size=8).learn(96)
    assert one.num_timesteps == 96
    assert one.ep_info_buffer
    assert one.config.env.id == "CartPole-v1"


def test_another_time_of_reset_is_refused() -> None:
    with pytest.raises(ConfigError, match="SAME_STEP"):
        RIVC("MlpPolicy", gym.make_vec("CartPole-v1", 2))
