"""What a camera is, and which one an option names."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rivc.envs.cameras.opengl import GlCamera
from rivc.envs.cameras.rays import RayCamera
from rivc.errors import MissingError

if TYPE_CHECKING:
    import mujoco
    import numpy as np
    from numpy.typing import NDArray

    from rivc.envs.options import CameraKind


_log = logging.getLogger(__name__)

SourceT_contra = TypeVar("SourceT_contra", contravariant=True)


class Camera(Protocol[SourceT_contra]):
    """What draws one camera of one model at one size.

    It looks at an `MjData`, or at simulations of a batch; then there is an axis more in front.
    """

    def __call__(self, source: SourceT_contra) -> NDArray[np.uint8]:
        """Draw the scene, uint8, [H, W, 3]."""
        ...

    def depth(self, source: SourceT_contra) -> NDArray[np.floating[Any]]:
        """Return metres along the camera's axis, [H, W]; infinite where there is nothing."""
        ...

    def geoms(self, source: SourceT_contra) -> NDArray[np.int32]:
        """Return the geom that each pixel shows, [H, W]; -1 where there is nothing."""
        ...

    def refresh(self) -> None:
        """Take note of what has changed in the model: lights, colours, textures, lenses."""
        ...

    def close(self) -> None:
        """Give back what the camera holds; closing twice is fine."""
        ...


def open_camera(
    kind: CameraKind,
    model: mujoco.MjModel,
    name: str,
    *,
    size: tuple[int, int],
    film: bool = False,
) -> Camera[mujoco.MjData]:
    """Return a camera of the wanted kind; ``"auto"`` is OpenGL, or rays where OpenGL does not work.

    Where rays stand in, the log says so once, and how to get OpenGL.

    Args:
        kind: ``"auto"``, ``"gl"`` or ``"ray"``.
        model: the compiled scene.
        name: name of one of its cameras.
        size: width and height in pixels.
        film: draw what films show instead of what robots see.

    Raises:
        MissingError: `kind` is ``"gl"`` and OpenGL does not work.
    """
    if kind != "ray":
        try:
            return GlCamera(model, name, size=size, film=film)
        except MissingError as error:
            if kind == "gl":
                raise
            _tell_once(f"rays draw instead of OpenGL: {error}")
    return RayCamera(model, name, size=size, film=film)


@functools.cache
def _tell_once(warning: str) -> None:
    _log.warning(warning)
