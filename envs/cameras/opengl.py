"""A camera drawn by OpenGL through MuJoCo's classic renderer.

MuJoCo fixes its OpenGL platform when it is imported, so that `mujoco.Renderer` fails on a headless
machine if `mujoco` was imported first. This camera picks the platform when it is made instead.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import math
import os
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import mujoco
import numpy as np

from rivc.envs.cameras.groups import FILM_GROUPS, ROBOT_GROUPS
from rivc.envs.gl import LIBRARIES, missing_library, no_gl
from rivc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture spends its time on.

    Attributes:
        groups: which of the six geom groups are drawn.
        slices: polygons around a round geom.
        stacks: polygons along a round geom.
        squares: squares along a side of a box.
        shadow_size: side of the shadow map in texels; 0 for no shadows.
        passes: pictures that are averaged, each with the pixels and the lamps moved a little, which
            smooths edges and softens shadows.
    """

    groups: tuple[int, ...]
    slices: int
    stacks: int
    squares: int
    shadow_size: int
    passes: int


OBSERVATION: Final = Look(ROBOT_GROUPS, 10, 6, 1, shadow_size=0, passes=1)
FILM: Final = Look(FILM_GROUPS, 40, 24, 4, shadow_size=2048, passes=4)
AS_NUMBERS: Final = [
    flag.value for flag in (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR)
]
LAMP_RADIUS: Final = 0.12  # tangent of half the angle under which a lamp appears


