"""The tracker's numbers: reward, ending, tables."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
import pytest

from rivc.envs.rover import WHEEL_SPEEDS_RAD_S
from rivc.envs.tracker import BACK, PATIENCE_STEPS, STOP, VisualTracker


def look_at(env: VisualTracker, bearing_rad: float, distance_m: float) -> dict[str, Any]:
    """Stand still with the ball at a place in the robot's frame; return what a step gives."""
    env.reset(seed=0)
    yaw_rad = 2 * np.arctan2(env.data.qpos[6], env.data.qpos[3])
    angle_rad = yaw_rad + bearing_rad
    env.data.mocap_pos[0, :2] = distance_m * np.cos(angle_rad), distance_m * np.sin(angle_rad)
    _, reward, terminated, _, info = env.step(np.int64(STOP))
    return {**info, "reward": reward, "terminated": terminated}


@pytest.fixture
def env() -> VisualTracker:
    return VisualTracker(obs_mode="state")


@pytest.fixture
def calm() -> VisualTracker:
    return VisualTracker(obs_mode="state", moving=False)


@pytest.mark.parametrize(
    ("bearing_rad", "distance_m", "reward"),
    [
        (0.0, 0.8, 1.0),
        (pi / 12, 0.8, 0.5),
        (-pi / 12, 0.8, 0.5),
        (0.0, 1.8, np.exp(-2)),
        (pi / 12, 1.3, 0.5 * np.exp(-0.5)),
        (pi / 5, 0.8, 0.0),
        (-3.0, 0.8, 0.0),
    ],
)
def test_the_reward_is_the_equation(
    calm: VisualTracker, bearing_rad: float, distance_m: float, reward: float
) -> None:
    result = look_at(calm, bearing_rad, distance_m)
    assert result["bearing_rad"] == pytest.approx(bearing_rad, abs=1e-3)
    assert result["distance_m"] == pytest.approx(distance_m, abs=1e-3)
    assert result["reward"] == pytest.approx(reward, abs=2e-3)
    assert set(result["reward_terms"]) == {"centring", "distance"}


@pytest.mark.parametrize(
    ("bearing_rad", "distance_m", "is_success"),
    [(0.0, 0.8, True), (0.14, 0.94, True), (0.16, 0.8, False), (0.0, 0.96, False)],
)
def test_success_is_near_the_middle_at_the_wanted_distance(
    calm: VisualTracker, bearing_rad: float, distance_m: float, is_success: bool
) -> None:
    assert look_at(calm, bearing_rad, distance_m)["is_success"] is is_success


def test_success_is_reported_now_ever_and_at_the_end(env: VisualTracker) -> None:
    env.reset(seed=5)
    reports = set()
    for step in range(100):
        action = env.expert_action() if step < 60 else np.int64(BACK)
        info = env.step(action)[-1]
        assert info["success_at_end"] == info["is_success"]
        reports.add((info["is_success"], info["success_once"]))
    assert reports == {(False, False), (True, True), (False, True)}
    env.reset(seed=5)
    assert env.step(env.expert_action())[-1]["success_once"] is False


def test_an_episode_ends_when_the_ball_is_lost_for_long(calm: VisualTracker) -> None:
    look_at(calm, 3.0, 0.8)
    flags = [calm.step(np.int64(STOP))[2] for _ in range(PATIENCE_STEPS - 1)]
    assert flags == [False] * (PATIENCE_STEPS - 2) + [True]


def test_a_glimpse_of_the_ball_restarts_the_patience(calm: VisualTracker) -> None:
    look_at(calm, 3.0, 0.8)
    hidden = calm.data.mocap_pos.copy()
    calm.data.mocap_pos[0, :2] *= -1
    calm.step(np.int64(STOP))
    assert calm.episode.steps_out_of_view == 0
    calm.data.mocap_pos[:] = hidden
    calm.step(np.int64(STOP))
    assert calm.episode.steps_out_of_view == 1


def test_the_ball_walks_inside_its_arena_or_stands_still(env: VisualTracker) -> None:
    env.reset(seed=0)
    places = []
    for _ in range(1500):
        env.step(np.int64(STOP))
        places.append(env.data.mocap_pos[0].copy())
    assert np.abs(places).max() == 2.5  # it has met the edge
    assert np.abs(np.diff(places, axis=0)).max() <= 0.03 + 1e-9

    calm = VisualTracker(obs_mode="state", moving=False)
    calm.reset(seed=0)
    before = calm.data.mocap_pos.copy()
    calm.step(np.int64(STOP))
    np.testing.assert_array_equal(calm.data.mocap_pos, before)


def test_states_stay_inside_the_space_without_being_clipped_much(env: VisualTracker) -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        env.reset(seed=seed)
        for _ in range(60):
            action = np.int64(rng.integers(7))
            for _ in range(rng.integers(1, 6)):
                observation = env.step(action)[0]
            assert observation in env.observation_space
            np.testing.assert_allclose(observation[3:], env._state()[3:], atol=1e-6)


@pytest.mark.parametrize("bearing_rad", [-0.35, 0.0, 0.35])
def test_the_ball_is_seen_where_it_is(bearing_rad: float) -> None:
    env = VisualTracker(camera="ray", moving=False)
    look_at(env, bearing_rad, 0.8)
    picture = env.observe().astype(int)
    is_red = picture[..., 0] > 2 * picture[..., 1:].max(axis=-1)
    assert 20 < is_red.sum() < 120
    column = np.flatnonzero(is_red.any(axis=0)).mean()
    expected = 15.5 - 16 * np.tan(bearing_rad) / np.tan(pi / 6) * 0.8 / 0.72  # the eye is in front
    assert column == pytest.approx(expected, abs=1.5)


def test_the_docstring_states_the_wheel_speeds() -> None:
    doc = VisualTracker.__doc__ or ""
    rows = [line.split("  ") for line in doc.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    for number, (name, speeds) in enumerate(WHEEL_SPEEDS_RAD_S.items()):
        assert [str(number), name, *(f"{speed:g}" for speed in speeds)] in cells
