"""Many copies of one task in step: MuJoCo's batch does their physics and casts their rays.

All that is the task's own, its commands, measures, rewards and random numbers, stays in N task
objects, one a copy, whose physics goes into the batch and comes out of it whole. So every number is
that of the single task, bit for bit, and a task needs nothing for it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, create_empty_array, iterate
from mujoco.batch import Batch

from rivc.envs.cameras import BatchRays, RayCamera
from rivc.envs.physics import save_physics
from rivc.envs.registry import TASKS
from rivc.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from rivc.envs.base import MujocoTask

    Ids = list[int]
    Told = tuple[int, dict[str, Any]]  # by whom, and what
    Moves = tuple[
        NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]


class BatchedTasks(VectorEnv["NDArray[Any]", Any, "NDArray[Any]"]):
    """Copies of one task, equal to Gymnasium's ``SyncVectorEnv`` of it in every array.

    Every task of the registry has it as its ``vector_entry_point``. A copy with an OpenGL camera
    draws for itself, one after the other.

    Args:
        task_type: the task's class.
        num_envs: how many copies.
        max_episode_steps: control steps after which an episode is cut off; None or -1 for never.
        autoreset_mode: what follows the end of an episode, as in Gymnasium's vectors.
        threads: that simulate and cast rays; 0 for one a processor.
        options: of the task.

    Attributes:
        tasks: the copies.

    Raises:
        ConfigError: `num_envs` or an option has a value that it cannot have, or the task is
            disturbed.

    Example:
        >>> import gymnasium, rivc.envs
        >>> envs = gymnasium.make_vec("rivc/VisualTracker-v0", 3, camera="ray")
        >>> envs.reset(seed=0)[0].shape
        (3, 32, 32, 3)
    """

    def __init__(
        self,
        task_type: Callable[..., MujocoTask[Any]],
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        threads: int = 0,
        **options: Any,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs={num_envs} is less than 1")
        self.tasks = [task_type(**options) for _ in range(num_envs)]
        first = self.tasks[0]
        if first.disturbances.extents():
            raise ConfigError(
                "a batch holds one model, and disturbances change it every episode; "
                "take vectorization_mode='sync' for them"
            )
        self.num_envs = num_envs
        self.render_mode = first.render_mode
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        self.observation_space = batch_space(first.observation_space, num_envs)
        self.action_space = batch_space(first.action_space, num_envs)
        self._autoreset = AutoresetMode(autoreset_mode)
        self.metadata = {**first.metadata, "autoreset_mode": self._autoreset}
        self._limit = max_episode_steps if max_episode_steps != -1 else None
        self._batch = Batch(first.model, num_envs, threads, persistent=True)
        self._eyes = _batch_rays(self._batch, self.tasks)
        self._all = list(range(num_envs))
        self._has_begun = False
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._ended = np.zeros(num_envs, dtype=np.bool_)
        empty = create_empty_array(first.observation_space, num_envs)
        self._observations = cast("NDArray[Any]", empty)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode in every copy, or in those of ``options["reset_mask"]``.

        Args:
            seed: of the first copy, the next one gets the next number; or one for each.
            options: of the tasks, and the mask, bool, [N].

        Raises:
            UsageError: there are more or fewer seeds, or bits of the mask, than copies.
        """
        rest = dict(options or {})
        mask = np.array(rest.pop("reset_mask", [True] * self.num_envs))
        if mask.shape != (self.num_envs,):
            raise UsageError(f"a reset_mask of {mask.shape} for {self.num_envs} environments")
        ids = np.flatnonzero(mask).tolist()
        seeds = range(seed, seed + self.num_envs) if isinstance(seed, int) else seed
        seeds = [None] * self.num_envs if seeds is None else list(seeds)
        if len(seeds) != self.num_envs:
            raise UsageError(f"{len(seeds)} seeds for {self.num_envs} environments")
        infos = self._gather((i, self._restart(i, seed=seeds[i], options=rest)) for i in ids)
        self._look(ids)
        self._has_begun = True
        return self._observations.copy(), infos

    def step(self, actions: Any) -> Moves:
        """Step every copy; what follows the end of an episode depends on the mode.

        Raises:
            UsageError: there is no episode to step, or an action is not in its space.
        """
        if not self._has_begun:
            raise UsageError("there is no episode yet; reset the environments first")
        waiting = self._ended.copy()
        if waiting.any() and self._autoreset == AutoresetMode.DISABLED:
            raise UsageError(f"episodes {np.flatnonzero(waiting).tolist()} have ended; reset them")
        live = np.flatnonzero(~waiting).tolist()
        self._simulate(live, list(iterate(self.action_space, actions)))
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), dtype=np.bool_)
        told: list[Told] = []
        for i in self._all:
            if waiting[i]:
                told.append((i, self._restart(i)))
            else:
                rewards[i], terminated[i], info = self.tasks[i].end_step()
                told.append((i, info))
        self._elapsed[live] += 1
        if self._limit is not None:
            truncated[live] = self._elapsed[live] >= self._limit
        self._ended = terminated | truncated
        self._look(self._all)
        if self._autoreset == AutoresetMode.SAME_STEP and self._ended.any():
            told = list(self._restart_ended(told))
        infos = self._gather(told)
        return self._observations.copy(), rewards, terminated, truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...]:
        """Return a frame of the film of every copy."""
        return tuple(task.render() for task in self.tasks)

    def close_extras(self, **_: Any) -> None:
        """Free the cameras."""
        for task in self.tasks:
            task.close()

    def _restart(self, i: int, **how: Any) -> dict[str, Any]:
        self._elapsed[i], self._ended[i] = 0, False
        return self.tasks[i].restart(**how)

    def _restart_ended(self, told: list[Told]) -> Iterator[Told]:
        """Begin anew where an episode has ended; yield the infos, the last ones before the new."""
        ended = np.flatnonzero(self._ended).tolist()
        last = dict(zip(ended, self._observations[ended], strict=True))
        fresh = {i: self._restart(i) for i in last}
        self._look(ended)
        for i, info in told:
            if i in last:
                yield i, {"final_obs": last[i], "final_info": info}
            yield i, fresh.get(i, info)

    def _simulate(self, ids: Ids, actions: list[Any]) -> None:
        """Command the copies and hold the commands for a control step."""
        for i in ids:
            self.tasks[i].begin_step(actions[i])
        self._push(ids)
        self._batch.step(ids, nstep=self.tasks[0].substeps)
        for i in ids:
            self._batch.get_data(i, self.tasks[i].data)

    def _push(self, ids: Ids) -> None:
        """Bring copies' physics into the batch."""
        for i in ids:
            self._batch.state[i] = save_physics(self.tasks[i].model, self.tasks[i].data)

    def _look(self, ids: Ids) -> None:
        """Bring copies' observations up to date."""
        if self._eyes is None:
            for i in ids:
                self._observations[i] = self.tasks[i].observe()
        else:
            self._push(ids)
            self._observations[ids] = self.tasks[0].develop(self._eyes, ids)

    def _gather(self, told: Iterable[Told]) -> dict[str, Any]:
        """Return infos by key, with a mask of the copies that have the key, as Gymnasium does."""
        infos: dict[str, Any] = {}
        for i, info in told:
            infos = self._add_info(infos, info, i)
        return infos


def _batch_rays(batch: Batch, tasks: list[MujocoTask[Any]]) -> BatchRays | None:
    """Return the cameras of all tasks as one, or None if they cast no rays."""
    eye = None if tasks[0].obs_mode == "state" else tasks[0].open_eye()
    if not isinstance(eye, RayCamera):
        return None
    return BatchRays(batch, eye, [task.data for task in tasks])


def __getattr__(name: str) -> Callable[..., BatchedTasks]:
    """Return what makes copies of a registered task, by the name of its class.

    Gymnasium wants a vectorised environment as ``module:name``.
    """
    for spec in TASKS:
        if spec.entry_point.endswith(f":{name}"):
            task_type = cast("type[MujocoTask[Any]]", load_env_creator(spec.entry_point))
            return partial(BatchedTasks, task_type)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
