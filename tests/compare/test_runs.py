"""Runs of one kind are seeds of one variant, and runs of another kind are not."""

from __future__ import annotations

import pytest

from rivc.compare.runs import task_name, variant_names
from rivc.train import load_config


@pytest.mark.parametrize(
    "setting", [{"env.count": 1}, {"env.train_episode_steps": 20}, {"train.gap_coef": 0.0}]
)
def test_another_setting_is_another_variant(setting: dict[str, object]) -> None:
    configs = [load_config("quickstart", {"seed": seed}) for seed in (0, 1)]
    configs.append(load_config("quickstart", {"seed": 2, **setting}))
    assert variant_names(configs) == ["quickstart", "quickstart", "quickstart (2)"]


def test_another_task_is_the_same_variant_on_another_task() -> None:
    configs = [load_config("quickstart", {"env.kwargs": k}) for k in ({}, {"sutton": True})]
    assert variant_names(configs) == ["quickstart", "quickstart"]
    assert [task_name(config) for config in configs] == ["CartPole-v1", "CartPole-v1 sutton=True"]
