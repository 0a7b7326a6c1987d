"""Every way to act in every robot task of the registry, both cameras, and how to play it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import gymnasium as gym
import pytest

from rivc.envs import task_specs
from rivc.envs.base import MujocoTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDS: Final = [spec.id for spec in task_specs()]
VARIANTS: Final = [
    pytest.param(spec, variant, id=" ".join([spec.id, *map(str, variant.options.values())]))
    for spec in task_specs()
    for variant in spec.all_variants()
]
CAMERAS: Final = ["ray", pytest.param("gl", marks=pytest.mark.gl)]

Step = tuple[bytes, float, bool, bool]


class Played(NamedTuple):
    """One episode."""

    episode_return: float
    length: int
    is_success: bool


def build(env_id: str, **options: object) -> MujocoTask[Any]:
    """Make a task without wrappers."""
    env = gym.make(env_id, **options).unwrapped  # type: ignore[arg-type]
    assert isinstance(env, MujocoTask)
    return env


def rollout(env: MujocoTask[Any], n_steps: int, *, seed: int) -> Iterator[Step]:
    """Take random actions, with resets at the end and every 50 steps, and yield what they gave."""
    env.action_space.seed(seed)
    for step in range(n_steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        yield observation.tobytes(), reward, terminated, truncated
        if terminated or step % 50 == 49:
            env.reset()


def play(env: MujocoTask[Any], policy: Callable[[], Any], *, seed: int, limit: int) -> Played:
    """Play one episode; success is that at its end."""
    env.reset(seed=seed)
    rewards: list[float] = []
    terminated = False
    while not terminated and len(rewards) < limit:
        _, reward, terminated, _, info = env.step(policy())
        rewards.append(reward)
    return Played(sum(rewards), len(rewards), info["success_at_end"])
