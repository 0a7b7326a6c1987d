"""The maze's numbers: layouts, contacts, reward, pictures; and that it cannot be driven blindly."""

from __future__ import annotations

from math import pi, tan
from typing import Any

import numpy as np
import pytest

from rivc.envs.maze_drive import (
    FAR_M,
    MAX_OBSTACLES,
    OBSTACLE_RADIUS_M,
    PASSAGE_M,
    REACHED_M,
    MazeDrive,
)
from rivc.envs.rover import WHEEL_SPEEDS_RAD_S
from rivc.errors import ConfigError

FORWARD, BACK, TURN_LEFT = (
    MazeDrive.action_names.index(n) for n in ("forward", "back", "turn left")
)


@pytest.fixture
def env() -> MazeDrive:
    return MazeDrive(obs_mode="state")


def drive(env: MazeDrive, action: int, n_steps: int) -> dict[str, Any]:
    """Repeat an action until the end; return what the last step told."""
    for _ in range(n_steps):
        observation, reward, terminated, _, info = env.step(np.int64(action))
        if terminated:
            break
    return {**info, "observation": observation, "reward": reward, "terminated": terminated}


def stand(env: MazeDrive, x_m: float, y_m: float, obstacle: int, at: tuple[float, float]) -> None:
    """Face along x with the column far ahead and nothing near but one obstacle."""
    env.reset(seed=0)
    env._stand((x_m, y_m), 0.0)
    env.data.mocap_pos[0, :2] = 1.4, 0.0
    env.data.mocap_pos[1:] = 9.0, 9.0, -1.0
    env.data.mocap_pos[1 + obstacle] = *at, 0.0
    env.set_state(env.get_state())
    env.episode.distance_m = env.measures["distance_m"]


@pytest.mark.parametrize("obstacles", [1, 5, MAX_OBSTACLES])
def test_every_gap_is_passable_and_start_and_goal_are_free(obstacles: int) -> None:
    env = MazeDrive(obs_mode="state", obstacles=obstacles)
    for seed in range(100):
        env.reset(seed=seed)
        places = env.data.mocap_pos[1 : 1 + obstacles]
        assert (places[:, 2] == 0).all()
        apart_m = np.linalg.norm(places[:, None] - places, axis=-1) + 9 * np.eye(obstacles)
        assert apart_m.min() >= 2 * OBSTACLE_RADIUS_M + PASSAGE_M
        assert np.abs(places[:, 1]).max() + OBSTACLE_RADIUS_M <= 1.5 - PASSAGE_M + 0.02
        for free in (env.data.qpos[:3], env.data.mocap_pos[0]):
            assert np.hypot(*(places - free)[:, :2].T).min() > OBSTACLE_RADIUS_M + 0.35


def test_one_obstacle_stands_in_the_way(env: MazeDrive) -> None:
    for seed in range(100):
        env.reset(seed=seed)
        way = (env.data.mocap_pos[0] - env.data.qpos[:3])[:2]
        first = (env.data.mocap_pos[1] - env.data.qpos[:3])[:2]
        aside_m = abs(way[0] * first[1] - way[1] * first[0]) / np.hypot(*way)
        assert aside_m <= 0.1
        assert 0 < first @ way < way @ way
        assert abs(env.measures["bearing_rad"]) <= 0.5


def test_obstacles_that_are_not_used_lie_below_the_floor() -> None:
    env = MazeDrive(obs_mode="state", obstacles=0)
    env.reset(seed=0)
    assert (env.data.mocap_pos[1:, 2] < -0.5).all()
    assert env.observe()[6:].tolist() == [FAR_M] * 4
    assert drive(env, FORWARD, 5)["reward_terms"]["contact"] == 0


@pytest.mark.parametrize("obstacles", [-1, MAX_OBSTACLES + 1, 2.5, "many"])
def test_a_wrong_number_of_obstacles_is_refused(obstacles: Any) -> None:
    with pytest.raises(ConfigError, match=f"obstacles={obstacles!r} is not from 0 to"):
        MazeDrive(obs_mode="state", obstacles=obstacles)


def test_places_and_turns_of_obstacles_are_part_of_the_state(env: MazeDrive) -> None:
    env.reset(seed=3)
    state, places, turns = env.get_state(), env.data.mocap_pos.copy(), env.data.mocap_quat.copy()
    env.reset(seed=4)
    assert not np.array_equal(env.data.mocap_pos, places)
    env.set_state(state)
    np.testing.assert_array_equal(env.data.mocap_pos, places)
    np.testing.assert_array_equal(env.data.mocap_quat, turns)


