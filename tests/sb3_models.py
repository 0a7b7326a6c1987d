"""Small models of `rivc.sb3`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason="pip install 'rivc[sb3]'")

from stable_baselines3.common.env_util import make_vec_env

from rivc.sb3 import RIVC

TINY: dict[str, Any] = {
    "hidden": [8],
    "warmup_env_steps": 64,
    "batch_size": 8,
    "updates_per_env_step": 0.125,
    "audit.states": 4,
}


def vec_env(copies: int = 2) -> Any:
    return make_vec_env("CartPole-v1", copies, seed=0)


def model(env: Any = None, **settings: Any) -> RIVC:
    return RIVC("MlpPolicy", env or vec_env(), **{**TINY, "seed": 0, **settings})


def observations(count: int = 50) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)


class Strange(gym.Env[Any, Any]):
    """A task of another package, with an array of one action."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (4,))
    action_space = gym.spaces.MultiDiscrete([3])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(4, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert np.shape(action) == (1,)
        return np.zeros(4, np.float32), 0.0, False, False, {}
