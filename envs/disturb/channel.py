"""What lies between a policy and its robot: delays, noise and lost frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from gymnasium import spaces
    from numpy.typing import NDArray


@dataclass
class Channel:
    """Actions on their way to the robot and observations on their way back, for one episode.

    With nothing set it hands both through. It knows nothing of the robot.

    Attributes:
        rng: where noise and losses come from.
        action_delay_steps: how many actions are on their way.
        observation_delay_steps: how many observations are.
        picture_noise_levels, state_noise_share, dropped_frames_share, actuator_noise_share: as in
            `rivc.envs.disturb.Disturbances`, as drawn for the episode.
        actions: those on their way, oldest first.
        frames: the observation delivered last, and those on their way, oldest first.
    """

    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    action_delay_steps: int = 0
    observation_delay_steps: int = 0
    picture_noise_levels: float = 0.0
    state_noise_share: float = 0.0
    actuator_noise_share: float = 0.0
    dropped_frames_share: float = 0.0
    actions: list[Any] = field(default_factory=list)
    frames: list[NDArray[Any]] = field(default_factory=list)

    def send(self, action: Any) -> list[Any]:
        """Take an action, and return the one that arrives now; none while the first travels."""
        if not self.action_delay_steps:
            return [action]
        self.actions.append(np.copy(action)[()])
        return [self.actions.pop(0)] if len(self.actions) > self.action_delay_steps else []

    def receive(self, observe: Callable[[], NDArray[Any]], space: spaces.Box) -> NDArray[Any]:
        """Return the observation that arrives now; `observe` takes the present one, if it counts.

        The first one of an episode is never lost, and stands for all that come late.
        """
        if not (self.observation_delay_steps or self.dropped_frames_share):
            return self._noisy(observe(), space)
        is_lost = bool(self.frames) and self.rng.random() < self.dropped_frames_share
        newest = self.frames[-1] if is_lost else self._noisy(observe(), space)
        if not self.frames:
            self.frames = [newest] * self.observation_delay_steps
        self.frames.append(newest)
        self.frames = self.frames[-1 - self.observation_delay_steps :]
        return self.frames[0].copy()

    def jitter(self, reach: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return noise for controls that reach so far, [nu]."""
        return self.rng.normal(0.0, self.actuator_noise_share, reach.shape) * reach

    def get_state(self) -> dict[str, Any]:
        """Return what is on its way and where the noise stands; no settings."""
        return {
            "rng": dict(self.rng.bit_generator.state),
            "actions": [np.asarray(action).tolist() for action in self.actions],
            "frames": np.array(self.frames),
        }

    def set_state(self, state: dict[str, Any], action_type: Any) -> None:
        """Continue from what `get_state` returned; actions are of so a type."""
        self.rng.bit_generator.state = state["rng"]
        self.actions = [np.array(action, dtype=action_type)[()] for action in state["actions"]]
        self.frames = list(np.array(state["frames"]))

    def _noisy(self, observation: NDArray[Any], space: spaces.Box) -> NDArray[Any]:
        """Add the noise that suits the observation, and keep it in its space."""
        is_picture = space.dtype == np.uint8
        extent = self.picture_noise_levels if is_picture else self.state_noise_share
        if not extent:
            return observation
        std = extent if is_picture else extent * (space.high - space.low)
        noisy = observation + std * self.rng.standard_normal(space.shape)
        noisy = np.clip(np.rint(noisy) if is_picture else noisy, space.low, space.high)
        return np.asarray(noisy, dtype=space.dtype)
