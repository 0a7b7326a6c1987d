"""A camera without OpenGL: one ray a pixel, cast by MuJoCo and shaded in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mujoco
import numpy as np

from rivc.envs.cameras.groups import FILM_GROUPS, ROBOT_GROUPS
from rivc.envs.cameras.shading import SKY_LEVELS, Hits, Look, shade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class RayCamera:
    r"""A camera that casts one ray a pixel: no driver, no context, the same picture everywhere.

    .. math:: c = c_0 \, (a + b \max(0, n \cdot l))

    with the flat colour `c_0` of the geom, its normal `n`, the direction `l` to the model's first
    light, its diffuse brightness `b` and the ambient one `a`. Textured planes get a two-colour
    checker, the sky is a gradient; there are no shadows. What the model says of light, lens and
    colours is read when the camera is made, and by `refresh`.

    Args:
        model: the compiled scene.
        camera: name of one of its cameras; fixed to a body, it does not see that body.
        size: width and height in pixels.
        film: draw what films show instead of what robots see.

    Attributes:
        index: number of the camera in the model.
        rays: one a pixel, of unit length, in the camera's frame, [N, 3].
        groups: the geom groups that rays hit, uint8, [6].
        own_body: what rays pass through, or -1.
    """

    def __init__(
        self, model: mujoco.MjModel, camera: str, *, size: tuple[int, int], film: bool = False
    ) -> None:
        width, height = size
        self._model, self._size = model, (height, width)
        self.index = int(model.camera(camera).id)
        is_fixed = model.cam_mode[self.index] == mujoco.mjtCamLight.mjCAMLIGHT_FIXED
        body = int(model.cam_bodyid[self.index])
        self.own_body = body if is_fixed and body else -1
        self.groups = np.array(FILM_GROUPS if film else ROBOT_GROUPS, dtype=np.uint8)
        self.refresh()

    def __call__(self, source: mujoco.MjData) -> NDArray[np.uint8]:
        """Draw the scene, uint8, [H, W, 3]."""
        return self.shade(self.cast(source))

    def depth(self, source: mujoco.MjData) -> NDArray[np.float64]:
        """Return metres along the camera's axis, [H, W]; infinite where there is nothing."""
        return self.measure(self.cast(source))

    def geoms(self, source: mujoco.MjData) -> NDArray[np.int32]:
        """Return the geom that each pixel shows, [H, W]; -1 where there is nothing."""
        return self.identify(self.cast(source))

    def refresh(self) -> None:
        """Take note of what has changed in the model: light, lens and colours."""
        model, (height, width) = self._model, self._size
        self.rays = _pixel_rays(model.cam_fovy[self.index], width, height)
        ambient = float(model.vis.headlight.ambient.mean())
        cells_per_m, second_colour = _checker(model)
        self._look = Look(
            _palette(model, ambient), second_colour, cells_per_m, _lamp(model), ambient
        )

    def close(self) -> None:
        """Do nothing: rays hold nothing."""

    def cast(self, data: mujoco.MjData) -> Hits:
        """Return what the rays meet."""
        origin = data.cam_xpos[self.index].copy()
        directions = self.rays @ data.cam_xmat[self.index].reshape(3, 3).T
        n_rays = len(self.rays)
        geoms, distances = np.empty(n_rays, dtype=np.int32), np.empty(n_rays)
        normals = np.empty((n_rays, 3))
        mujoco.mj_multiRay(
            self._model,
            data,
            origin,
            directions.reshape(-1),
            self.groups,
            True,  # static geoms too
            self.own_body,
            geoms,
            distances,
            normals.reshape(-1),
            n_rays,
            mujoco.mjMAXVAL,
        )
        return Hits(origin, directions, geoms, distances, normals)

    def shade(self, hits: Hits) -> NDArray[np.uint8]:
        """Return what the rays show, uint8, [..., H, W, 3]."""
        size = len(self.rays)
        pictures = np.empty((*hits.geoms.shape[:-1], *self._size, 3), np.uint8)
        many = Hits(
            hits.origin.reshape(-1, 3),
            hits.directions.reshape(-1, size, 3),
            hits.geoms.reshape(-1, size),
            hits.distances.reshape(-1, size),
            hits.normals.reshape(-1, size, 3),
        )
        shade(many, self._look, pictures.reshape(-1, size, 3))
        return pictures

    def measure(self, hits: Hits) -> NDArray[np.float64]:
        """Return metres along the camera's axis, [..., H, W]; infinite where there is nothing."""
        depth_m = np.where(hits.geoms < 0, np.inf, hits.distances * -self.rays[:, 2])
        return depth_m.reshape(*hits.geoms.shape[:-1], *self._size)

    def identify(self, hits: Hits) -> NDArray[np.int32]:
        """Return the geom that each pixel shows, [..., H, W]; -1 where there is nothing."""
        return hits.geoms.reshape(*hits.geoms.shape[:-1], *self._size)


