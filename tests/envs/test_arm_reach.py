"""The arm's numbers: reward, joints, what its cameras see, and its inverse kinematics."""

from __future__ import annotations

from math import cos, pi, sin
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from rivc.envs.arm_reach import (
    GROUP_DIRECTIONS,
    JOINT_DIRECTIONS,
    LINKS_M,
    START_RAD,
    ArmReach,
    solve_reach,
)
from rivc.errors import ConfigError
from tests.tasks import play

LIMITS_RAD = np.array([[-2.5, 0.8], [0.3, 2.5], [-1.0, 1.0]])
FREE_RAD = np.array([[-pi, pi]] * 3)
STAY = np.int64(0)


@pytest.fixture
def env() -> ArmReach:
    return ArmReach(obs_mode="state")


def tip_of(angles_rad: Any) -> np.ndarray[Any, Any]:
    """Return where joint angles bring the tip, [..., 2]."""
    headings = np.cumsum(angles_rad, axis=-1)
    return np.stack([np.cos(headings) @ LINKS_M, np.sin(headings) @ LINKS_M], axis=-1)


def lay_disc(env: ArmReach, ahead_m: float, left_m: float) -> dict[str, Any]:
    """Stay with the disc at a place seen from the tip; return what a step gives."""
    env.reset(seed=0)
    env.data.mocap_pos[0, :2] = np.add(tip_of(env.data.qpos), (ahead_m, left_m))
    observation, reward, terminated, _, info = env.step(STAY)
    return {**info, "observation": observation, "reward": reward, "terminated": terminated}


@pytest.mark.parametrize(
    ("ahead_m", "left_m", "reward"),
    [(0.0, 0.0, 1.0), (0.03, 0.0, 0.97), (0.03, -0.04, -0.05), (-0.3, 0.4, -0.5)],
)
def test_the_reward_is_the_equation(
    env: ArmReach, ahead_m: float, left_m: float, reward: float
) -> None:
    result = lay_disc(env, ahead_m, left_m)
    assert result["reward"] == pytest.approx(reward, abs=1e-3)
    assert result["reward_terms"]["distance"] == -result["distance_m"]
    assert result["reward_terms"]["inside"] == result["is_success"] == (reward > 0)
    assert result["observation"][9:] == pytest.approx([ahead_m, left_m], abs=1e-3)


def test_success_ends_at_four_centimetres(env: ArmReach) -> None:
    assert lay_disc(env, 0.0, 0.039)["is_success"]
    assert not lay_disc(env, 0.041, 0.0)["is_success"]
    assert not lay_disc(env, 0.0, 0.0)["terminated"]


def test_the_joints_stand_in_the_state_as_they_are(env: ArmReach) -> None:
    env.reset(seed=3)
    observation = env.step(np.int64(3))[0]
    turns = [turn(angle) for angle in env.data.qpos for turn in (cos, sin)]
    np.testing.assert_allclose(observation[:6], turns, atol=1e-6)
    np.testing.assert_allclose(observation[6:9], [0, 1, 0], atol=0.05)


def test_the_model_has_the_links_and_limits_of_the_docstring(env: ArmReach) -> None:
    np.testing.assert_array_equal(env.model.jnt_range, LIMITS_RAD)
    for seed in range(5):
        env.reset(seed=seed)
        tip = env.data.site("tip").xpos[:2]
        np.testing.assert_allclose(tip, tip_of(env.data.qpos), atol=1e-9)
    doc = ArmReach.__doc__ or ""
    assert "22, 18 and 12 cm" in doc
    assert "-2.5\n    to 0.8 rad, the elbow from 0.3 to 2.5, the wrist from -1 to 1" in doc


def test_each_action_turns_its_joint_alone(env: ArmReach) -> None:
    doc = [line.split() for line in (ArmReach.__doc__ or "").splitlines()]
    for action, (name, direction) in enumerate(JOINT_DIRECTIONS.items()):
        env.reset(seed=0)
        for _ in range(3):
            before_rad = env.data.qpos.copy()
            env.step(np.int64(action))
        turned_rad_s = (env.data.qpos - before_rad) / 0.1
        np.testing.assert_allclose(turned_rad_s, direction, atol=0.05)
        assert [str(action), *name.split(), *map(str, direction)] in doc


def test_groups_turn_the_joints_at_once() -> None:
    env = ArmReach(obs_mode="state", actions="groups")
    env.reset(seed=0)
    for _ in range(3):
        before_rad = env.data.qpos.copy()
        env.step(np.array([2, 0, 1]))
    np.testing.assert_allclose((env.data.qpos - before_rad) / 0.1, [1, -1, 0], atol=0.05)
    doc = [line.split() for line in (ArmReach.__doc__ or "").splitlines()]
    for choice, (name, direction) in enumerate(GROUP_DIRECTIONS.items()):
        assert [str(choice), name, str(direction)] in doc


@pytest.mark.parametrize("options", [{"actions": "joint"}, {"view": "side"}])
def test_unknown_options_are_refused_by_name(options: dict[str, Any]) -> None:
    [(name, value)] = options.items()
    with pytest.raises(ConfigError, match=f"{name}='{value}' is not one of"):
        ArmReach(**options)