@pytest.mark.parametrize("obstacle", [0, 1])  # a post, a crate
def test_the_robot_cannot_drive_through_and_pays(env: MazeDrive, obstacle: int) -> None:
    stand(env, -1.0, 0.0, obstacle, at=(0.0, 0.0))
    result = drive(env, FORWARD, 60)
    assert result["reward_terms"]["contact"] == -0.5
    assert result["reward"] == pytest.approx(-0.5, abs=0.15)
    assert -0.3 < env.data.qpos[0] < -0.15
    assert env.data.mocap_pos[1 + obstacle].tolist() == [0, 0, 0]
    assert abs(env.data.qpos[2] - 0.05) < 0.02  # it has not climbed up


def test_the_robot_can_back_off_and_goes_past_on_the_side(env: MazeDrive) -> None:
    stand(env, -1.0, 0.0, 0, at=(0.0, 0.0))
    drive(env, FORWARD, 60)
    assert drive(env, BACK, 10)["reward_terms"]["contact"] == 0
    assert env.data.qpos[0] < -0.35
    stand(env, -1.0, 0.21, 0, at=(0.0, 0.0))  # grazes the post and slides along it
    result = drive(env, FORWARD, 40)
    assert env.data.qpos[0] > 0.2
    assert result["reward_terms"]["contact"] == 0


def test_walls_stop_the_robot(env: MazeDrive) -> None:
    stand(env, 1.2, 1.1, 0, at=(-1.0, -1.0))
    assert drive(env, FORWARD, 30)["reward_terms"]["contact"] == -0.5
    assert env.data.qpos[0] < 1.92


def test_progress_is_one_at_top_speed_and_adds_up_to_the_way(env: MazeDrive) -> None:
    stand(env, -1.6, 0.0, 0, at=(-1.0, -1.0))
    start_m = env.measures["distance_m"]
    progress = [env.step(np.int64(FORWARD))[4]["reward_terms"]["progress"] for _ in range(30)]
    assert 0.8 < progress[-1] <= 1.0
    assert sum(progress) == pytest.approx((start_m - env.measures["distance_m"]) / 0.04)


def test_arrival_ends_the_episode_with_success(env: MazeDrive) -> None:
    stand(env, 0.8, 0.0, 0, at=(-1.0, -1.0))
    result = drive(env, FORWARD, 20)
    assert result["terminated"] is True
    assert result["is_success"] is result["success_at_end"] is True
    assert result["reward_terms"]["arrival"] == 10
    assert REACHED_M - 0.05 < result["distance_m"] < REACHED_M


def test_turning_left_brings_the_column_to_the_right(env: MazeDrive) -> None:
    stand(env, -1.0, 0.0, 0, at=(0.0, 0.5))
    before = env.observe()
    after = drive(env, TURN_LEFT, 3)["observation"]
    assert env.measures["bearing_rad"] < -0.3
    assert after[5] > 1.0
    assert after[7] < before[7]
    assert before[6:8].tolist() == pytest.approx([1.0, 0.5])


def test_who_drives_straight_to_the_column_does_not_arrive(env: MazeDrive) -> None:
    blind = MazeDrive(obs_mode="state", obstacles=0)
    successes = []
    for seed in range(10):
        env.reset(seed=seed)
        info: dict[str, Any] = {}
        for _ in range(150):
            blind.measures, blind.data = env.measures, env.data
            _, _, terminated, _, info = env.step(blind.expert_action())
            if terminated:
                break
        successes.append(info["is_success"])
    assert sum(successes) <= 1


@pytest.mark.parametrize("bearing_rad", [-0.5, 0.0, 0.5])
def test_the_column_is_seen_above_the_obstacle_in_front_of_it(bearing_rad: float) -> None:
    env = MazeDrive(camera="ray")
    stand(env, -1.0, 0.0, 0, at=(-0.3, -0.7 * tan(bearing_rad)))
    env.data.mocap_pos[0, :2] = 0.4, -1.4 * tan(bearing_rad)
    env.set_state(env.get_state())
    picture = env.observe().astype(int)
    red, _, blue = np.moveaxis(picture, -1, 0)
    is_column, is_obstacle = red > 2 * blue, blue > 2 * red
    assert is_column.sum() > 20
    assert is_obstacle.sum() > 20
    assert (
        np.flatnonzero(is_column.any(axis=1)).min() < np.flatnonzero(is_obstacle.any(axis=1)).min()
    )
    assert 15 - is_obstacle.nonzero()[0].min() < 3  # not above the horizon
    column = np.flatnonzero(is_column.any(axis=0)).mean()
    expected = 15.5 + 16 * tan(bearing_rad) / tan(75 / 2 * pi / 180) * 1.4 / 1.32
    assert column == pytest.approx(expected, abs=1.5)


def test_the_docstring_states_the_wheel_speeds() -> None:
    rows = [line.split("  ") for line in (MazeDrive.__doc__ or "").splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    for number, name in enumerate(MazeDrive.action_names):
        speeds = (f"{speed:g}" for speed in WHEEL_SPEEDS_RAD_S[name])
        assert [str(number), name, *speeds] in cells
