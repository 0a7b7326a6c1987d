"""The cameras of many simulations as one, whose rays MuJoCo casts all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rivc.envs.cameras.shading import Hits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mujoco
    from mujoco.batch import Batch
    from numpy.typing import NDArray

    from rivc.envs.cameras.rays import RayCamera


class BatchRays:
    """One ray camera in the simulations of a batch; what it looks at are their numbers, [B].

    A picture is that of the single camera, bit for bit. The batch holds the state of a simulation,
    its `MjData` the pose of the camera.

    Args:
        batch: the simulations.
        camera: the camera of one of them.
        datas: one a simulation.
    """

    def __init__(self, batch: Batch, camera: RayCamera, datas: Sequence[mujoco.MjData]) -> None:
        self._batch, self._camera, self._datas = batch, camera, datas

    def __call__(self, source: Sequence[int]) -> NDArray[np.uint8]:
        """Draw the scenes, uint8, [B, H, W, 3]."""
        return self._camera.shade(self._cast(source))

    def depth(self, source: Sequence[int]) -> NDArray[np.float64]:
        """Return metres along the camera's axis, [B, H, W]; infinite where there is nothing."""
        return self._camera.measure(self._cast(source))

    def geoms(self, source: Sequence[int]) -> NDArray[np.int32]:
        """Return the geom that each pixel shows, [B, H, W]; -1 where there is nothing."""
        return self._camera.identify(self._cast(source))

    def refresh(self) -> None:
        """Take note of what has changed in the model of the one camera."""
        self._camera.refresh()

    def close(self) -> None:
        """Do nothing: rays hold nothing."""

    def _cast(self, ids: Sequence[int]) -> Hits:
        camera = self._camera
        origin = np.stack([self._datas[i].cam_xpos[camera.index] for i in ids])
        turns = np.stack([self._datas[i].cam_xmat[camera.index].reshape(3, 3) for i in ids])
        directions = camera.rays @ turns.transpose(0, 2, 1)
        distances, geoms, normals = self._batch.ray(
            origin[:, None],
            directions,
            geomgroup=camera.groups,
            bodyexclude=camera.own_body,
            ids=np.array(ids),
            normal=True,
        )
        return Hits(origin, directions, geoms, distances, normals)
