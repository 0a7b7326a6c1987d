"""Experts succeed, random actions do not, and the numbers that are stated are true."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gymnasium.envs.registration import load_env_creator

from tests.tasks import VARIANTS, Played, build, play

if TYPE_CHECKING:
    from rivc.envs import TaskSpec, Variant


def play_expert(spec: TaskSpec, variant: Variant, episodes: int) -> list[Played]:
    env = build(spec.id, obs_mode="state", **variant.options)
    limit = spec.max_episode_steps
    return [play(env, env.expert_action, seed=seed, limit=limit) for seed in range(episodes)]


def mean_return(episodes: list[Played]) -> float:
    return float(np.mean([episode.episode_return for episode in episodes]))


def success_rate(episodes: list[Played]) -> float:
    return float(np.mean([episode.is_success for episode in episodes]))


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_the_expert_returns_what_the_registry_says(spec: TaskSpec, variant: Variant) -> None:
    episodes = play_expert(spec, variant, 10)
    scale = variant.expert_return - variant.random_return
    assert mean_return(episodes) == pytest.approx(variant.expert_return, abs=0.02 * scale)
    assert success_rate(episodes) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_the_expert_succeeds_nearly_always(spec: TaskSpec, variant: Variant) -> None:
    assert success_rate(play_expert(spec, variant, 100)) >= 0.95


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_random_actions_return_what_the_registry_says(spec: TaskSpec, variant: Variant) -> None:
    env = build(spec.id, obs_mode="state", **variant.options)
    env.action_space.seed(0)
    sample, limit = env.action_space.sample, spec.max_episode_steps
    episodes = [play(env, sample, seed=seed, limit=limit) for seed in range(10)]
    scale = variant.expert_return - variant.random_return
    assert mean_return(episodes) == pytest.approx(variant.random_return, abs=0.02 * scale)
    assert success_rate(episodes) <= 0.3
    assert scale > abs(variant.expert_return) / 2  # well below the expert


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_the_docstring_states_the_numbers_of_the_registry(spec: TaskSpec, variant: Variant) -> None:
    creator = load_env_creator(spec.entry_point)
    _, _, history = (creator.__doc__ or "").partition("v0: ")
    stated = [float(number) for number in re.findall(r"-?\d+\.\d", history)]
    assert variant.expert_return in stated
    assert variant.random_return in stated


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_the_tables_of_the_docstring_name_every_action_and_every_row(
    spec: TaskSpec, variant: Variant
) -> None:
    env = build(spec.id, obs_mode="state", **variant.options)
    lines = (type(env).__doc__ or "").splitlines()
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    for number, name in enumerate(env.action_names):
        assert [str(number), name] in [row[:2] for row in cells]
    for number, row in enumerate(env.state_rows):
        assert [str(number), row.name, f"{row.low:g}", f"{row.high:g}", row.unit] in cells
