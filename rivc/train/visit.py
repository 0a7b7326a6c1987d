"""The states that a policy comes to when it acts greedily."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.neurochip import load_backend
from rivc.snn_convert.program import greedy
from rivc.train.evaluate import Score, play
from rivc.train.setup import make_tasks
from rivc.train.worlds import EVALUATE, episode_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert import SpikingProgram
    from rivc.train.config import Config
    from rivc.train.worlds import Episode

JUDGE, CALIBRATE = 2, 3  # streams of episodes apart from every other use of a seed
MAX_ROUNDS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """Greedy episodes, and what the program saw in them.

    Attributes:
        counts: states from anywhere in them, in the order they came, uint8, [count, *shape].
        score: of the episodes.
    """

    counts: NDArray[np.uint8]
    score: Score


def visited_states(
    config: Config, program: SpikingProgram, count: int, *, seed: int, stream: int = JUDGE
) -> NDArray[np.uint8]:
    """Play greedy episodes and return only the states; see `visit`."""
    return visit(config, program, count, seed=seed, stream=stream).counts


def visit(
    config: Config, program: SpikingProgram, count: int, *, seed: int, stream: int = JUDGE
) -> Visit:
    """Play greedy episodes, and keep states from anywhere in them.

    Args:
        config: of the run; names the task.
        program: the policy, played on the emulator.
        count: how many states; fewer if 64 rounds of episodes do not hold so many.
        seed: of the episodes and the choice.
        stream: another one gives other episodes for the same seed; training knows none of them.
    """
    tasks = make_tasks(config, config.env.count)
    chip = load_backend("emulator")
    chip.load(program)
    seen: list[NDArray[np.uint8]] = []
    episodes: list[Episode] = []

    def act(observation: NDArray[Any]) -> NDArray[np.int64]:
        seen.append(program.encode(observation))
        return greedy(chip.infer(seen[-1]).readout)

    try:
        for i in range(MAX_ROUNDS):
            numbers = range(i * len(tasks), (i + 1) * len(tasks))
            seeds = [episode_seed(seed, EVALUATE, stream, e) for e in numbers]
            episodes += play(tasks, act, seeds).episodes
            if sum(map(len, seen)) >= 2 * count:  # more than are needed: less of one episode
                break
    finally:
        for task in tasks:
            task.env.close()
    states = np.concatenate(seen)
    rng = np.random.default_rng([seed, stream])
    chosen = np.sort(rng.permutation(len(states))[:count])
    return Visit(states[chosen], Score(tuple(episodes)))
