"""Whether pictures keep inside the range of a byte: what is black or white tells a policy nothing.

MuJoCo's lights add up, and a scene one lamp too bright is a white table on which nothing is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.envs.factory import make

if TYPE_CHECKING:
    from rivc.envs.options import CameraKind

LIMIT: Final = 0.01  # share of the bytes of a task's pictures that may be 0, and that may be 255
EPISODES, STEPS, EVERY = 5, 40, 8


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much of a task's pictures is at the ends of the range.

    Attributes:
        env_id: of the task.
        camera: that drew them.
        black: share of the bytes that are 0.
        white: share of the bytes that are 255.
    """

    env_id: str
    camera: CameraKind
    black: float
    white: float

    @property
    def ok(self) -> bool:
        """Neither end has more than `LIMIT`."""
        return max(self.black, self.white) <= LIMIT


def expose(env_id: str, camera: CameraKind) -> Exposure:
    """Measure the nominal pictures of a task: some along episodes of its scripted expert.

    Example:
        >>> expose("rivc/VisualTracker-v0", "ray").ok
        True
    """
    task = make(env_id, obs_mode="rgb", camera=camera)
    env: Any = task.env.unwrapped
    pictures = []
    for seed in range(EPISODES):
        pictures.append(env.reset(seed=seed)[0])
        for step in range(1, STEPS):
            picture, _, terminated, *_ = env.step(env.expert_action())
            if step % EVERY == 0:
                pictures.append(picture)
            if terminated:
                break
    task.env.close()
    levels = np.concatenate([picture.ravel() for picture in pictures])
    return Exposure(env_id, camera, float((levels == 0).mean()), float((levels == 255).mean()))
