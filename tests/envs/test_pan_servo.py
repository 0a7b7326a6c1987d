"""The pan servo's numbers: reward, ending, the ball's ride, and that one picture is enough."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
import pytest

from rivc.envs.pan_servo import ARC_RAD, PAN_SPEEDS_RAD_S, PATIENCE_STEPS, PanServo
from rivc.errors import ConfigError
from tests.tasks import play

STAY = np.int64(1)


@pytest.fixture
def env() -> PanServo:
    return PanServo(obs_mode="state")


def look_at(env: PanServo, bearing_rad: float) -> dict[str, Any]:
    """Stay with a ball that stands at a bearing; return what a step gives."""
    env.reset(seed=0)
    env.episode.ball_rad = float(env.data.qpos[0]) + bearing_rad
    env.episode.ball_speed_rad_s = 0.0
    _, reward, terminated, _, info = env.step(STAY)
    return {**info, "reward": reward, "terminated": terminated}


@pytest.mark.parametrize(
    ("bearing_rad", "reward"),
    [(0.0, 1.0), (pi / 12, 0.5), (-pi / 12, 0.5), (pi / 6 + 0.01, 0.0), (-0.7, 0.0)],
)
def test_the_reward_is_the_equation(env: PanServo, bearing_rad: float, reward: float) -> None:
    result = look_at(env, bearing_rad)
    assert result["bearing_rad"] == pytest.approx(bearing_rad, abs=1e-9)
    assert result["reward"] == pytest.approx(reward, abs=1e-9)
    assert result["reward_terms"] == {"centring": result["reward"]}


@pytest.mark.parametrize(
    ("bearing_rad", "is_success"), [(0.09, True), (-0.09, True), (0.11, False)]
)
def test_success_is_near_the_middle(env: PanServo, bearing_rad: float, is_success: bool) -> None:
    assert look_at(env, bearing_rad)["is_success"] is is_success


def test_an_episode_ends_when_the_ball_is_lost_for_long(env: PanServo) -> None:
    look_at(env, 0.6)
    flags = [env.step(STAY)[2] for _ in range(PATIENCE_STEPS - 1)]
    assert flags == [False] * (PATIENCE_STEPS - 2) + [True]


def test_a_glimpse_of_the_ball_restarts_the_patience(env: PanServo) -> None:
    look_at(env, 0.6)
    assert env.episode.steps_out_of_view == 1
    env.episode.ball_rad -= 0.6
    env.step(STAY)
    assert env.episode.steps_out_of_view == 0


def test_the_ball_rides_on_its_arc_at_its_speed(env: PanServo) -> None:
    env.reset(seed=0)
    speed_rad_s = abs(env.episode.ball_speed_rad_s)
    angles_rad = []
    for _ in range(1500):
        env.step(STAY)
        angles_rad.append(env.episode.ball_rad)
        place = env.data.mocap_pos[0]
        assert np.hypot(*place[:2]) == pytest.approx(1.0)
        assert np.arctan2(place[1], place[0]) == pytest.approx(env.episode.ball_rad)
    assert max(angles_rad) == -min(angles_rad) == ARC_RAD
    steps_rad = np.abs(np.diff(angles_rad))
    assert steps_rad.max() == pytest.approx(speed_rad_s * 0.1)
    turns = np.diff(np.sign(np.diff(angles_rad))) != 0
    assert turns.sum() > 2 * ARC_RAD / speed_rad_s  # more often than at the ends


@pytest.mark.parametrize("actions", [3, 5])
def test_the_head_turns_as_fast_as_the_docstring_says(actions: Any) -> None:
    env = PanServo(obs_mode="state", actions=actions)
    doc = [line.split() for line in (PanServo.__doc__ or "").splitlines()]
    for action, name in enumerate(env.action_names):
        env.reset(seed=0)
        for _ in range(3):
            before_rad = float(env.data.qpos[0])
            env.step(np.int64(action))
        speed_rad_s = PAN_SPEEDS_RAD_S[name]
        assert (env.data.qpos[0] - before_rad) / 0.1 == pytest.approx(speed_rad_s, rel=0.06)
        assert [str(action), *name.split(), f"{speed_rad_s:g}"] in doc


def test_other_numbers_of_actions_are_refused() -> None:
    with pytest.raises(ConfigError, match="actions=4 is not one of 3, 5"):
        PanServo(actions=4)  # type: ignore[arg-type]


@pytest.mark.parametrize("bearing_rad", [-0.35, 0.0, 0.35])
def test_the_ball_is_seen_where_it_is(bearing_rad: float) -> None:
    env = PanServo(camera="ray")
    look_at(env, bearing_rad)
    is_red = redness(env.observe())
    assert 12 < is_red.sum() < 60
    column = np.flatnonzero(is_red.any(axis=0)).mean()
    assert column == pytest.approx(15.5 - 16 * np.tan(bearing_rad) / np.tan(pi / 6), abs=0.6)


def redness(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    colours = picture.astype(int)
    return np.asarray(colours[..., 0] > 2 * colours[..., 1:].max(axis=-1))


def darkness(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The ball is the darkest thing of a grey picture."""
    return picture[..., 0] < 90


@pytest.mark.parametrize(("obs_mode", "find"), [("rgb", redness), ("grey", darkness)])
@pytest.mark.parametrize("actions", [3, 5])
def test_one_picture_is_enough(actions: Any, obs_mode: Any, find: Any) -> None:
    env = PanServo(actions=actions, obs_mode=obs_mode, camera="ray")

    def react() -> np.int64:
        columns = np.flatnonzero(find(env.observe()).any(axis=0))
        seen_rad = np.arctan((15.5 - columns.mean()) / 16 * np.tan(pi / 6)) if columns.size else 0.0
        turns_rad = [0.1 * PAN_SPEEDS_RAD_S[name] for name in env.action_names]
        return np.int64(np.argmin(np.abs(np.array(turns_rad) - seen_rad)))

    for seed in range(3):
        expert = play(env, env.expert_action, seed=seed, limit=100)
        seeing = play(env, react, seed=seed, limit=100)
        assert seeing.episode_return >= 0.95 * expert.episode_return
        assert seeing.is_success
