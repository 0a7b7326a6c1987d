"""Rays see the scene that MuJoCo describes, and shade it by the stated equation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mujoco
import numpy as np
import pytest
from PIL import Image

from rivc.envs.cameras import RayCamera

if TYPE_CHECKING:
    from pathlib import Path

SCENE = """
<mujoco>
  <visual><headlight ambient=".5 .5 .5" diffuse="0 0 0"/></visual>
  <asset>
    <texture type="skybox" builtin="gradient" rgb1="0 0 1" rgb2="0 1 0" width="16" height="16"/>
    <texture name="checker" type="2d" builtin="checker" rgb1="1 1 1" rgb2=".2 .2 .2"
             width="32" height="32"/>
    <material name="floor" texture="checker" texrepeat="2 2" texuniform="true"/>
    <material name="paint" rgba="0 .5 0 1"/>
  </asset>
  <worldbody>
    <light dir="0 0 -1" directional="true" diffuse=".5 .5 .5"/>
    <geom type="plane" size="4 4 1" material="floor"/>
    <geom type="box" size=".2 .2 .2" pos="1 0 .2" euler="0 0 30" rgba=".8 .4 0 1"/>
    <geom type="capsule" size=".1 .3" pos="-1 .2 .4" material="paint"/>
    <geom type="sphere" size=".3" pos="0 1 .5" rgba="1 0 0 1" group="1"/>
    <geom type="sphere" size=".3" pos="0 -1 .5" rgba="1 0 0 1" group="2"/>
    <geom type="sphere" size="1" pos="0 0 3" rgba="1 1 1 1" group="3"/>
    <camera name="side" pos="0 -2.5 1" xyaxes="1 0 0 0 .3 .95"/>
    <camera name="top" pos="0 0 2" fovy="60"/>
    <camera name="up" pos="2 2 1" xyaxes="1 0 0 0 -1 0"/>
    <body pos="0 0 1">
      <geom type="sphere" size=".2" rgba="0 0 1 1"/>
      <camera name="inside" fovy="90"/>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def scene() -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    return model, data


@pytest.mark.parametrize("name", ["side", "top", "inside"])
def test_each_pixel_shows_what_a_single_ray_hits(
    scene: tuple[mujoco.MjModel, mujoco.MjData], name: str
) -> None:
    model, data = scene
    camera = RayCamera(model, name, size=(24, 16))
    hits = camera.cast(data)
    for direction, hit, distance in zip(hits.directions, hits.geoms, hits.distances, strict=True):
        geom = np.zeros(1, dtype=np.int32)
        expected = mujoco.mj_ray(
            model,
            data,
            data.cam_xpos[camera.index],
            direction,
            camera.groups,
            True,
            camera.own_body,
            geom,
        )
        assert distance == pytest.approx(expected)
        assert hit == geom[0]


def test_the_middle_of_the_picture_is_where_the_camera_looks(
    scene: tuple[mujoco.MjModel, mujoco.MjData],
) -> None:
    model, data = scene
    picture = RayCamera(model, "top", size=(65, 33))(data)
    assert picture.shape == (33, 65, 3)
    red, green, blue = picture[16, 32]
    assert blue > 200
    assert max(red, green) == 0


def test_a_surface_under_the_lamp_has_its_own_colour_and_one_in_shade_half(
    scene: tuple[mujoco.MjModel, mujoco.MjData],
) -> None:
    model, data = scene
    colours = {
        tuple(pixel) for pixel in RayCamera(model, "side", size=(64, 64))(data).reshape(-1, 3)
    }
    assert {(204, 102, 0), (102, 51, 0)} <= colours  # top and sides of the box
    assert {(255, 255, 255), (51, 51, 51)} <= colours  # both fields of the floor


def test_depth_is_measured_along_the_axis_of_the_camera(
    scene: tuple[mujoco.MjModel, mujoco.MjData],
) -> None:
    model, data = scene
    camera = RayCamera(model, "top", size=(33, 33))
    is_floor = camera.geoms(data) == 0
    assert 0.5 < is_floor.mean() < 1
    np.testing.assert_allclose(camera.depth(data)[is_floor], 2.0)  # the same in the corners


