"""The cart-pole's numbers: forces, reward, ending, the regulator, what the camera shows."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from rivc.envs.pole_balance import (
    EXPERT_GAINS,
    FALLEN_RAD,
    FAR_M,
    FORCES_N,
    START,
    PoleBalance,
)

LEFT, COAST, RIGHT = (np.int64(action) for action in (0, 2, 4))
STEP_S = 0.02


@pytest.fixture
def env() -> PoleBalance:
    return PoleBalance(obs_mode="state")


def coast(env: PoleBalance, position_m: float, angle_rad: float) -> dict[str, Any]:
    """Coast for a step from rest; return what the step gives."""
    env.reset(seed=0)
    env.data.qpos[:], env.data.qvel[:] = (position_m, angle_rad), 0
    _, reward, terminated, _, info = env.step(COAST)
    return {**info, "reward": reward, "terminated": terminated}


@pytest.mark.parametrize("position_m", [0.0, -0.8, 1.5])
@pytest.mark.parametrize("angle_rad", [0.0, -0.1, 0.3])
def test_the_reward_is_the_equation(env: PoleBalance, position_m: float, angle_rad: float) -> None:
    result = coast(env, position_m, angle_rad)
    off, lean = abs(result["position_m"]) / 1.6, abs(result["angle_rad"]) / 0.35
    assert result["reward_terms"] == pytest.approx(
        {"centring": (1 - off) / 2, "upright": (1 - lean) / 2}
    )
    assert result["reward"] == pytest.approx(1 - off / 2 - lean / 2)
    assert result["is_success"] is True
    assert result["terminated"] is False


@pytest.mark.parametrize(
    ("position_m", "angle_rad"),
    [(FAR_M + 0.01, 0.0), (-FAR_M - 0.01, 0.0), (0.0, FALLEN_RAD), (0.0, -FALLEN_RAD)],
)
def test_an_episode_fails_at_the_ends_of_the_rail_and_when_the_pole_has_fallen(
    env: PoleBalance, position_m: float, angle_rad: float
) -> None:
    result = coast(env, position_m, angle_rad)
    assert result["terminated"] is True
    assert result["success_at_end"] is False
    assert min(result["reward_terms"].values()) == 0


@pytest.mark.parametrize(("action", "sign"), [(LEFT, -1), (COAST, 0), (RIGHT, 1)])
def test_a_force_pushes_the_cart_its_way_and_the_pole_the_other(
    env: PoleBalance, action: np.int64, sign: int
) -> None:
    coast(env, 0.0, 0.0)
    observation, *_ = env.step(action)
    position_m, angle_rad, speed_m_s, turning_rad_s = observation.tolist()
    assert [np.sign(x) for x in (position_m, angle_rad)] == [sign, -sign]
    force_n, pole = FORCES_N[env.action_names[action]], env.model.body("pole")
    mass_kg, half_m = pole.mass[0], pole.ipos[2]
    share = mass_kg * half_m / (pole.inertia.max() + mass_kg * half_m**2)  # [1/m] turned for pushed
    push_m_s = force_n / (1 + mass_kg * (1 - share * half_m)) * STEP_S
    assert speed_m_s == pytest.approx(push_m_s, rel=0.01, abs=1e-9)
    assert turning_rad_s == pytest.approx(-share * push_m_s, rel=0.03, abs=1e-9)


def test_a_lean_grows_by_itself_to_its_side(env: PoleBalance) -> None:
    coast(env, 0.0, 0.1)
    angles_rad = [env.step(COAST)[0][1] for _ in range(10)]
    assert (np.diff(angles_rad) > 0).all()


def test_episodes_start_within_their_reach(env: PoleBalance) -> None:
    starts = np.array([env.reset(seed=seed)[0] for seed in range(200)])
    assert (np.abs(starts) <= np.float32(START)).all()
    assert (np.abs(starts).max(0) > 0.95 * np.array(START)).all()


def test_the_experts_gains_are_those_of_the_linear_regulator(env: PoleBalance) -> None:
    model = env.model
    a, b = np.zeros((4, 4)), np.zeros((4, 1))
    mujoco.mj_resetData(model, env.data)
    mujoco.mjd_transitionFD(model, env.data, 1e-6, True, a, b, None, None)
    a, b = (
        np.linalg.matrix_power(a, env.substeps),
        sum(np.linalg.matrix_power(a, i) @ b for i in range(env.substeps)),
    )
    cost, price = np.diag([1, 10, 0.1, 0.1]), 0.02
    gains, value = np.zeros((1, 4)), cost
    for _ in range(2000):  # the Riccati equation, by iteration
        gains = np.linalg.solve(price + b.T @ value @ b, b.T @ value @ a)
        value = cost + a.T @ value @ (a - b @ gains)
    np.testing.assert_allclose(-gains[0], EXPERT_GAINS, rtol=0.01)


def test_the_pole_is_the_darkest_thing_and_is_seen_where_it_is() -> None:
    env = PoleBalance(obs_mode="grey", camera="ray", size=64)
    columns = []
    for angle_rad in (-0.2, 0.0, 0.2):
        coast(env, 0.0, angle_rad)
        dark = env.observe()[..., 0] < 20
        assert 150 < dark.sum() < 350
        columns.append(np.nonzero(dark[:20])[1].mean())  # of the upper end
    assert columns == pytest.approx([26, 31.5, 37], abs=1)


def test_the_grain_of_the_camera_is_in_every_episode() -> None:
    grain = {"picture_noise_levels": (4, 4)}
    env, clean = (
        PoleBalance(obs_mode="grey", camera="ray", size=64, disturbances=disturbances)
        for disturbances in (grain, None)
    )
    for seed in range(3):
        noisy, info = env.reset(seed=seed)
        noise = noisy.astype(float) - clean.reset(seed=seed)[0]
        assert info["disturbances"] == {"picture_noise_levels": 4}
        assert noise.std() == pytest.approx(4, rel=0.05)
