"""A vector environment of Gymnasium as one of Stable-Baselines3."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv

from rivc.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class GymnasiumVecEnv(VecEnv):  # type: ignore[misc]  # SB3 is optional, so mypy never reads it
    """Steps what `gymnasium.make_vec` made, and counts returns as SB3's Monitor does.

    Args:
        envs: resets a copy in the very step that ends its episode.

    Raises:
        ConfigError: if it resets at another time.

    Example:
        >>> import gymnasium
        >>> same = {"autoreset_mode": AutoresetMode.SAME_STEP}
        >>> envs = gymnasium.make_vec("CartPole-v1", 3, "sync", vector_kwargs=same)
        >>> GymnasiumVecEnv(envs).reset().shape
        (3, 4)
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        mode = envs.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ConfigError(
                f"a vector environment must reset in the step that ends an episode, not {mode}; "
                'give make_vec vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}'
            )
        self.envs = envs
        self._begun, self._actions = time.monotonic(), np.zeros(0)
        self._returns, self._lengths = np.zeros(envs.num_envs), np.zeros(envs.num_envs, np.int64)
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> NDArray[Any]:
        """Begin an episode in every copy, with the seeds that `seed` gave."""
        seeds: Any = None if self._seeds[0] is None else list(self._seeds)
        observation, _ = self.envs.reset(seed=seeds)
        self._reset_seeds()
        self._returns[:], self._lengths[:] = 0.0, 0
        return np.array(observation)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions of the next step."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], list[Any]]:
        """Step; infos hold the last observation of an episode, and what Monitor would add."""
        observation, reward, terminated, truncated, info = self.envs.step(self._actions)
        ended = np.asarray(terminated | truncated)
        self._returns += reward
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in map(int, np.flatnonzero(ended)):
            infos[i] = {
                "terminal_observation": info["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                "episode": self._episode(i),
                **_success(info, i),
            }
        self._returns[ended], self._lengths[ended] = 0.0, 0
        return np.array(observation), np.asarray(reward, np.float32), ended, infos

    def _episode(self, i: int) -> dict[str, float]:
        seconds = round(time.monotonic() - self._begun, 6)
        return {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": seconds}

    def close(self) -> None:
        """Close every copy."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the whole, once for each copy that was asked."""
        found = getattr(self.envs, attr_name)
        return [found for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: copies of a vector have no attributes of their own.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"cannot set {attr_name} of the copies of a vector environment")

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> Sequence[Any]:
        """Call a method of the copies, where the vector can.

        Raises:
            UsageError: if it cannot, or only some copies were asked.
        """
        call = getattr(self.envs, "call", None)
        if call is None or indices is not None:
            raise UsageError(f"this vector environment cannot call {method_name} of its copies")
        return list(call(method_name, *args, **kwargs))

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Say yes to Monitor, whose work is done here, and no to all others."""
        from stable_baselines3.common.monitor import Monitor

        return [wrapper_class is Monitor for _ in self._get_indices(indices)]


def _success(info: dict[str, Any], i: int) -> dict[str, bool]:
    """What the last step of an episode said of success, if anything; a mask tells who did."""
    final = info.get("final_info", {})
    marks, who = final.get("is_success"), final.get("_is_success")
    if marks is None or (who is not None and not who[i]):
        return {}
    return {"is_success": bool(marks[i])}
