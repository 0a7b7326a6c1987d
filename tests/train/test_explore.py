"""Exploration: independent draws and the right frequencies."""

from __future__ import annotations

import numpy as np
import pytest

from rivc.train.config import Config
from rivc.train.explore import (
    boltzmann,
    epsilon_at,
    epsilon_greedy,
    expert_share_at,
    explore,
)
from rivc.train.sections import ExploreConfig

READOUT = np.array([[[1, 5, 5]]] * 4000)


def test_without_epsilon_the_lowest_index_wins_a_tie() -> None:
    assert (epsilon_greedy(np.random.default_rng(0), READOUT, 0.0) == 1).all()


def test_each_environment_draws_for_itself() -> None:
    actions = epsilon_greedy(np.random.default_rng(0), READOUT, 0.5).ravel()
    shares = np.bincount(actions, minlength=3) / len(actions)
    np.testing.assert_allclose(shares, [1 / 6, 2 / 3, 1 / 6], atol=0.03)


def test_each_group_draws_for_itself() -> None:
    readout = np.tile(np.array([1, 0]), (4000, 2, 1))
    actions = epsilon_greedy(np.random.default_rng(0), readout, 1.0)
    assert abs(np.corrcoef(actions.T)[0, 1]) < 0.05


def test_boltzmann_draws_from_the_softmax_of_joint_actions() -> None:
    q = np.tile(np.array([[0.0, 1.0], [0.0, 2.0]]), (20_000, 1, 1))
    actions = boltzmann(np.random.default_rng(0), q, tau=0.5)
    expected = [np.exp(v) / (1 + np.exp(v)) for v in (1.0, 2.0)]  # q / (d tau) with d = 2
    np.testing.assert_allclose(actions.mean(0), expected, atol=0.02)


def test_boltzmann_at_no_temperature_is_greedy() -> None:
    assert (boltzmann(np.random.default_rng(0), READOUT.astype(float), 0.0) == 1).all()


@pytest.mark.parametrize(("env_steps", "epsilon"), [(0, 1.0), (500, 0.6), (1000, 0.2), (9999, 0.2)])
def test_epsilon_falls_linearly_and_stays(env_steps: int, epsilon: float) -> None:
    config = ExploreConfig(epsilon_start=1.0, epsilon_end=0.2, epsilon_env_steps=1000)
    assert epsilon_at(config, env_steps) == pytest.approx(epsilon)


def test_the_kind_of_exploration_is_the_configured_one() -> None:
    config = Config.model_validate(
        {"explore": {"kind": "boltzmann"}, "train": {"inverse_temperature": 1e9}}
    )
    actions = explore(config, np.random.default_rng(0), READOUT[:50] + np.array([0, 1, 0]), 0.1, 0)
    assert (actions == 1).all()


def test_the_expert_s_share_falls_to_none_and_stays_there() -> None:
    config = ExploreConfig(expert_start=0.6, expert_env_steps=100)
    shares = [expert_share_at(config, step) for step in (0, 50, 100, 1000)]
    assert shares == pytest.approx([0.6, 0.3, 0, 0])
    assert expert_share_at(ExploreConfig(), 0) == 0
