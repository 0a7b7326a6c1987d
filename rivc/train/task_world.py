"""A simulated task as the world of a mock robot: commands in, observations out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.envs.wrappers import BinnedAction
from rivc.train.worlds import EVALUATE, Copy, Episode, episode_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.envs.factory import Task


class TaskWorld:
    """A task, played on for ever: an episode that ends is followed by another.

    A command is taken for the action whose own command is nearest, group by group.

    Args:
        task: the task.
        seed: of its episodes.

    Attributes:
        vectors: the command of each group and action, [d, n, m]; see `action_vectors`.
        episodes: that have ended.
    """

    def __init__(self, task: Task, seed: int = 0) -> None:
        self.vectors = action_vectors(task)
        self.episodes: list[Episode] = []
        self._copy, self._seed = Copy(task), seed
        self._observation = self._reset()

    def observe(self) -> NDArray[Any]:
        """Return the present observation."""
        return self._observation

    def act(self, values: NDArray[np.float64]) -> None:
        """Step the task once."""
        actions = np.abs(self.vectors - values).sum(-1).argmin(-1)
        observation, _, _, ended = self._copy.step(actions)
        if ended:
            self.episodes.append(self._copy.episode())
            self._observation = self._reset()
        else:
            self._observation = np.array(observation)

    @property
    def rate_hz(self) -> float | None:
        """Steps a second, if the task says so."""
        rate = self._copy.task.env.metadata.get("render_fps")
        return None if rate is None else float(rate)

    @property
    def present(self) -> Episode:
        """The running episode as it stands."""
        return self._copy.episode()

    def close(self) -> None:
        """Close the task."""
        self._copy.task.env.close()

    def _reset(self) -> NDArray[Any]:
        seed = episode_seed(self._seed, EVALUATE, 0, len(self.episodes))
        return np.array(self._copy.reset(seed))


def action_vectors(task: Task) -> NDArray[np.float64]:
    """Return what a task's actions stand for as commands, float64, [d, n, m].

    Binned actions are their levels, those of a `MujocoTask` what they make of its motors (of one
    motor a group, if there are groups); all others are numbered.
    """
    d, n = task.action_layout
    commands = getattr(task.env.unwrapped, "action_commands", None)
    if isinstance(task.env, BinnedAction):
        rows = np.stack([np.ravel(task.env.action(np.full(d, i))) for i in range(n)])
    elif commands is not None:
        rows = commands()
    else:
        rows = np.repeat(np.arange(n)[:, None], d, axis=1)
    if d == 1:
        return np.array([rows], np.float64)
    return np.asarray(rows.T[:, :, None] * np.eye(d)[:, None, :], np.float64)
