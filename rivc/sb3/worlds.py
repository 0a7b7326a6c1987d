"""A vector environment of Stable-Baselines3 as the worlds of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.errors import FailedError, UsageError
from rivc.sb3.environments import channels_last
from rivc.train.worlds import Episode, Moves

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Watch = Callable[[dict[str, Any]], None]


class VecWorlds:
    """Steps a VecEnv, which resets by itself, and gives what came raw.

    Args:
        env: the vector environment.
        normalizer: the same, if it is a VecNormalize: what it was given is taken, not what it made
            of it.
        shape: of one observation; pictures that come with their channels first are turned.
        is_multi: whether an action is an array, not one integer.
        shown: the present observations as the environment gave them.
        watch: called after each step with what SB3's callbacks may look at.

    Attributes:
        observation: present ones, raw, [N, *shape].
    """

    def __init__(
        self,
        env: Any,
        normalizer: Any,
        *,
        shape: tuple[int, ...],
        is_multi: bool,
        shown: NDArray[Any],
        watch: Watch,
    ) -> None:
        self._env, self._normalizer, self._is_multi = env, normalizer, is_multi
        self._shape, self._watch = shape, watch
        self.observation = self._raw(shown)
        self._returns, self._lengths = np.zeros(len(shown)), np.zeros(len(shown), np.int64)

    def step(self, action: NDArray[np.int64]) -> tuple[Moves, list[Episode]]:
        """Step every copy, [N, d]; those whose episode ended begin another one.

        Raises:
            FailedError: if a reward is not finite.
        """
        actions = action if self._is_multi else action[:, 0]
        new_obs, rewards, dones, infos = self._env.step(actions)
        self.observation = self._raw(new_obs)
        moves = self._moves(np.asarray(dones, np.bool_), rewards, infos)
        episodes = self._ended(moves, infos)
        self._watch(
            {
                "actions": actions,
                "new_obs": new_obs,
                "rewards": rewards,
                "dones": dones,
                "infos": infos,
            }
        )
        return moves, episodes

    def expert_action(self) -> NDArray[np.int64]:
        """Refuse: no expert of a stranger's environment is known.

        Raises:
            UsageError: always.
        """
        raise UsageError("a vector environment has no expert; train with `rivc train`")

    def capture(self) -> dict[str, Any]:
        """Refuse: what a stranger's environment remembers cannot be saved.

        Raises:
            UsageError: always.
        """
        raise UsageError("a vector environment has no state to save; train with `rivc train`")

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def _raw(self, shown: NDArray[Any]) -> NDArray[Any]:
        raw = self._normalizer.get_original_obs() if self._normalizer else shown
        return np.array(channels_last(raw, self._shape))

    def _moves(self, ended: NDArray[np.bool_], rewards: Any, infos: Any) -> Moves:
        following = self.observation.copy()
        terminated = ended.copy()
        for i in map(int, np.flatnonzero(ended)):
            last = channels_last(infos[i]["terminal_observation"], self._shape)
            following[i] = self._normalizer.unnormalize_obs(last) if self._normalizer else last
            terminated[i] = not infos[i].get("TimeLimit.truncated", False)
        raw = self._normalizer.get_original_reward() if self._normalizer else rewards
        reward = np.asarray(raw, np.float64)
        if not np.isfinite(reward).all():
            raise FailedError(f"the environment gave rewards of {reward}; check the task")
        return Moves(following, reward, terminated, ended)

    def _ended(self, moves: Moves, infos: Any) -> list[Episode]:
        self._returns += moves.reward
        self._lengths += 1
        episodes = []
        for i in map(int, np.flatnonzero(moves.ended)):
            success = infos[i].get("is_success")
            is_success = None if success is None else bool(success)
            episodes.append(Episode(float(self._returns[i]), int(self._lengths[i]), is_success))
        self._returns[moves.ended] = 0.0
        self._lengths[moves.ended] = 0
        return episodes
