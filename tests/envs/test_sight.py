"""What robots and films see: every task, in every form, by rays and by OpenGL."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from rivc.envs.exposure import expose
from rivc.errors import UsageError
from tests.tasks import CAMERAS, IDS, build


@pytest.mark.parametrize("env_id", IDS)
def test_state_rows_describe_the_state_space(env_id: str) -> None:
    env = build(env_id, obs_mode="state")
    space = env.observation_space
    assert isinstance(space, spaces.Box)
    assert space.is_bounded()
    np.testing.assert_array_equal(space.low, [np.float32(row.low) for row in env.state_rows])
    np.testing.assert_array_equal(space.high, [np.float32(row.high) for row in env.state_rows])


@pytest.mark.parametrize("env_id", IDS)
def test_a_frame_has_the_size_of_the_film(env_id: str) -> None:
    env = build(env_id, obs_mode="state", render_mode="rgb_array", video_size=(96, 64))
    env.reset(seed=0)
    frame = env.render()
    assert frame.shape == (64, 96, 3)
    assert frame.dtype == np.uint8
    env.close()


@pytest.mark.usefixtures("without_gl")
@pytest.mark.parametrize("env_id", IDS)
def test_without_opengl_everything_is_drawn_by_rays(env_id: str) -> None:
    env = build(env_id, render_mode="rgb_array", video_size=(64, 64))
    picture, _ = env.reset(seed=0)
    by_rays = build(env_id, camera="ray").reset(seed=0)[0]
    np.testing.assert_array_equal(picture, by_rays)
    assert env.render().std() > 10


@pytest.mark.parametrize("env_id", IDS)
def test_a_frame_needs_a_render_mode(env_id: str) -> None:
    env = build(env_id, obs_mode="state")
    env.reset(seed=0)
    with pytest.raises(UsageError, match="render_mode='rgb_array'"):
        env.render()


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("camera", CAMERAS)
def test_a_closed_environment_can_be_closed_and_used_again(env_id: str, camera: str) -> None:
    env = build(env_id, camera=camera)
    first, _ = env.reset(seed=0)
    env.close()
    env.close()
    np.testing.assert_array_equal(env.reset(seed=0)[0], first)
    env.close()


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("camera", CAMERAS)
def test_no_picture_is_washed_out(env_id: str, camera: str) -> None:
    assert expose(env_id, camera).ok  # type: ignore[arg-type]
    env = build(env_id, camera=camera)
    for seed in range(5):
        picture, _ = env.reset(seed=seed)
        assert 60 < picture.mean() < 190
        assert picture.std() > 15
    env.close()


@pytest.mark.parametrize("env_id", IDS)
def test_depth_tells_near_from_far_and_segments_are_all_to_be_seen(env_id: str) -> None:
    levels = {mode: set[int]() for mode in ("depth", "segmentation")}
    for mode, seen in levels.items():
        env = build(env_id, camera="ray", obs_mode=mode)
        for seed in range(20):
            seen.update(np.unique(env.reset(seed=seed)[0]).tolist())
    assert len(levels["depth"]) > 10
    assert max(levels["depth"]) < 255
    classes = set(env._segment_levels.tolist()) | {0}
    assert len(classes) >= 2
    assert levels["segmentation"] <= classes
    assert max(levels["segmentation"]) == max(classes) == 255


@pytest.mark.gl
@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("obs_mode", ["depth", "segmentation"])
def test_rays_and_opengl_measure_nearly_the_same(env_id: str, obs_mode: str) -> None:
    by_rays, by_gl = (build(env_id, obs_mode=obs_mode, camera=camera) for camera in ("ray", "gl"))
    for seed in range(5):
        pictures = [env.reset(seed=seed)[0].astype(int) for env in (by_rays, by_gl)]
        difference = np.abs(pictures[0] - pictures[1])
        assert (difference <= 1).mean() > 0.96  # but for edges, which OpenGL draws as polygons
    by_gl.close()
