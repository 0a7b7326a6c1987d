"""`rivc bench worlds`: copies of a task in MuJoCo's batch, against Gymnasium's synchronous vector.

Both step the same copies with the same random actions, through ends of episodes, and give the same
arrays, which is checked first. A call is one step of all copies.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import gymnasium as gym
import numpy as np

from rivc.bench.timing import Race, Report, race, versions
from rivc.envs import task_specs
from rivc.errors import MismatchError

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from rivc.bench.timing import Work

COPIES: Final = 16
MODES: Final[dict[str, dict[str, Any]]] = {
    "state": {"obs_mode": "state"},
    "ray 32x32": {"obs_mode": "rgb", "camera": "ray", "size": 32},
}
ACTIONS: Final = 64
CHECKED_STEPS: Final = 30
ROUNDS, CALLS = 20, 10


def run() -> Report:
    """Compare and time the vectors of every task; see the module."""
    races: list[Race] = []
    facts = {"copies": f"{COPIES}", "processors": f"{os.cpu_count()}"}
    for spec in task_specs():
        for mode, options in MODES.items():
            name = f"{spec.id.partition('/')[2]}, {mode}"
            lap = _contest(name, spec.id, options)
            rates = (COPIES * 1e6 / us for us in (lap.ours_us, lap.peer_us))
            facts[name] = "batch {:,.0f}, sync {:,.0f} env steps/s".format(*rates)
            races.append(lap)
    facts["equal"] = f"every number of {CHECKED_STEPS} steps"
    return Report(tuple(races), facts, versions("mujoco", "gymnasium"))


def _contest(name: str, env_id: str, options: dict[str, Any]) -> Race:
    ours = gym.make_vec(env_id, COPIES, "vector_entry_point", **options)
    others = gym.make_vec(env_id, COPIES, "sync", disable_env_checker=True, **options)
    ours.action_space.seed(0)
    actions = [ours.action_space.sample() for _ in range(ACTIONS)]
    for envs in (ours, others):
        envs.reset(seed=0)
    for i in range(CHECKED_STEPS):
        pairs = zip(ours.step(actions[i])[:4], others.step(actions[i])[:4], strict=True)
        if not all(np.array_equal(one, other) for one, other in pairs):
            raise MismatchError(f"{name}: step {i} of the batch is not that of the single tasks")
    works = _stepping(ours, actions), _stepping(others, actions)
    lap = race(name, "sync", *works, rounds=ROUNDS, calls=CALLS)
    ours.close()
    others.close()
    return lap


def _stepping(envs: VectorEnv[Any], actions: list[Any]) -> Work:
    """Return what steps a vector; the number of the call chooses the actions."""
    return lambda i: envs.step(actions[i % ACTIONS])
