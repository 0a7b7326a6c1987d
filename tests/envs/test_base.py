"""What every task owes: Gymnasium's contract, repeatability, exact state, honest options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from rivc.envs.exposure import expose
from rivc.envs.physics import count_substeps
from rivc.errors import ConfigError, UsageError
from tests.tasks import IDS, VARIANTS, build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rivc.envs import TaskSpec, Variant
    from rivc.envs.base import MujocoTask

CAMERAS = ["ray", pytest.param("gl", marks=pytest.mark.gl)]
PICTURES = ["rgb", "grey", "depth", "segmentation"]
RAYS = [{"obs_mode": "state"}, *({"obs_mode": mode, "camera": "ray"} for mode in PICTURES)]
OPENGL = [{"obs_mode": mode, "camera": "gl"} for mode in PICTURES]
WAYS = [  # every way to act, seen by rays; OpenGL is slow to open, and sees no actions
    *(
        pytest.param(
            spec.id, {**mode, **variant.options}, id=f"{case.id} {' '.join(mode.values())}"
        )
        for case in VARIANTS
        for spec, variant in [case.values]
        for mode in RAYS
    ),
    *(
        pytest.param(env_id, mode, id=f"{env_id} {' '.join(mode.values())}", marks=pytest.mark.gl)
        for env_id in IDS
        for mode in OPENGL
    ),
]

Step = tuple[bytes, float, bool, bool]


def rollout(env: MujocoTask[Any], n_steps: int, *, seed: int) -> Iterator[Step]:
    """Take random actions, with resets at the end and every 50 steps, and yield what they gave."""
    env.action_space.seed(seed)
    for step in range(n_steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        yield observation.tobytes(), reward, terminated, truncated
        if terminated or step % 50 == 49:
            env.reset()


@pytest.mark.parametrize(("env_id", "options"), WAYS)
def test_gymnasiums_checker_has_no_complaint(env_id: str, options: dict[str, Any]) -> None:
    env = build(env_id, video_size=(64, 64), **options)
    check_env(env)
    env.close()


@pytest.mark.parametrize(("env_id", "options"), WAYS)
def test_same_seed_gives_the_same_rollout(env_id: str, options: dict[str, Any]) -> None:
    runs = []
    for seed in (3, 3, 4):
        env = build(env_id, **options)
        env.reset(seed=seed)
        runs.append(list(rollout(env, 40, seed=0)))
        env.close()
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("n_before", [0, 7, 90])
def test_a_saved_state_continues_bit_identically_in_a_fresh_environment(
    env_id: str, camera: str, n_before: int, tmp_path: Path
) -> None:
    env = build(env_id, camera=camera)
    env.reset(seed=1)
    list(rollout(env, n_before, seed=5))
    save(env.get_state(), tmp_path)
    seen = env.observe()
    expected = list(rollout(env, 120, seed=6))

    fresh = build(env_id, camera=camera)
    fresh.set_state(load(tmp_path))
    np.testing.assert_array_equal(fresh.observe(), seen)
    assert list(rollout(fresh, 120, seed=6)) == expected
    env.close()
    fresh.close()


def save(state: dict[str, Any], folder: Path) -> None:
    """Write arrays and all the rest, without pickle."""
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    np.savez(folder / "arrays.npz", allow_pickle=False, **arrays)
    rest = {name: value for name, value in state.items() if name not in arrays}
    (folder / "rest.json").write_text(json.dumps(rest))


def load(folder: Path) -> dict[str, Any]:
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        return {**arrays, **json.loads((folder / "rest.json").read_text())}


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_taking_the_state_changes_nothing(spec: TaskSpec, variant: Variant) -> None:
    runs = []
    for is_watched in (False, True):
        env = build(spec.id, obs_mode="state", **variant.options)
        env.reset(seed=2)
        run = []
        for step in rollout(env, 60, seed=0):
            run.append(step)
            if is_watched:
                env.set_state(env.get_state())
        runs.append(run)
    assert runs[0] == runs[1]


@pytest.mark.parametrize("env_id", IDS)
def test_the_state_of_another_task_is_refused(env_id: str) -> None:
    env = build(env_id, obs_mode="state")
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="the state is of Juggler"):
        env.set_state({**env.get_state(), "task": "Juggler"})


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_the_reward_is_exactly_the_sum_of_its_terms(spec: TaskSpec, variant: Variant) -> None:
    env = build(spec.id, obs_mode="state", **variant.options)
    env.reset(seed=0)
    for _ in range(100):
        _, reward, terminated, _, info = env.step(env.action_space.sample())
        assert reward == sum(info["reward_terms"].values())
        if terminated:
            env.reset()


@pytest.mark.parametrize("env_id", IDS)
def test_state_rows_describe_the_state_space(env_id: str) -> None:
    env = build(env_id, obs_mode="state")
    space = env.observation_space
    assert isinstance(space, spaces.Box)
    assert space.is_bounded()
    np.testing.assert_array_equal(space.low, [np.float32(row.low) for row in env.state_rows])
    np.testing.assert_array_equal(space.high, [np.float32(row.high) for row in env.state_rows])


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_every_action_has_a_name(spec: TaskSpec, variant: Variant) -> None:
    env = build(spec.id, obs_mode="state", **variant.options)
    assert len(set(env.action_names)) == len(env.action_names)
    assert len(env.action_names) in variant.action_layout  # groups, or the choices of each


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
@pytest.mark.parametrize("action", [-1, 99, 0.5, "stop", [0, 1, 99]])
def test_an_action_outside_the_space_is_refused(
    spec: TaskSpec, variant: Variant, action: object
) -> None:
    env = build(spec.id, obs_mode="state", **variant.options)
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"is not in (Multi)?Discrete"):
        env.step(action)


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


def test_the_clocks_must_divide() -> None:
    assert count_substeps(0.1, 0.01) == 10
    for physics_dt_s in (0.03, 0.2):
        with pytest.raises(ConfigError, match=f"physics_dt_s={physics_dt_s}"):
            count_substeps(0.1, physics_dt_s)
