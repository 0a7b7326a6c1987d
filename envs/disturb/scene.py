"""What a drawn disturbance does to a compiled scene, and the things that only distract."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from math import ceil, pi, sin
from typing import TYPE_CHECKING, Any, Final

import mujoco
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rng = np.random.Generator

FILM: Final = "film"  # the camera that is not the robot's
GREY, TINT_LEVELS = 127.5, 64
DISTRACTOR: Final = "distractor_"
HUES: Final = (0.15, 0.80)  # yellow to violet: what a task looks for is red or orange
SPREAD, HEIGHT, SIZE, SWING = 0.38, 0.06, 0.018, 0.08  # of distractors, in extents of the scene
VIEWS_DEG: Final = (1, 179)  # fields of view that can be drawn
_SHAPES: Final = (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_BOX)


def with_distractors(spec: mujoco.MjSpec, most: float) -> mujoco.MjModel:
    """Compile a scene with as many hidden bodies as may distract; they touch nothing."""
    nominal = spec.compile()
    size_m = SIZE * nominal.stat.extent
    for i in range(ceil(most)):
        body = spec.worldbody.add_body(name=f"{DISTRACTOR}{i}", mocap=True)
        body.add_geom(
            type=_SHAPES[i % len(_SHAPES)],
            size=[size_m] * 3,
            rgba=[0, 0, 0, 0],
            contype=0,
            conaffinity=0,
        )
    spec.stat.extent, spec.stat.center = nominal.stat.extent, nominal.stat.center
    return spec.compile()


def draw_distractors(rng: Rng, extent: float, model: mujoco.MjModel) -> list[dict[str, Any]]:
    """Draw how many there are and, for each, where it stands, how it swings and its colour."""
    scale_m = float(model.stat.extent)
    reach = np.array([SPREAD, SPREAD, HEIGHT]) * scale_m
    floor = model.stat.center * [1, 1, 0] + [0, 0, SIZE * scale_m]
    return [
        {
            "middle_m": (floor + reach * [*rng.uniform(-1, 1, 2), rng.uniform()]).tolist(),
            "swing_m": (SWING * scale_m * rng.uniform(-1, 1, 2) * rng.integers(2)).tolist(),
            "period_s": rng.uniform(2.0, 8.0),
            "phase_rad": rng.uniform(0, 2 * pi),
            "rgb": list(hsv_to_rgb(rng.uniform(*HUES), 0.8, rng.uniform(0.4, 0.9))),
        }
        for _ in range(round(rng.uniform(0, extent)))
    ]


def show_distractors(model: mujoco.MjModel, things: list[dict[str, Any]]) -> None:
    """Give those that are there their colours."""
    for i, thing in enumerate(things):
        model.geom_rgba[model.body_geomadr[model.body(f"{DISTRACTOR}{i}").id]] = [*thing["rgb"], 1]


def move_distractors(
    model: mujoco.MjModel, data: mujoco.MjData, things: list[dict[str, Any]]
) -> None:
    """Put each to where it is at this time."""
    for i, thing in enumerate(things):
        share = sin(2 * pi * data.time / thing["period_s"] + thing["phase_rad"])
        place = np.array(thing["middle_m"])
        place[:2] += share * np.array(thing["swing_m"])
        data.mocap_pos[model.body_mocapid[model.body(f"{DISTRACTOR}{i}").id]] = place


def brighten(model: mujoco.MjModel, change: float) -> None:
    """Scale all light, the lamps' and the ambient."""
    headlight = model.vis.headlight
    lamps = model.light_diffuse, model.light_ambient, headlight.ambient, headlight.diffuse
    for brightness in lamps:
        np.multiply(brightness, 1 + change, out=brightness)


def turn_lamps(model: mujoco.MjModel, angles_deg: list[float]) -> None:
    """Turn the direction of every lamp."""
    turn, turned = _quaternion(angles_deg), np.empty(3)
    for direction in model.light_dir:
        mujoco.mju_rotVecQuat(turned, direction, turn)
        direction[:] = turned


def recolour(model: mujoco.MjModel, changes: list[list[float]]) -> None:
    """Scale the colours of geoms without a material and of materials without a texture."""
    change = 1 + np.array(changes)
    plain_geoms = model.geom_matid < 0
    plain_materials = model.mat_texid[:, mujoco.mjtTextureRole.mjTEXROLE_RGB] < 0
    for colours, where, factors in (
        (model.mat_rgba, plain_materials, change[: model.nmat]),
        (model.geom_rgba, plain_geoms, change[model.nmat :]),
    ):
        colours[where, :3] = np.clip(colours[where, :3] * factors[where], 0, 1)


def turn_cameras(model: mujoco.MjModel, angles_deg: list[float]) -> None:
    """Turn the robot's cameras, each in its own frame."""
    turn, turned = _quaternion(angles_deg), np.empty(4)
    for camera in _robot_cameras(model):
        mujoco.mju_mulQuat(turned, model.cam_quat[camera], turn)
        model.cam_quat[camera] = turned


def shift_cameras(model: mujoco.MjModel, shift_m: list[float]) -> None:
    """Move the robot's cameras on their mounts."""
    model.cam_pos[_robot_cameras(model)] += shift_m


def widen_view(model: mujoco.MjModel, angle_deg: float) -> None:
    """Change the field of view of the robot's cameras."""
    cameras = _robot_cameras(model)
    model.cam_fovy[cameras] = np.clip(model.cam_fovy[cameras] + angle_deg, *VIEWS_DEG)


def retouch(model: mujoco.MjModel, changes: list[list[float]]) -> None:
    """Change the contrast of each texture about middle grey, and shift its channels."""
    for texture, (contrast, *tint) in enumerate(changes):
        n_channels, start = int(model.tex_nchannel[texture]), int(model.tex_adr[texture])
        size = int(model.tex_height[texture]) * int(model.tex_width[texture]) * n_channels
        texels = model.tex_data[start : start + size].reshape(-1, n_channels)
        shift = TINT_LEVELS * np.resize(tint, n_channels)
        changed = GREY + (1 + contrast) * (np.arange(256)[:, None] - GREY) + shift
        lookup = np.clip(np.rint(changed), 0, 255).astype(np.uint8)  # [levels, channels]
        for channel in range(n_channels):
            texels[:, channel] = lookup[:, channel].take(texels[:, channel])


def reweigh(model: mujoco.MjModel, changes: list[float]) -> None:
    """Scale mass and inertia of each body; `mujoco.mj_setConst` has to follow."""
    factors = 1 + np.array(changes)
    model.body_mass *= factors
    model.body_inertia *= factors[:, None]


def smooth_or_roughen(model: mujoco.MjModel, change: float) -> None:
    """Scale the friction of all geoms."""
    model.geom_friction *= 1 + change


def retune_motors(model: mujoco.MjModel, changes: list[float]) -> None:
    """Scale what each actuator makes of its command."""
    model.actuator_gainprm *= 1 + np.array(changes)[:, None]


def _robot_cameras(model: mujoco.MjModel) -> list[int]:
    return [camera for camera in range(model.ncam) if model.camera(camera).name != FILM]


def _quaternion(angles_deg: list[float]) -> NDArray[np.float64]:
    """Return the rotation about an axis whose parts are angles, [4]."""
    turn = np.deg2rad(angles_deg)
    quaternion, angle = np.empty(4), float(np.linalg.norm(turn))
    mujoco.mju_axisAngle2Quat(quaternion, turn / angle if angle else turn, angle)
    return quaternion