class GlCamera:
    """A camera drawn by OpenGL, with one context for life.

    Args:
        model: the compiled scene; meshes may not change later, textures call for `refresh`.
        camera: name of one of its cameras.
        size: width and height in pixels.
        film: draw what films show, smooth and with shadows, instead of what robots see.

    Raises:
        MissingError: OpenGL does not work here.
    """

    # a second failure in one process can abort it, so the first stands
    _failure: ClassVar[str] = ""
    _gl: tuple[Any, Any] | None = None

    def __init__(
        self, model: mujoco.MjModel, camera: str, *, size: tuple[int, int], film: bool = False
    ) -> None:
        problem = missing_library() or GlCamera._failure
        if problem:
            raise no_gl(problem)
        width, height = size
        look = FILM if film else OBSERVATION
        self._model, self._passes = model, look.passes
        self._size = (height, width)
        self._frame = mujoco.MjrRect(0, 0, width, height)
        self._scene = mujoco.MjvScene(model, maxgeom=2 * model.ngeom + 16)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = bool(look.shadow_size)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = film
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = look.groups
        self._viewpoint = mujoco.MjvCamera()
        self._viewpoint.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._viewpoint.fixedcamid = model.camera(camera).id
        try:
            self._gl = _open_gl(model, look, size)
        except Exception as error:  # each driver fails in its own way
            GlCamera._failure = str(error).partition("\n")[0]
            raise no_gl(GlCamera._failure) from error
        self._texels = model.tex_data.copy()
        _open_cameras().add(self)

    def __call__(self, source: mujoco.MjData) -> NDArray[np.uint8]:
        """Draw the scene, uint8, [H, W, 3]."""
        passes = (self._draw(source, shift) for shift in _disc(self._passes))
        if self._passes == 1:
            return next(passes)
        total = np.zeros((*self._size, 3), dtype=np.uint16)
        for picture in passes:
            total += picture
        return (total // self._passes).astype(np.uint8)

    def depth(self, source: mujoco.MjData) -> NDArray[np.float32]:
        """Return metres along the camera's axis, [H, W]; infinite where there is nothing."""
        self._draw_numbers(source)
        closeness = np.empty(self._size, dtype=np.float32)
        mujoco.mjr_readPixels(None, closeness, self._frame, self._renderer())
        near, far = (
            np.float32(plane * self._model.stat.extent)
            for plane in (self._model.vis.map.znear, self._model.vis.map.zfar)
        )
        depth_m = near * far / (near + closeness[::-1] * (far - near))
        return np.where(closeness[::-1] > 0, depth_m, np.float32(np.inf))

    def geoms(self, source: mujoco.MjData) -> NDArray[np.int32]:
        """Return the geom that each pixel shows, [H, W]; -1 where there is nothing."""
        numbers = self._draw_numbers(source) @ np.array([1, 1 << 8, 1 << 16], dtype=np.int32)
        geoms = np.full(self._scene.ngeom + 1, -1, dtype=np.int32)  # number 0 is nothing
        for drawn in self._scene.geoms[: self._scene.ngeom]:
            if drawn.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                geoms[drawn.segid + 1] = drawn.objid
        return np.asarray(geoms[numbers])

    def refresh(self) -> None:
        """Take note of textures that have changed in the model; all else is read every time."""
        if self._gl is None or np.array_equal(self._texels, self._model.tex_data):
            return
        context, renderer = self._gl
        context.make_current()
        for texture in range(self._model.ntex):
            mujoco.mjr_uploadTexture(self._model, renderer, texture)
        self._texels = self._model.tex_data.copy()

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._gl is not None:
            (context, renderer), self._gl = self._gl, None
            with context.as_current():
                renderer.free()
            context.free()

    def __del__(self) -> None:
        self.close()

    def _renderer(self) -> Any:
        """Return MuJoCo's renderer with its OpenGL context made current."""
        if self._gl is None:
            raise UsageError("this camera is closed; make another one")
        context, renderer = self._gl
        context.make_current()
        return renderer

    def _draw(self, data: mujoco.MjData, shift: tuple[float, float]) -> NDArray[np.uint8]:
        renderer = self._renderer()
        self._place(data, shift)
        mujoco.mjr_render(self._frame, self._scene, renderer)
        upside_down = np.empty((*self._size, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(upside_down, None, self._frame, renderer)
        return upside_down[::-1].copy()

    def _draw_numbers(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        """Draw each thing in the colour that is its number in the scene, plus one."""
        self._scene.flags[AS_NUMBERS] = True
        try:
            return self._draw(data, _disc(1)[0])
        finally:
            self._scene.flags[AS_NUMBERS] = False

    def _place(self, data: mujoco.MjData, shift: tuple[float, float]) -> None:
        """Bring the scene up to date, pixels and lamps moved by `shift` times their size."""
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._options,
            None,
            self._viewpoint,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        if self._passes == 1:
            return
        across, up = shift
        for eye in self._scene.camera:
            pixel = (eye.frustum_top - eye.frustum_bottom) / self._frame.height
            eye.frustum_center += pixel * across
            eye.frustum_bottom += pixel * up
            eye.frustum_top += pixel * up
        for light in self._scene.lights[: self._scene.nlight]:
            if not light.headlight:
                light.dir[:2] += LAMP_RADIUS * np.asarray(shift)


def _open_gl(model: mujoco.MjModel, look: Look, size: tuple[int, int]) -> tuple[Any, Any]:
    """Return an OpenGL context and MuJoCo's renderer in it, which reads its settings only now."""
    width, height = size
    context = _context_type()(width, height)
    context.make_current()
    quality = {
        "numslices": look.slices,
        "numstacks": look.stacks,
        "numquads": look.squares,
        "shadowsize": look.shadow_size,
        "offsamples": 0,
    }
    buffer = {"offwidth": width, "offheight": height}
    with _set_while(model.vis.quality, quality), _set_while(model.vis.global_, buffer):
        renderer = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, renderer)
    renderer.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
    return context, renderer


def _context_type() -> Any:  # one class a platform, all untyped
    """Return the kind of OpenGL context that ``MUJOCO_GL`` names now."""
    backend = os.environ.get("MUJOCO_GL", "")
    if backend in LIBRARIES:
        return importlib.import_module(f"mujoco.{backend}").GLContext
    return mujoco.GLContext


@contextmanager
def _set_while(target: object, values: Mapping[str, int]) -> Iterator[None]:
    """Set attributes, and put the old values back in the end."""
    before = {name: getattr(target, name) for name in values}
    for name, value in values.items():
        setattr(target, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(target, name, value)


@functools.cache
def _disc(n: int) -> tuple[tuple[float, float], ...]:
    """Return `n` points spread evenly over the unit disc."""
    golden_angle = math.pi * (3 - math.sqrt(5))
    polar = [(math.sqrt((i + 0.5) / n), i * golden_angle) for i in range(n)]
    return tuple((radius * math.cos(angle), radius * math.sin(angle)) for radius, angle in polar)


@functools.cache
def _open_cameras() -> weakref.WeakSet[GlCamera]:
    """Return the cameras that are closed before the interpreter tears OpenGL down.

    Exit handlers run last in, first out: made after the first context, this one runs before
    OpenGL's own.
    """
    cameras: weakref.WeakSet[GlCamera] = weakref.WeakSet()
    atexit.register(_close_all, cameras)
    return cameras


def _close_all(cameras: weakref.WeakSet[GlCamera]) -> None:
    for camera in list(cameras):
        camera.close()
