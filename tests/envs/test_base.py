"""What every task owes: Gymnasium's contract, repeatability, exact state, honest options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from gymnasium.utils.env_checker import check_env

from rivc.envs.physics import count_substeps
from rivc.errors import ConfigError, UsageError
from tests.tasks import IDS, VARIANTS, build, rollout

if TYPE_CHECKING:
    from rivc.envs import TaskSpec, Variant

PICTURES = ["rgb", "grey", "depth", "segmentation"]
RAYS = [{"obs_mode": "state"}, *({"obs_mode": mode, "camera": "ray"} for mode in PICTURES)]
OPENGL = [{"obs_mode": mode, "camera": "gl"} for mode in PICTURES]
WAYS = [  # every way to act, seen by rays; OpenGL is slow to open, and sees no actions
    *(
        pytest.param(
            spec.id, {**mode, **variant.options}, id=f"{case.id} {' '.join(mode.values())}"
        )
        for case in VARIANTS
        for spec, variant in [case.values]
        for mode in RAYS
    ),
    *(
        pytest.param(env_id, mode, id=f"{env_id} {' '.join(mode.values())}", marks=pytest.mark.gl)
        for env_id in IDS
        for mode in OPENGL
    ),
]


@pytest.mark.parametrize(("env_id", "options"), WAYS)
def test_gymnasiums_checker_has_no_complaint(env_id: str, options: dict[str, Any]) -> None:
    env = build(env_id, video_size=(64, 64), **options)
    check_env(env, skip_render_check=options["obs_mode"] != "state")  # films are all the same
    env.close()


@pytest.mark.parametrize(("env_id", "options"), WAYS)
def test_same_seed_gives_the_same_rollout(env_id: str, options: dict[str, Any]) -> None:
    env, fresh, runs = build(env_id, **options), build(env_id, **options), []
    for played, seed in ((env, 3), (env, 4), (fresh, 3)):
        played.reset(seed=seed)
        runs.append(list(rollout(played, 40, seed=0)))
    assert runs[1] != runs[0] == runs[2]
    env.close()
    fresh.close()


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_the_reward_is_exactly_the_sum_of_its_terms(spec: TaskSpec, variant: Variant) -> None:
    env = build(spec.id, obs_mode="state", **variant.options)
    env.reset(seed=0)
    for _ in range(100):
        _, reward, terminated, _, info = env.step(env.action_space.sample())
        assert reward == sum(info["reward_terms"].values())
        if terminated:
            env.reset()


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_every_action_has_a_name(spec: TaskSpec, variant: Variant) -> None:
    env = build(spec.id, obs_mode="state", **variant.options)
    assert len(set(env.action_names)) == len(env.action_names)
    assert len(env.action_names) in variant.action_layout  # groups, or the choices of each


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
@pytest.mark.parametrize("action", [-1, 99, 0.5, "stop", [0, 1, 99]])
def test_an_action_outside_the_space_is_refused(
    spec: TaskSpec, variant: Variant, action: object
) -> None:
    env = build(spec.id, obs_mode="state", **variant.options)
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"is not in (Multi)?Discrete"):
        env.step(action)


def test_the_clocks_must_divide() -> None:
    assert count_substeps(0.1, 0.01) == 10
    for physics_dt_s in (0.03, 0.2):
        with pytest.raises(ConfigError, match=f"physics_dt_s={physics_dt_s}"):
            count_substeps(0.1, physics_dt_s)
