"""A saved state holds all of a task: it goes on to the bit, in another process too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.errors import ConfigError
from tests.tasks import CAMERAS, IDS, VARIANTS, build, rollout

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.envs import TaskSpec, Variant


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("n_before", [0, 90])
def test_a_saved_state_continues_bit_identically_in_a_fresh_environment(
    env_id: str, camera: str, n_before: int, tmp_path: Path
) -> None:
    env = build(env_id, camera=camera)
    env.reset(seed=1)
    list(rollout(env, n_before, seed=5))
    save(env.get_state(), tmp_path)
    seen = env.observe()
    expected = list(rollout(env, 60, seed=6))

    fresh = build(env_id, camera=camera)
    fresh.set_state(load(tmp_path))
    np.testing.assert_array_equal(fresh.observe(), seen)
    assert list(rollout(fresh, 60, seed=6)) == expected
    env.close()
    fresh.close()


@pytest.mark.parametrize("env_id", IDS)
def test_controls_that_are_held_are_part_of_the_state_and_end_with_an_episode(
    env_id: str, tmp_path: Path
) -> None:
    env, fresh = build(env_id), build(env_id)
    env.reset(seed=1)
    held = np.full(env.model.nu, 0.3)
    env.hold(held)
    save(env.get_state(), tmp_path)
    action = env.action_space.sample()
    env.step(action)
    np.testing.assert_array_equal(env.data.ctrl, held)
    fresh.hold(-held)
    fresh.set_state(load(tmp_path))
    fresh.step(action)
    np.testing.assert_array_equal(fresh.data.ctrl, held)
    assert fresh.get_state()["episode"] == env.get_state()["episode"]

    fresh.hold(held)
    for one in (env, fresh):
        one.reset(seed=2)
        one.step(action)
    np.testing.assert_array_equal(fresh.data.qpos, env.data.qpos)
    env.close()
    fresh.close()


def save(state: dict[str, Any], folder: Path) -> None:
    """Write arrays and all the rest, without pickle."""
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    np.savez(folder / "arrays.npz", allow_pickle=False, **arrays)
    rest = {name: value for name, value in state.items() if name not in arrays}
    (folder / "rest.json").write_text(json.dumps(rest))


def load(folder: Path) -> dict[str, Any]:
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        return {**arrays, **json.loads((folder / "rest.json").read_text())}


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_taking_the_state_changes_nothing(spec: TaskSpec, variant: Variant) -> None:
    runs = []
    for is_watched in (False, True):
        env = build(spec.id, obs_mode="state", **variant.options)
        env.reset(seed=2)
        run = []
        for step in rollout(env, 60, seed=0):
            run.append(step)
            if is_watched:
                env.set_state(env.get_state())
        runs.append(run)
    assert runs[0] == runs[1]


@pytest.mark.parametrize("env_id", IDS)
def test_the_state_of_another_task_is_refused(env_id: str) -> None:
    env = build(env_id, obs_mode="state")
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="the state is of Juggler"):
        env.set_state({**env.get_state(), "task": "Juggler"})