@given(st.tuples(*(st.floats(low, high) for low, high in LIMITS_RAD)))
def test_every_solution_reaches_within_the_limits(angles_rad: tuple[float, ...]) -> None:
    x_m, y_m = tip_of(angles_rad)
    solutions = solve_reach(x_m, y_m, LIMITS_RAD, angles_rad[2])
    np.testing.assert_allclose(tip_of(solutions), np.broadcast_to([x_m, y_m], (len(solutions), 2)))
    assert ((LIMITS_RAD[:, 0] <= solutions) & (solutions <= LIMITS_RAD[:, 1])).all()


def test_both_bends_of_the_elbow_are_found() -> None:
    solutions = solve_reach(0.3, 0.1, FREE_RAD, 0.0)
    straight = solutions[solutions[:, 2] == 0.0]
    assert sorted(np.sign(straight[:, 1])) == [-1, -1, 1, 1]  # 0 is a step of the wrist too
    limited = solve_reach(0.3, 0.1, LIMITS_RAD, 0.0)
    assert (limited[:, 1] > 0).all()
    assert (solutions[:, 1] < 0).any()


def test_the_ends_of_reach() -> None:
    assert len(solve_reach(0.5199, 0.0, FREE_RAD, 0.0))
    assert not len(solve_reach(0.5201, 0.0, FREE_RAD, 0.0))


def test_every_disc_can_be_reached() -> None:
    for distance_m in np.linspace(0.24, 0.44, 11):
        for bearing_rad in np.linspace(-1, 1, 21):
            x_m, y_m = distance_m * cos(bearing_rad), distance_m * sin(bearing_rad)
            assert len(solve_reach(x_m, y_m, LIMITS_RAD, 0.0))


def test_an_episode_starts_where_the_docstring_says(env: ArmReach) -> None:
    starts = np.array([(env.reset(seed=seed), env.data.qpos.copy())[1] for seed in range(60)])
    low, high = np.array(START_RAD).T
    assert ((low <= starts) & (starts <= high)).all()
    discs = []
    for seed in range(60):
        env.reset(seed=seed)
        x_m, y_m, _ = env.data.mocap_pos[0]
        discs.append((np.hypot(x_m, y_m), np.arctan2(y_m, x_m)))
    distances_m, bearings_rad = np.array(discs).T
    assert 0.24 <= distances_m.min() < 0.26
    assert 0.42 < distances_m.max() <= 0.44
    assert -1 <= bearings_rad.min() < -0.8
    assert 0.8 < bearings_rad.max() <= 1


@pytest.mark.parametrize("actions", ["joints", "groups"])
@pytest.mark.parametrize("seed", range(4))
def test_the_expert_stays_where_it_has_arrived(actions: Any, seed: int) -> None:
    env = ArmReach(obs_mode="state", actions=actions)
    play(env, env.expert_action, seed=seed, limit=60)
    before_rad = env.data.qpos.copy()
    for _ in range(20):
        assert env.step(env.expert_action())[-1]["is_success"]
    np.testing.assert_allclose(env.data.qpos, before_rad, atol=1e-3)


def red_pixels(picture: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
    colours = picture.astype(int)
    return np.nonzero(colours[..., 0] > 2 * colours[..., 1:].max(axis=-1))


@pytest.mark.parametrize("seed", range(6))
def test_the_top_camera_sees_the_disc_where_it_is(seed: int) -> None:
    env = ArmReach(camera="ray")
    rows, columns = red_pixels(env.reset(seed=seed)[0])
    x_m, y_m, _ = env.data.mocap_pos[0]
    metres_a_pixel = 2 * 2.7 * np.tan(np.radians(18.5 / 2)) / 32
    assert 4 <= len(rows) < 20
    assert rows.mean() == pytest.approx(15.5 - (x_m - 0.22) / metres_a_pixel, abs=1)
    assert columns.mean() == pytest.approx(15.5 - y_m / metres_a_pixel, abs=1)


def test_the_tip_covers_the_disc_that_it_reaches() -> None:
    env = ArmReach(camera="ray")
    before = len(red_pixels(env.reset(seed=1)[0])[0])
    play(env, env.expert_action, seed=1, limit=60)
    assert len(red_pixels(env.observe())[0]) < before


@pytest.mark.parametrize("obs_mode", ["rgb", "grey"])
def test_the_wrist_camera_makes_a_sound_environment(obs_mode: Any) -> None:
    env = ArmReach(camera="ray", view="wrist", obs_mode=obs_mode)
    check_env(env, skip_render_check=True)
    for seed in range(5):
        picture, _ = env.reset(seed=seed)
        assert (picture == 255).mean() < 0.01
        assert 60 < picture.mean() < 190


def test_the_wrist_camera_turns_with_the_hand() -> None:
    env = ArmReach(camera="ray", view="wrist")
    lay_disc(env, 0.0, 0.0)
    tip_rad = float(env.data.qpos.sum())
    for aside_m, column in ((0.15, 10.6), (-0.15, 20.4)):
        env.data.mocap_pos[0, :2] = tip_of(env.data.qpos) + aside_m * np.array(
            [-sin(tip_rad), cos(tip_rad)]
        )
        env.step(STAY)
        assert red_pixels(env.observe())[1].mean() == pytest.approx(column, abs=1)