def _pixel_rays(fovy_deg: float, width: int, height: int) -> NDArray[np.float64]:
    """Return the unit ray through the middle of each pixel in the camera's frame, [H * W, 3]."""
    half = np.tan(np.deg2rad(fovy_deg) / 2)
    rows, columns = np.indices((height, width))
    x = ((columns + 0.5) / width * 2 - 1) * half * width / height
    y = (1 - (rows + 0.5) / height * 2) * half
    rays = np.stack([x, y, np.full_like(x, -1.0)], axis=-1).reshape(-1, 3)
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True), dtype=np.float64)


def _lamp(model: mujoco.MjModel) -> NDArray[np.float64]:
    """Return the direction to the model's first light, as long as it is bright; 0 without, [3]."""
    if not model.nlight:
        return np.zeros(3)
    towards = -np.asarray(model.light_dir[0], dtype=np.float64)
    unit = np.asarray(towards / np.linalg.norm(towards), dtype=np.float64)
    return float(model.light_diffuse[0].mean()) * unit


def _palette(model: mujoco.MjModel, ambient: float) -> NDArray[np.float32]:
    """Return colours, 0 to 255: of all geoms, their second ones, the sky from below to above."""
    rgb = np.array(model.geom_rgba[:, :3])
    has_material = model.geom_matid >= 0
    rgb[has_material] = model.mat_rgba[model.geom_matid[has_material], :3]
    first, second = 255 * rgb, 255 * rgb
    for geom, _, texture in _textured_planes(model):
        texels = _texels(model, texture)
        down, across = texels.shape[0] // 4, texels.shape[1] // 4
        first[geom], second[geom] = texels[down, -across], texels[down, across]
    return np.concatenate([first, second, _sky(model) / max(ambient, 1e-3)]).astype(np.float32)


def _checker(model: mujoco.MjModel) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return cells a metre, and what leads from a geom's colour to its second one, [geoms] each."""
    second_colour, cells_per_m = np.zeros(model.ngeom, np.int32), np.ones(model.ngeom)
    for geom, material, _ in _textured_planes(model):
        second_colour[geom] = model.ngeom
        cells_per_m[geom] = model.mat_texrepeat[material, 0]  # as it is with texuniform
    return cells_per_m, second_colour


def _sky(model: mujoco.MjModel) -> NDArray[np.float64]:
    """Return the skybox from straight down to straight up, [levels + 1, 3]; black without one."""
    skies = np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX)
    if not skies.size:
        return np.zeros((SKY_LEVELS + 1, 3))
    texels = _texels(model, int(skies[0]))
    _right, _left, up, down, _front, _back = texels.reshape(6, -1, texels.shape[1], 3)
    return np.linspace(down.mean((0, 1)), up.mean((0, 1)), SKY_LEVELS + 1)


def _textured_planes(model: mujoco.MjModel) -> Iterator[tuple[int, int, int]]:
    """Yield geom, material and texture of each plane that has a texture."""
    for geom in np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE):
        material = int(model.geom_matid[geom])
        if material >= 0:
            texture = int(model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB])
            if texture >= 0:
                yield int(geom), material, texture


def _texels(model: mujoco.MjModel, texture: int) -> NDArray[np.uint8]:
    """Return a texture, [H, W, 3]; grey ones three times, without what shines through."""
    height, width = int(model.tex_height[texture]), int(model.tex_width[texture])
    n_channels, start = int(model.tex_nchannel[texture]), int(model.tex_adr[texture])
    texels = model.tex_data[start : start + height * width * n_channels]
    picture = np.asarray(texels, dtype=np.uint8).reshape(height, width, n_channels)
    return picture[..., :3] if n_channels >= 3 else np.repeat(picture[..., :1], 3, axis=-1)
