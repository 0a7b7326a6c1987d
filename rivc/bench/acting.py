"""`rivc bench acting`: from one raw observation to an action, against the `predict` of SB3's DQN.

Same task and layers, batch 1, one thread, a raw observation in and an action out. Ours is
`rivc.neurochip.Actor`: it encodes the observation, runs the program and takes the greedy action,
which is checked against the int64 reference on every observation that is timed; what weights say
does not change what either costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from rivc.bench.learner import CASES, make_peer
from rivc.bench.timing import Race, Report, race, versions
from rivc.errors import MismatchError
from rivc.neurochip import Actor
from rivc.snn_convert import convert, reference
from rivc.snn_convert.program import greedy
from rivc.train import load_config
from rivc.train.setup import make_encoding, make_network, make_tasks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.bench.learner import Case
    from rivc.envs.factory import Task

OBSERVATIONS: Final = 64
ROUNDS, CALLS = 30, 25


def run() -> Report:
    """Check and time every network of `rivc bench learner`; see the module."""
    torch.set_num_threads(1)
    races = tuple(_race(name.partition(", batch")[0], case) for name, case in CASES.items())
    facts = {"bits": "4", "threads": "1", "equal": "every action and the reference's"}
    packages = "torch", "gymnasium", "stable-baselines3", "numba"
    return Report(races, facts, versions(*packages))


def _race(name: str, case: Case) -> Race:
    config = load_config(case.config, case.overrides)
    [task] = make_tasks(config, 1)
    seen = observations(task)
    encoding = make_encoding(task, seen, "ideal")
    program = convert(make_network(config, encoding, task.action_layout, "ideal"))
    act = Actor(program)
    wanted = greedy(reference.run(program, program.encode(seen)))
    if not np.array_equal([act(observation) for observation in seen], wanted):
        raise MismatchError(f"{name}: the emulator does not act as its program")
    task.env.close()
    peer = make_peer(config, 1)

    def predict(i: int) -> object:
        return peer.predict(seen[i % len(seen)], deterministic=True)

    def ours(i: int) -> object:
        return act(seen[i % len(seen)])

    return race(name, "SB3 DQN.predict", ours, predict, rounds=ROUNDS, calls=CALLS)


def observations(task: Task) -> NDArray[Any]:
    """What is seen under random actions."""
    env = task.env
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    seen = []
    for _ in range(OBSERVATIONS):
        seen.append(np.array(observation))
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            observation, _ = env.reset()
    return np.stack(seen)
