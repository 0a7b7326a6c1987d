"""Copies of one task, stepped side by side, with every reset seeded and every state recoverable.

The environments reset only when they are told to, so no dummy step exists; the time limit is
counted here. A copy's state is what its environment says it is (`get_state`), or else the seed and
the actions of the present episode, which are played again and must lead to the saved observation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from rivc.envs.state import state_methods
from rivc.errors import ConfigError, FailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rivc.envs.factory import Task

TRAIN, EVALUATE = 0, 1
MAX_SEED: Final = 2**31


@dataclass(frozen=True, slots=True)
class Episode:
    """A finished episode: `episode_return` is the plain sum of its rewards."""

    episode_return: float
    length: int
    is_success: bool | None


@dataclass(frozen=True, slots=True)
class Moves:
    """What one step of all copies brought.

    Attributes:
        observation: that followed, [N, *shape]; the last one of an episode that ended.
        reward: float64, [N].
        terminated: the task ended the episode, [N].
        ended: terminated, or truncated by the time limit or the environment, [N].
    """

    observation: NDArray[Any]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    ended: NDArray[np.bool_]

    @classmethod
    def room(cls, observation: NDArray[Any]) -> Self:
        """Return room for what follows some observations."""
        count = len(observation)
        terminated, ended = np.empty((2, count), np.bool_)
        return cls(np.empty_like(observation), np.empty(count), terminated, ended)


def episode_seed(seed: int, stream: int, copy: int, episode: int) -> int:
    """Return the seed of one reset; independent for each argument."""
    state = np.random.SeedSequence([seed, stream, copy, episode]).generate_state(1)
    return int(state[0]) % MAX_SEED


def check_expert(task: Task) -> None:
    """Raise a `ConfigError` if the task has no scripted expert, or one with other actions."""
    robot = task.env.unwrapped
    if not hasattr(robot, "expert_action") or robot.action_space != task.env.action_space:
        raise ConfigError(
            f"{task.env_id} has no scripted expert for these actions: set train.objective to value "
            "and explore.expert_start to 0"
        )


@dataclass
class Copy:
    """One environment and its present episode."""

    task: Task
    seed: int = 0
    actions: list[list[int]] = field(default_factory=list)
    total: float = 0.0
    succeeded: bool | None = None

    def reset(self, seed: int) -> NDArray[Any]:
        """Start an episode."""
        self.seed, self.actions, self.total, self.succeeded = seed, [], 0.0, None
        observation, _ = self.task.env.reset(seed=seed)
        return np.asarray(observation)

    def step(self, action: NDArray[np.int64]) -> tuple[NDArray[Any], float, bool, bool]:
        """Act, [d]; return observation, reward, terminated and ended.

        Raises:
            FailedError: if the reward is not finite.
        """
        self.actions.append(action.tolist())
        native = action if self.task.is_multi else action[0]
        observation, given, terminated, truncated, info = self.task.env.step(native)
        reward = float(given)
        if not math.isfinite(reward):
            raise FailedError(f"{self.task.env_id} gave a reward of {reward}; check the task")
        self.total += reward
        if "is_success" in info:
            self.succeeded = bool(info["is_success"])
        limit = self.task.max_episode_steps
        ended = terminated or truncated or (limit is not None and len(self.actions) >= limit)
        return np.asarray(observation), reward, bool(terminated), bool(ended)

    def expert_action(self) -> NDArray[np.int64]:
        """What the task's scripted expert would do now, [d]; see `check_expert`."""
        robot: Any = self.task.env.unwrapped
        return np.atleast_1d(np.asarray(robot.expert_action(), np.int64))

    def episode(self) -> Episode:
        """The present episode as it stands."""
        return Episode(self.total, len(self.actions), self.succeeded)

    def capture(self, observation: NDArray[Any]) -> dict[str, Any]:
        """Return what brings this very state back; `observation` is the present one."""
        methods = state_methods(self.task.env)
        return {
            "seed": self.seed,
            "actions": np.array(self.actions, np.int32).reshape(-1, self.task.action_layout[0]),
            "total": self.total.hex(),
            "succeeded": self.succeeded,
            "observation": observation,
            "state": methods.get_state() if methods else None,
        }

    def restore(self, state: dict[str, Any]) -> NDArray[Any]:
        """Bring a captured state back and return its observation.

        Raises:
            FailedError: if playing the episode again leads elsewhere.
        """
        methods = state_methods(self.task.env)
        saved: NDArray[Any] = state["observation"]
        if methods and state["state"] is not None:
            methods.set_state(state["state"])
            self.seed, self.actions = (
                int(state["seed"]),
                np.asarray(state["actions"]).tolist(),
            )
        elif not np.array_equal(self._replay(state).astype(saved.dtype), saved):
            msg = (
                f"{self.task.env_id} does not come back to where it was: it is not deterministic "
                "for a seed; give it get_state and set_state"
            )
            raise FailedError(msg)
        self.total, self.succeeded = float.fromhex(state["total"]), state["succeeded"]
        return saved

    def _replay(self, state: dict[str, Any]) -> NDArray[Any]:
        """Play the episode again up to where it was saved."""
        observation = self.reset(int(state["seed"]))
        for action in np.asarray(state["actions"], np.int64):
            observation, *_ = self.step(action)
        return observation


class Worlds:
    """The copies that a run gathers its samples in.

    Attributes:
        observation: present ones, [N, *shape].
    """

    def __init__(self, tasks: Sequence[Task], seed: int) -> None:
        self.copies = [Copy(task) for task in tasks]
        self.seed = seed
        self.episodes = [0] * len(tasks)
        self.observation = np.stack([self._restart(i) for i in range(len(tasks))])

    def _restart(self, i: int) -> NDArray[Any]:
        seed = episode_seed(self.seed, TRAIN, i, self.episodes[i])
        self.episodes[i] += 1
        return self.copies[i].reset(seed)

    def step(self, action: NDArray[np.int64]) -> tuple[Moves, list[Episode]]:
        """Step every copy, [N, d]; copies whose episode ended are started anew.

        Returns:
            What the step brought, and the episodes that it ended.
        """
        moves = Moves.room(self.observation)
        for i, copy in enumerate(self.copies):
            moves.observation[i], moves.reward[i], moves.terminated[i], moves.ended[i] = copy.step(
                action[i]
            )
        self.observation, finished = moves.observation, []
        over = moves.ended.nonzero()[0].tolist()
        if over:
            self.observation = moves.observation.copy()
        for i in over:
            finished.append(self.copies[i].episode())
            self.observation[i] = self._restart(i)
        return moves, finished

    def expert_action(self) -> NDArray[np.int64]:
        """Return what the tasks' scripted expert would do now, [N, d]; see `check_expert`."""
        return np.stack([copy.expert_action() for copy in self.copies])

    def capture(self) -> dict[str, Any]:
        """Return everything that `restore` needs."""
        states = [copy.capture(o) for copy, o in zip(self.copies, self.observation, strict=True)]
        return {"episodes": self.episodes, "copies": states}

    def restore(self, state: dict[str, Any]) -> None:
        """Bring captured states back."""
        if len(state["copies"]) != len(self.copies):
            raise ConfigError(
                f"the run was made with env.count {len(state['copies'])}, which is now "
                f"{len(self.copies)}; undo that in its config.yaml"
            )
        self.episodes = [int(n) for n in state["episodes"]]
        restored = [copy.restore(s) for copy, s in zip(self.copies, state["copies"], strict=True)]
        self.observation = np.stack(restored)

    def close(self) -> None:
        """Close every environment."""
        for copy in self.copies:
            copy.task.env.close()
