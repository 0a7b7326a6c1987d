"""What a robot sees: the form of an observation, and the cameras that pictures come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from gymnasium import spaces

from rivc.envs.cameras import open_camera
from rivc.envs.picture import depth_levels, to_grey

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mujoco
    from numpy.typing import NDArray

    from rivc.envs.base import StateRow
    from rivc.envs.cameras import Camera
    from rivc.envs.options import CameraKind, ObsMode

SourceT = TypeVar("SourceT")


class Cameras:
    """The cameras of one scene, by name; each is opened when it is first asked for."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._open: dict[str, Camera[mujoco.MjData]] = {}

    def get(
        self, name: str, kind: CameraKind, size: tuple[int, int], *, film: bool = False
    ) -> Camera[mujoco.MjData]:
        """Return a camera, made by `rivc.envs.cameras.open_camera` unless it is open."""
        if name not in self._open:
            self._open[name] = open_camera(kind, self._model, name, size=size, film=film)
        return self._open[name]

    def refresh(self) -> None:
        """Tell all that are open that the model has changed."""
        for camera in self._open.values():
            camera.refresh()

    def close(self) -> None:
        """Free them; a later picture opens them again."""
        for camera in self._open.values():
            camera.close()
        self._open.clear()


def observation_space(obs_mode: ObsMode, size: int, rows: Sequence[StateRow]) -> spaces.Box:
    """Return the space of a task's observations: pictures of a size, or rows of a state."""
    if obs_mode == "state":
        low, high = np.array([(row.low, row.high) for row in rows], np.float32).T
        return spaces.Box(low, high, dtype=np.float32)
    return spaces.Box(0, 255, (size, size, 3 if obs_mode == "rgb" else 1), np.uint8)


def clip_state(state: Sequence[float], space: spaces.Box) -> NDArray[np.float32]:
    """Return a state within its ranges, float32, [rows]."""
    numbers = np.array(state, dtype=np.float32)
    return np.asarray(np.minimum(np.maximum(numbers, space.low), space.high))


def develop(
    camera: Camera[SourceT],
    source: SourceT,
    obs_mode: ObsMode,
    depth_range_m: tuple[float, float],
    levels: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Return what a camera sees in the form of a mode, uint8, [..., H, W, channels].

    Args:
        camera: whose picture it is.
        source: what the camera looks at.
        obs_mode: any but ``"state"``.
        depth_range_m: what ``"depth"`` spans.
        levels: of ``"segmentation"``; see `rivc.envs.cameras.segments.segment_levels`.
    """
    if obs_mode == "depth":
        return depth_levels(camera.depth(source), depth_range_m)
    if obs_mode == "segmentation":
        return levels[camera.geoms(source) + 1][..., None]
    picture = camera(source)
    return to_grey(picture) if obs_mode == "grey" else picture