def test_nothing_is_infinitely_far_away(scene: tuple[mujoco.MjModel, mujoco.MjData]) -> None:
    model, data = scene
    camera = RayCamera(model, "up", size=(16, 16))
    assert (camera.geoms(data) == -1).all()
    assert (camera.depth(data) == np.inf).all()


def test_the_floor_has_fields_of_half_a_metre(
    scene: tuple[mujoco.MjModel, mujoco.MjData],
) -> None:
    model, data = scene
    model.geom_pos[1:, 2] = -5  # leave the floor alone
    model.body_pos[1, 2] = -5
    mujoco.mj_kinematics(model, data)
    picture = RayCamera(model, "top", size=(200, 200))(data)[..., 0]
    half_width_m = 2 * np.tan(np.pi / 6)
    fields = np.flatnonzero(np.diff(picture[103] > 128))
    np.testing.assert_allclose(np.diff(fields), 0.5 / half_width_m * 100, atol=1)


def test_a_ray_that_hits_nothing_shows_the_sky(
    scene: tuple[mujoco.MjModel, mujoco.MjData],
) -> None:
    model, data = scene
    picture = RayCamera(model, "up", size=(16, 16))(data)
    assert (picture[..., 0] == 0).all()
    assert (picture[..., 2] > picture[..., 1]).all()  # blue above, green below


def test_robots_and_films_see_their_own_groups(
    scene: tuple[mujoco.MjModel, mujoco.MjData],
) -> None:
    model, data = scene
    for film, row, other in ((False, -1, 0), (True, 0, -1)):
        picture = RayCamera(model, "top", size=(32, 32), film=film)(data)
        is_red = (picture[..., 0] > 100) & (picture[..., 1:] == 0).all(axis=-1)
        half = np.array_split(is_red, 2)
        assert half[row].any()
        assert not half[other].any()


def test_a_camera_does_not_see_the_body_that_carries_it(
    scene: tuple[mujoco.MjModel, mujoco.MjData],
) -> None:
    model, data = scene
    picture = RayCamera(model, "inside", size=(32, 32))(data)
    assert not ((picture[..., 2] > 100) & (picture[..., 0] == 0)).any()


def test_a_scene_without_lamps_has_ambient_light_alone() -> None:
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><visual><headlight ambient='.5 .5 .5'/></visual><worldbody>"
        "<geom type='plane' size='4 4 1' rgba='.8 .4 0 1'/><camera name='top' pos='0 0 1'/>"
        "</worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    picture = RayCamera(model, "top", size=(8, 8))(data)
    assert np.unique(picture.reshape(-1, 3), axis=0).tolist() == [[102, 51, 0]]


def test_a_picture_belongs_to_the_caller(scene: tuple[mujoco.MjModel, mujoco.MjData]) -> None:
    model, data = scene
    camera = RayCamera(model, "side", size=(16, 16))
    first = camera(data)
    copy = first.copy()
    data.cam_xpos[0, 0] += 1.0
    assert (camera(data) != first).any()
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize("kind", ["2d", "grey", "alpha"])
def test_any_texture_of_a_floor_becomes_a_checker(tmp_path: Path, kind: str) -> None:
    texels = np.full((16, 256, 4), 10, np.uint8)
    texels[:8, :128] = texels[8:, 128:] = 200
    picture = texels[..., 0] if kind == "grey" else texels if kind == "alpha" else texels[..., :3]
    Image.fromarray(picture).save(tmp_path / "floor.png")
    xml = SCENE.replace(
        'builtin="checker" rgb1="1 1 1" rgb2=".2 .2 .2"\n             width="32" height="32"',
        f'file="{tmp_path / "floor.png"}"' + (' nchannel="4"' if kind == "alpha" else ""),
    )
    assert xml != SCENE
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    seen = RayCamera(model, "top", size=(32, 32))(data)
    floor = RayCamera(model, "top", size=(32, 32)).geoms(data) == 0
    assert len(np.unique(seen[floor].reshape(-1, 3), axis=0)) == 2
