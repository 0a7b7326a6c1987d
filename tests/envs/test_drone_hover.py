"""The drone's numbers: physics, signs, limits of the rotors, reward, pictures."""

from __future__ import annotations

from itertools import product
from math import exp
from typing import Any

import numpy as np
import pytest

from rivc.envs.drone_hover import COMMANDS, DroneHover

LESS, HOLD, MORE = range(3)
HOVER = (HOLD, HOLD, HOLD, HOLD)


@pytest.fixture
def env() -> DroneHover:
    return DroneHover(obs_mode="state")


def place(env: DroneHover, at: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> None:
    """Put the drone somewhere, level, at rest and facing along x."""
    env.reset(seed=0)
    env.data.qpos[:] = *at, 1, 0, 0, 0
    env.data.qvel[:] = 0
    env.set_state(env.get_state())


def fly(env: DroneHover, action: tuple[int, ...], n_steps: int) -> dict[str, Any]:
    """Repeat an action; return the numbers of the state by name and what the last step told."""
    for _ in range(n_steps):
        observation, reward, terminated, _, info = env.step(np.array(action))
    names = [row.name for row in env.state_rows]
    state = dict(zip(names, observation.tolist(), strict=True))
    return {**state, **info, "reward": reward, "terminated": terminated}


def test_the_hold_commands_keep_the_drone_where_it_is(env: DroneHover) -> None:
    place(env)
    result = fly(env, HOVER, 200)
    assert result["error_m"] < 1e-3
    assert result["tilt_rad"] < 1e-6
    assert result["reward"] == pytest.approx(1.0, abs=1e-2)
    assert result["is_success"] is True
    assert result["terminated"] is False


def test_the_middle_thrust_is_the_weight(env: DroneHover) -> None:
    weight_n = float(env.model.body_mass.sum()) * -env.model.opt.gravity[2]
    assert COMMANDS["thrust"][HOLD] == pytest.approx(weight_n)


@pytest.mark.parametrize(
    ("action", "signs"),
    [
        ((MORE, HOLD, HOLD, HOLD), {"speed up": 1, "point above": -1}),
        ((LESS, HOLD, HOLD, HOLD), {"speed up": -1, "point above": 1}),
        ((HOLD, MORE, HOLD, HOLD), {"roll rate": 1, "lean left": -1, "speed left": -1}),
        ((HOLD, LESS, HOLD, HOLD), {"roll rate": -1, "lean left": 1, "point left": -1}),
        ((HOLD, HOLD, MORE, HOLD), {"pitch rate": 1, "lean ahead": 1, "point ahead": -1}),
        ((HOLD, HOLD, LESS, HOLD), {"pitch rate": -1, "lean ahead": -1, "speed ahead": -1}),
        ((HOLD, HOLD, HOLD, MORE), {"yaw rate": 1, "sin heading": 1}),
        ((HOLD, HOLD, HOLD, LESS), {"yaw rate": -1, "sin heading": -1}),
    ],
)
def test_each_command_has_the_sign_that_the_docstring_says(
    env: DroneHover, action: tuple[int, ...], signs: dict[str, int]
) -> None:
    place(env)
    result = fly(env, action, 8)
    for name, sign in signs.items():
        assert result[name] * sign > 0.01


@pytest.mark.parametrize("group", [1, 2, 3])
def test_the_controller_holds_the_commanded_rate(env: DroneHover, group: int) -> None:
    place(env)
    action = tuple(MORE if i == group else HOLD for i in range(4))
    fly(env, action, 10)
    rates = env.data.qvel[3:6]
    wanted = list(COMMANDS.values())[group][MORE]
    assert rates[group - 1] == pytest.approx(wanted, rel=0.1)
    assert np.abs(np.delete(rates, group - 1)).max() < 1e-6


def test_four_rotors_can_make_whatever_the_controller_asks_for(env: DroneHover) -> None:
    """Thrust and torques are four numbers of four rotors that turn in opposite senses by pairs."""
    x, y = env.model.site_pos[1:5, 0], env.model.site_pos[1:5, 1]
    mixer = np.stack([np.ones(4), y, -x, 0.016 * np.array([1, -1, 1, -1])])
    extremes = np.array(list(product(*env.model.actuator_forcerange))).T
    rotors = np.linalg.solve(mixer, extremes)
    assert 0.19 < rotors.min() < rotors.max() < 2.4


def test_commands_are_the_same_whatever_the_heading(env: DroneHover) -> None:
    states = []
    for yaw in (np.array([1, 0, 0, 0]), np.array([np.cos(0.6), 0, 0, np.sin(0.6)])):
        place(env)
        env.data.qpos[3:7] = yaw
        env.set_state(env.get_state())
        result = fly(env, (HOLD, MORE, MORE, HOLD), 6)
        states.append([result[row.name] for row in env.state_rows[2:8]])
    np.testing.assert_allclose(*states, atol=1e-6)


@pytest.mark.parametrize(
    "at", [(0.0, 0.0, 1.0), (0.3, 0.0, 1.0), (0.0, -0.5, 1.2), (0.4, 0.4, 0.8)]
)
def test_the_reward_is_the_equation(env: DroneHover, at: tuple[float, float, float]) -> None:
    place(env, at)
    result = fly(env, (MORE, LESS, MORE, MORE), 4)
    terms = result["reward_terms"]
    assert terms == {
        "position": 0.7 * exp(-2 * result["error_m"]),
        "stillness": 0.1 * exp(-2 * result["speed_m_s"]),
        "level": 0.1 * exp(-4 * result["tilt_rad"]),
        "heading": 0.1 * exp(-4 * abs(result["heading_rad"])),
    }
    assert 0 < result["reward"] <= 1
    assert result["error_m"] == pytest.approx(np.hypot(np.hypot(*at[:2]), at[2] - 1), abs=0.05)


@pytest.mark.parametrize(
    ("at", "speed_m_s", "is_success"),
    [
        ((0.0, 0.08, 1.0), 0.0, True),
        ((0.0, 0.11, 1.0), 0.0, False),
        ((0.0, 0.0, 0.89), 0.0, False),
        ((0.0, 0.0, 1.0), 0.2, True),
        ((0.0, 0.0, 1.0), 0.3, False),
    ],
)
def test_success_is_near_and_slow(
    env: DroneHover, at: tuple[float, float, float], speed_m_s: float, is_success: bool
) -> None:
    place(env, at)
    env.data.qvel[0] = speed_m_s
    assert fly(env, HOVER, 1)["is_success"] is is_success


@pytest.mark.parametrize(
    ("at", "terminated"),
    [
        ((0.0, 0.0, 1.0), False),
        ((0.0, 0.0, 0.2), False),
        ((0.0, 0.0, 0.1), True),
        ((1.4, 0.0, 1.0), False),
        ((1.55, 0.0, 1.0), True),
        ((0.0, 0.0, 2.55), True),
    ],
)
def test_a_crash_or_a_flight_away_ends_the_episode(
    env: DroneHover, at: tuple[float, float, float], terminated: bool
) -> None:
    place(env, at)
    assert fly(env, HOVER, 1)["terminated"] is terminated


@pytest.mark.parametrize(("tilt_rad", "terminated"), [(1.1, False), (1.3, True), (3.0, True)])
def test_a_tumbling_drone_ends_the_episode(
    env: DroneHover, tilt_rad: float, terminated: bool
) -> None:
    place(env)
    env.data.qpos[3:7] = np.cos(tilt_rad / 2), 0, np.sin(tilt_rad / 2), 0
    assert fly(env, HOVER, 1)["terminated"] is terminated


def test_starts_are_displaced_tilted_and_drifting(env: DroneHover) -> None:
    starts = []
    for seed in range(100):
        env.reset(seed=seed)
        starts.append([*env.data.qpos[:3], *env.measures.values(), *env.data.qvel])
    low, high = np.min(starts, axis=0), np.max(starts, axis=0)
    assert (low[:3] < (-0.45, -0.45, 0.75)).all()
    assert (high[:3] > (0.45, 0.45, 1.25)).all()
    error_m, _, speed_m_s, tilt_rad, heading_rad = high[3:8]
    assert error_m < 0.78
    assert speed_m_s < 0.52
    assert 0.2 < tilt_rad <= 0.25
    assert 0.4 < heading_rad < 0.6
    assert np.abs(starts)[:, -3:].max() == 0  # it does not spin


@pytest.mark.parametrize(
    ("at", "row", "column"),
    [
        ((0.0, 0.0, 1.0), 15.5, 15.5),
        ((0.0, 0.4, 1.0), 15.5, 22.0),  # to the left of the mark: it is seen on the right
        ((0.0, -0.4, 1.0), 15.5, 9.0),
        ((-0.4, 0.0, 1.0), 9.0, 15.5),  # behind the mark: it is seen ahead, above
    ],
)
def test_the_mark_is_seen_where_it_is(
    at: tuple[float, float, float], row: float, column: float
) -> None:
    env = DroneHover(camera="ray")
    place(env, at)
    red, _, blue = np.moveaxis(env.observe().astype(int), -1, 0)
    is_orange = red > 2 * blue
    is_dark = red < 60
    assert is_orange.sum() > 20
    assert is_dark.sum() > 10
    seen = np.argwhere(is_orange | is_dark)
    middle = (seen.min(axis=0) + seen.max(axis=0)) / 2
    assert middle == pytest.approx([row, column], abs=1.1)


def test_the_bar_of_the_mark_points_to_heading_zero() -> None:
    env = DroneHover(camera="ray")
    place(env)
    picture = env.observe()
    rows, columns = np.nonzero(picture.min(axis=-1) > 190)
    assert rows.size > 4
    assert rows.max() < 16  # up in the picture is ahead
    assert abs(columns.mean() - 15.5) < 1


def test_the_docstring_states_the_commands() -> None:
    rows = [line.split("  ") for line in (DroneHover.__doc__ or "").splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    for number, name in enumerate(DroneHover.action_names):
        commands = (f"{choices[number]:g}" for choices in COMMANDS.values())
        assert [str(number), name, *commands] in cells
