"""OpenGL draws the same scene as rays, gives back what it takes, and fails in one line."""

from __future__ import annotations

import gc

import mujoco
import numpy as np
import pytest

from rivc.envs.cameras import GlCamera, RayCamera, opengl
from rivc.envs.tracker import VisualTracker
from rivc.errors import MissingError, UsageError


@pytest.fixture
def env() -> VisualTracker:
    env = VisualTracker(obs_mode="state")
    env.reset(seed=0)
    return env


@pytest.mark.gl
def test_rays_and_opengl_draw_nearly_the_same_picture(env: VisualTracker) -> None:
    by_rays = RayCamera(env.model, "eye", size=(64, 64))
    by_gl = GlCamera(env.model, "eye", size=(64, 64))
    for seed in range(5):
        env.reset(seed=seed)
        difference = by_rays(env.data).astype(float) - by_gl(env.data)
        assert np.abs(difference).mean() < 6
        assert abs(difference.mean()) < 4
    by_gl.close()


@pytest.mark.gl
def test_rays_and_opengl_see_the_same_things_equally_far_away(env: VisualTracker) -> None:
    by_rays = RayCamera(env.model, "eye", size=(64, 64))
    by_gl = GlCamera(env.model, "eye", size=(64, 64))
    for seed in range(5):
        env.reset(seed=seed)
        is_same = by_rays.geoms(env.data) == by_gl.geoms(env.data)
        assert is_same.mean() > 0.97
        ray_m, gl_m = by_rays.depth(env.data)[is_same], by_gl.depth(env.data)[is_same]
        is_there = np.isfinite(ray_m)
        np.testing.assert_array_equal(np.isfinite(gl_m), is_there)
        error_m = np.abs(gl_m[is_there] - ray_m[is_there])
        assert error_m.max() < 0.06  # at the rim of the ball, which OpenGL draws as polygons
        assert np.quantile(error_m, 0.98) < 0.01
    by_gl.close()


@pytest.mark.gl
def test_numbers_between_two_pictures_do_not_change_the_second(env: VisualTracker) -> None:
    camera = GlCamera(env.model, "eye", size=(32, 32))
    first = camera(env.data)
    camera.depth(env.data)
    camera.geoms(env.data)
    np.testing.assert_array_equal(camera(env.data), first)
    camera.close()


@pytest.mark.gl
def test_the_same_state_gives_the_same_picture(env: VisualTracker) -> None:
    pictures = []
    for _ in range(2):
        camera = GlCamera(env.model, "eye", size=(32, 32))
        pictures += [camera(env.data), camera(env.data)]
        camera.close()
    assert all((picture == pictures[0]).all() for picture in pictures)


@pytest.mark.gl
def test_cameras_do_not_disturb_each_other(env: VisualTracker) -> None:
    small, large = (GlCamera(env.model, "eye", size=(side, side)) for side in (16, 48))
    first = small(env.data)
    large(env.data)
    np.testing.assert_array_equal(small(env.data), first)
    small.close()
    assert large(env.data).shape == (48, 48, 3)
    large.close()


@pytest.mark.gl
def test_the_model_is_left_as_it_was(env: VisualTracker) -> None:
    quality, buffer = env.model.vis.quality, env.model.vis.global_
    before = quality.numslices, quality.shadowsize, buffer.offwidth, buffer.offheight
    GlCamera(env.model, "eye", size=(16, 16)).close()
    assert (quality.numslices, quality.shadowsize, buffer.offwidth, buffer.offheight) == before


@pytest.mark.gl
def test_a_film_is_smooth_and_has_shadows(env: VisualTracker) -> None:
    model = env.model
    camera = GlCamera(model, "film", size=(160, 128), film=True)
    lit = camera(env.data).astype(int)
    model.light_castshadow[:] = False
    without_shadow = camera(env.data).astype(int)
    camera.close()
    assert (lit.sum(axis=-1) < without_shadow.sum(axis=-1) - 30).sum() > 20
    assert (lit == 255).mean() < 0.01
    assert len(np.unique(lit.reshape(-1, 3), axis=0)) > 300


@pytest.mark.gl
def test_a_closed_camera_says_so(env: VisualTracker) -> None:
    camera = GlCamera(env.model, "eye", size=(16, 16))
    camera.close()
    camera.close()
    with pytest.raises(UsageError, match="closed"):
        camera(env.data)


@pytest.mark.gl
def test_a_forgotten_camera_is_closed(env: VisualTracker) -> None:
    GlCamera(env.model, "eye", size=(16, 16))
    gc.collect()
    assert not any(camera._size == (16, 16) for camera in opengl._open_cameras())


@pytest.mark.usefixtures("without_gl")
def test_a_missing_library_is_one_line_with_the_way_out(env: VisualTracker) -> None:
    with pytest.raises(MissingError) as caught:
        GlCamera(env.model, "eye", size=(16, 16))
    assert str(caught.value) == (
        "camera='gl' cannot draw: MUJOCO_GL=egl needs libEGL.so.1, which is not installed; "
        "apt-get install libegl1 libgl1 libgl1-mesa-dri, or use camera='ray'"
    )


def test_a_failing_driver_is_one_line_with_the_way_out_and_not_tried_again(
    env: VisualTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def fail(width: int, height: int) -> None:
        tries.append((width, height))
        raise mujoco.FatalError(f"no framebuffer of {width} by {height}\nand much more")

    monkeypatch.setattr(GlCamera, "_failure", "")
    monkeypatch.setattr(opengl, "missing_library", lambda: "")
    monkeypatch.setattr(opengl, "_context_type", lambda: fail)
    for _ in range(2):
        with pytest.raises(MissingError) as caught:
            GlCamera(env.model, "eye", size=(16, 16))
        assert str(caught.value) == (
            "camera='gl' cannot draw: no framebuffer of 16 by 16; "
            "apt-get install libegl1 libgl1 libgl1-mesa-dri, or use camera='ray'"
        )
    assert tries == [(16, 16)]
