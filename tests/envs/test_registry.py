"""What is said of a task without building it is true of the built one."""

from __future__ import annotations

import gymnasium as gym
import pytest

from rivc.envs import TaskSpec, Variant, make, task_specs
from tests.tasks import VARIANTS

SPECS = task_specs()


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_a_row_describes_the_task_that_is_built(spec: TaskSpec, variant: Variant) -> None:
    for obs_mode in spec.obs_modes:
        task = make(spec.id, obs_mode=obs_mode, camera="ray", **variant.options)
        assert task.action_layout == variant.action_layout
        assert task.max_episode_steps == spec.max_episode_steps
        assert task.observation_kind == ("vector" if obs_mode == "state" else "image")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_a_task_is_registered_under_its_real_name(spec: TaskSpec) -> None:
    assert gym.spec(spec.id).entry_point == spec.entry_point
    assert spec.entry_point.startswith("rivc.envs.")


def test_rows_are_sorted_and_short() -> None:
    assert [spec.id for spec in SPECS] == sorted({spec.id for spec in SPECS})
    assert all(len(spec.description) < 80 for spec in SPECS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_the_first_way_to_act_is_the_default(spec: TaskSpec) -> None:
    first, *others = spec.all_variants()
    assert first.options == {}
    assert first.action_layout == spec.action_layout
    assert all(variant.options for variant in others)
