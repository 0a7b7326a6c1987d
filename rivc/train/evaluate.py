"""Greedy episodes, in lockstep over a few copies of the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.neurochip import load_backend
from rivc.snn_convert.program import greedy
from rivc.train.worlds import EVALUATE, Copy, Episode, episode_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from rivc.envs.factory import Task
    from rivc.snn_convert import SpikingProgram

    Act = Callable[[NDArray[Any]], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Score:
    """Greedy episodes of one policy."""

    episodes: tuple[Episode, ...]

    @property
    def returns(self) -> NDArray[np.float64]:
        """One return an episode."""
        return np.array([episode.episode_return for episode in self.episodes])

    @property
    def return_mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def return_std(self) -> float:
        """Standard deviation of the returns over episodes."""
        return float(self.returns.std())

    @property
    def success_rate(self) -> float | None:
        """Share of episodes that ended in success; None where the task has no such thing."""
        marks = [episode.is_success for episode in self.episodes if episode.is_success is not None]
        return float(np.mean(marks)) if marks else None


def evaluation_seed(seed: int, episode: int) -> int:
    """Return the seed of an evaluation episode: another than any that training uses."""
    return episode_seed(seed, EVALUATE, 0, episode)


def evaluation_seeds(seed: int, count: int) -> list[int]:
    """Return the seeds of evaluation episodes."""
    return [evaluation_seed(seed, i) for i in range(count)]


def emulated(program: SpikingProgram) -> Act:
    """Return what acts greedily by a program on the emulator."""
    chip = load_backend("emulator")
    chip.load(program)
    return lambda observation: greedy(chip.infer(program.encode(observation)).readout)


def play(tasks: Sequence[Task], act: Act, seeds: Sequence[int]) -> Score:
    """Play one episode for each seed.

    Args:
        tasks: copies of the task; episodes are dealt out to them as they become free.
        act: greedy actions, [B, d], for observations, [B, *shape]; called with those still playing.
        seeds: of the resets, one an episode.

    Returns:
        The episodes, in the order of the seeds.
    """
    waiting = list(enumerate(seeds))[::-1]
    playing: list[tuple[int, Copy, NDArray[Any]]] = []
    episodes: dict[int, Episode] = {}
    free = [Copy(task) for task in tasks]
    while waiting or playing:
        while waiting and free:
            index, seed = waiting.pop()
            copy = free.pop()
            playing.append((index, copy, copy.reset(seed)))
        actions = act(np.stack([observation for _, _, observation in playing]))
        still = []
        for (index, copy, _), action in zip(playing, actions, strict=True):
            observation, _, _, ended = copy.step(action)
            if ended:
                episodes[index] = copy.episode()
                free.append(copy)
            else:
                still.append((index, copy, observation))
        playing = still
    return Score(tuple(episodes[i] for i in range(len(seeds))))
