"""A simulated task as the world of a mock robot: commands in, observations out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.envs.wrappers import BinnedAction
from rivc.errors import RivcError
from rivc.train.appraise import appraisal_seed
from rivc.train.setup import make_tasks
from rivc.train.worlds import Copy, Episode

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.envs.factory import Task
    from rivc.train.config import Config


class TaskWorld:
    """A task, played on for ever: an episode that ends is followed by another.

    A command is taken for the action whose own command is nearest, group by group. To the motors of
    a `MujocoTask` it goes as it is, also if no action asks for it, as none may ask for rest.

    Args:
        task: the task.
        seed: of its episodes.
        seed_of: the seed of an episode from that seed and its number; by default, neither training
            nor its evaluations have seen it.

    Attributes:
        vectors: the command of each group and action, [d, n, m]; see `action_vectors`.
        episodes: that have ended.
    """

    def __init__(
        self, task: Task, seed: int = 0, seed_of: Callable[[int, int], int] = appraisal_seed
    ) -> None:
        self.vectors = action_vectors(task)
        self.episodes: list[Episode] = []
        self._copy, self._seed, self._seed_of = Copy(task), seed, seed_of
        self._observation = self._reset()

    def observe(self) -> NDArray[Any]:
        """Return the present observation."""
        return self._observation

    def act(self, values: NDArray[np.float64]) -> None:
        """Step the task once."""
        actions, robot = self._nearest(values), self._copy.task.env.unwrapped
        if _has_motors(self._copy.task) and not self._is_exact(actions, values):
            robot.hold(values)  # type: ignore[attr-defined]
        observation, _, _, ended = self._copy.step(actions)
        if ended:
            self.episodes.append(self._copy.episode())
            self._observation = self._reset()
        else:
            self._observation = np.array(observation)

    def stand_in(self, values: NDArray[np.float64]) -> list[int] | None:
        """Return the actions that stand in for a command, [d]; None if it is what it says.

        Where actions are mere numbers, these say nothing, so there always are some.
        """
        task, actions = self._copy.task, self._nearest(values)
        is_itself = isinstance(task.env, BinnedAction) and self._is_exact(actions, values)
        return None if is_itself or _has_motors(task) else [int(action) for action in actions]

    @property
    def rate_hz(self) -> float | None:
        """Steps a second, if the task says so."""
        return _rate_hz(self._copy.task)

    @property
    def present(self) -> Episode:
        """The running episode as it stands."""
        return self._copy.episode()

    def close(self) -> None:
        """Close the task."""
        self._copy.task.env.close()

    def _reset(self) -> NDArray[Any]:
        return np.array(self._copy.reset(self._seed_of(self._seed, len(self.episodes))))

    def _nearest(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.asarray(np.abs(self.vectors - values).sum(-1).argmin(-1))

    def _is_exact(self, actions: NDArray[np.int64], values: NDArray[np.float64]) -> bool:
        own = self.vectors[np.arange(len(actions)), actions].sum(0)
        return bool(np.array_equal(own, values))


def known_rate_hz(config: Config) -> float | None:
    """Return how many decisions a second a configured task takes, if it is here and says so."""
    try:
        (task,) = make_tasks(config, 1)
    except RivcError:  # a robot's computer may lack what it needs
        return None
    task.env.close()
    return _rate_hz(task)


def _rate_hz(task: Task) -> float | None:
    rate = task.env.metadata.get("render_fps")
    return None if rate is None else float(rate)


def _has_motors(task: Task) -> bool:
    """Whether commands are what a `MujocoTask` writes to its motors."""
    return hasattr(task.env.unwrapped, "action_commands") and not isinstance(task.env, BinnedAction)


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
