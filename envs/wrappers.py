"""The wrappers that bring other environments into the form a chip's policy can drive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from rivc.envs.picture import picture_shape, to_grey
from rivc.envs.state import require_state_methods
from rivc.envs.text import one_line
from rivc.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Integers = np.int64 | NDArray[np.int64]
    Bins = int | Sequence[float]


MAX_BINS: Final = 1024
MAX_EVERY: Final = 100


class BinnedAction(
    gym.ActionWrapper["NDArray[Any]", "Integers", "NDArray[Any]"], RecordConstructorArgs
):
    r"""Choose each number of a continuous action among bins.

    .. math:: a_j = (l_j + h_j) / 2 + s_{i_j} \, (h_j - l_j) / 2, \quad i_j \in \{0, \dots, n - 1\}

    with shares `s` of the way from the middle of the range to its ends, evenly spaced from -1 to 1
    unless they are given. One number becomes ``Discrete(n)``, several become
    ``MultiDiscrete([n] * d)``: bins per joint, not per combination of joints. Two bins are
    bang-bang; an odd number has the exact middle.

    Args:
        env: an environment with a bounded ``Box`` of floats as action space.
        bins: choices for each number, 2 to 1,024; or their shares, ascending, -1 to 1:
            ``(-0.25, 0, 0.25)`` spares a robot whose full force is too much.

    Raises:
        ConfigError: the action space is not such a box, or there are too few or too many bins, or
            shares out of order or range.
    """

    def __init__(self, env: gym.Env[Any, Any], bins: Bins = 3) -> None:
        RecordConstructorArgs.__init__(self, bins=bins)
        gym.ActionWrapper.__init__(self, env)
        self._levels = _levels(env.action_space, bins)  # [n, d]
        n_bins, n_joints = self._levels.shape
        self._joints = np.arange(n_joints)
        self.action_space = (
            spaces.Discrete(n_bins) if n_joints == 1 else spaces.MultiDiscrete([n_bins] * n_joints)
        )

    def action(self, action: Integers) -> NDArray[Any]:
        """Return the continuous action that the chosen bins stand for."""
        levels = self._levels[action, self._joints]
        return np.asarray(levels.reshape(self.env.action_space.shape))

    def get_state(self) -> dict[str, Any]:
        """Return the state of the wrapped environment; binning remembers nothing."""
        return require_state_methods(self.env).get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from what `get_state` returned."""
        require_state_methods(self.env).set_state(state)


class GreyHistory(
    gym.Wrapper["NDArray[np.uint8]", Any, "NDArray[np.uint8]", Any], RecordConstructorArgs
):
    """Show three of the last pictures, in grey, as the channels of one; the newest is the last.

    Motion becomes visible to a policy without memory. An episode begins with three equal channels.

    Args:
        env: an environment whose observations are pictures, uint8, [H, W, 1] or [H, W, 3].
        every: control steps from one picture to the next, 1 to 100: at a high rate, little moves in
            one.

    Raises:
        ConfigError: the observations are something else, or `every` is out of range.
    """

    def __init__(self, env: gym.Env[Any, Any], every: int = 1) -> None:
        RecordConstructorArgs.__init__(self, every=every)
        gym.Wrapper.__init__(self, env)
        shape = picture_shape(env.observation_space)
        if shape is None:
            wanted = "uint8, [H, W, 1] or [H, W, 3]"
            raise ConfigError(
                f"a history takes pictures, {wanted}, not {one_line(env.observation_space)}"
            )
        if not 1 <= every <= MAX_EVERY:
            raise ConfigError(f"every={every} is not a number of steps from 1 to {MAX_EVERY}")
        self._every = every
        self._frames = np.zeros((*shape[:2], 1 + 2 * every), dtype=np.uint8)
        self.observation_space = spaces.Box(0, 255, (*shape[:2], 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode with its first picture three times."""
        picture, info = self.env.reset(seed=seed, options=options)
        self._frames[:] = _grey(picture)
        return self._shown(), info

    def step(
        self, action: object
    ) -> tuple[NDArray[np.uint8], SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and move the pictures up by one."""
        picture, reward, terminated, truncated, info = self.env.step(action)
        self._frames = np.concatenate([self._frames[..., 1:], _grey(picture)], axis=2)
        return self._shown(), reward, terminated, truncated, info

    def get_state(self) -> dict[str, Any]:
        """Return the state of the wrapped environment and the last pictures."""
        inner = require_state_methods(self.env).get_state()
        return {"env": inner, "frames": self._frames.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from what `get_state` returned."""
        require_state_methods(self.env).set_state(state["env"])
        self._frames = np.array(state["frames"], dtype=np.uint8)

    def _shown(self) -> NDArray[np.uint8]:
        return self._frames[..., :: self._every].copy()


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture if picture.shape[2] == 1 else to_grey(picture)


def _levels(space: spaces.Space[Any], bins: Bins) -> NDArray[Any]:
    """Return what each bin of each number stands for, [bins, numbers]."""
    name = f"action space {one_line(space)}"
    if not (isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)):
        raise ConfigError(f"{name} is not a Box of floats; leave bins out")
    if not space.is_bounded():
        raise ConfigError(f"{name} has no bounds; put it into RescaleAction first")
    low, high = (bound.ravel().astype(np.float64) for bound in (space.low, space.high))
    shares = _shares(bins)
    levels = (low + high) / 2 + shares * ((high - low) / 2)
    # the ends themselves, not what is left of them after rounding
    levels = np.where(shares == -1, low, np.where(shares == 1, high, levels))
    return np.asarray(levels, dtype=space.dtype)


def _shares(bins: Bins) -> NDArray[np.float64]:
    """Return the share of each bin, [bins, 1]; the middle of an odd number is exactly 0."""
    if isinstance(bins, int):
        if bins < 2:
            raise ConfigError(f"bins={bins} leaves no choice; 2 is bang-bang, 3 adds the middle")
        if bins > MAX_BINS:
            raise ConfigError(f"bins={bins} are more than {MAX_BINS}; 3 to 15 are usual")
        return (2 * np.arange(bins)[:, None] - (bins - 1)) / (bins - 1)
    try:
        shares = np.asarray(bins, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"bins={bins!r} are neither a number of bins nor shares") from error
    if shares.ndim != 1 or len(shares) < 2:
        raise ConfigError(f"bins={bins!r} leaves no choice; give shares like [-0.5, 0, 0.5]")
    if not (np.all(np.diff(shares) > 0) and shares[0] >= -1 and shares[-1] <= 1):
        raise ConfigError(f"bins={bins!r} are not shares of the range, ascending, from -1 to 1")
    return shares[:, None]
