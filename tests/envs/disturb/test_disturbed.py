"""Each disturbance changes what it says and nothing else, from its seed, and is taken back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.envs.disturb import FAMILIES, FULL
from rivc.envs.tracker import VisualTracker
from rivc.errors import ConfigError
from tests.tasks import VARIANTS
from tests.tasks import build as make_task

if TYPE_CHECKING:
    from collections.abc import Iterable

    import mujoco
    from numpy.typing import NDArray

    from rivc.envs import TaskSpec, Variant

SIZE = 16
SEED = 5
ACTIONS = [1, 5, 6, 3, 1, 1, 2, 4, 0, 6] * 2

# What differs from the nominal model while an episode is disturbed.
MASSES = {"body_mass", "body_inertia", "body_subtreemass", "body_invweight0"}
MASSES |= {"dof_M0", "dof_invweight0", "actuator_acc0", "cam_poscom0", "light_poscom0"}
IN_THE_MODEL = {
    "light": {"light_diffuse", "light_dir", "headlight"},
    "colours": {"geom_rgba", "mat_rgba"},
    "camera": {"cam_pos", "cam_quat"},
    "field_of_view": {"cam_fovy"},
    "textures": {"tex_data"},
    "distractors": {"geom_rgba"},
    "mass": MASSES,
    "friction": {"geom_friction"},
    "motor_gain": {"actuator_gainprm"},
}
SEEN = ["light", "colours", "camera", "field_of_view", "textures", "distractors"]
FELT = ["mass", "friction", "motor_gain", "action_delay", "actuator_noise"]

Pictures = list["NDArray[np.uint8]"]


def build(disturbances: object = None, **options: Any) -> VisualTracker:
    options = {"camera": "ray", "size": SIZE, **options}
    return VisualTracker(disturbances=disturbances, **options)  # type: ignore[arg-type]


def follow(env: VisualTracker, actions: Iterable[int]) -> tuple[Pictures, list[float]]:
    """Return what actions bring: observations and rewards."""
    steps = [env.step(np.int64(action)) for action in actions]
    return [step[0] for step in steps], [step[1] for step in steps]


def roll(disturbances: object = None, **options: Any) -> tuple[Pictures, list[float]]:
    """Return the observations of an episode, its first included, and its rewards."""
    env = build(disturbances, **options)
    first, _ = env.reset(seed=SEED)
    observations, rewards = follow(env, ACTIONS)
    env.close()
    return [first, *observations], rewards


def arrays(model: mujoco.MjModel) -> dict[str, NDArray[Any]]:
    """Return every array of a model by name, copied; the headlight as one."""
    found = {name: getattr(model, name) for name in dir(model) if not name.startswith("_")}
    found = {k: v.copy() for k, v in found.items() if isinstance(v, np.ndarray)}
    light = model.vis.headlight
    return found | {"headlight": np.concatenate([light.ambient, light.diffuse, light.specular])}


def different(one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> set[str]:
    return {name for name in one if not np.array_equal(one[name], other[name])}


@pytest.mark.parametrize("obs_mode", ["rgb", "state"])
def test_difficulty_zero_is_the_nominal_task_bit_for_bit(obs_mode: str) -> None:
    nominal, rewards = roll(obs_mode=obs_mode)
    disturbed, same = roll("all", difficulty=0.0, obs_mode=obs_mode)
    assert np.array_equal(nominal, disturbed)
    assert rewards == same


@pytest.mark.parametrize("family", FAMILIES)
def test_a_disturbance_changes_its_part_of_the_model_and_is_taken_back(family: str) -> None:
    env = build({family: 1.0})
    nominal = arrays(env.model)
    env.reset(seed=SEED)
    assert different(nominal, arrays(env.model)) == IN_THE_MODEL.get(family, set())
    env.reset(seed=SEED + 1, options={"difficulty": 0.0})
    assert different(nominal, arrays(env.model)) == set()


@pytest.mark.parametrize("family", SEEN)
@pytest.mark.parametrize("camera", ["ray", pytest.param("gl", marks=pytest.mark.gl)])
def test_what_is_only_seen_leaves_the_world_alone(family: str, camera: str) -> None:
    extent = {"distractors_count": 30} if family == "distractors" else family
    nominal, rewards = roll(camera=camera)
    disturbed, same = roll(extent, camera=camera)
    assert rewards == same
    assert any(not np.array_equal(a, b) for a, b in zip(nominal, disturbed, strict=True))


@pytest.mark.parametrize("family", FELT)
def test_what_is_felt_begins_like_the_nominal_task(family: str) -> None:
    nominal, rewards = roll()
    disturbed, others = roll(family)
    assert np.array_equal(nominal[0], disturbed[0])
    assert rewards != others


@pytest.mark.parametrize("camera", ["ray", pytest.param("gl", marks=pytest.mark.gl)])
def test_an_open_camera_sees_what_a_new_one_sees(camera: str) -> None:
    seen = {"light": 1, "colours": 1, "camera": 1, "field_of_view": 1, "textures": 1}
    env, fresh = build(seen, camera=camera), build(seen, camera=camera)
    env.reset(seed=SEED + 1)
    picture, _ = env.reset(seed=SEED)
    assert np.array_equal(picture, fresh.reset(seed=SEED)[0])
    state = env.get_state()
    env.reset(seed=SEED + 2)
    env.set_state(state)
    assert np.array_equal(picture, env.observe())
    env.close()
    fresh.close()


def test_bright_light_saturates_and_does_not_wrap() -> None:
    env = build()
    env.reset(seed=SEED)
    picture = env.observe().astype(int)
    env.model.vis.headlight.ambient *= 3
    env._cameras.refresh()
    assert (env.observe().astype(int) >= picture - 2).all()  # the sky does not depend on light


def test_the_target_moves_alike_whatever_disturbs() -> None:
    paths = []
    for disturbances in (None, "all"):
        env = build(disturbances, obs_mode="state")
        env.reset(seed=SEED)
        path = [env.data.mocap_pos[0].copy()]
        for action in ACTIONS:
            env.step(np.int64(action))
            path.append(env.data.mocap_pos[0].copy())
        paths.append(path)
    assert np.array_equal(*paths)


def test_the_same_seed_draws_the_same_and_another_seed_does_not() -> None:
    env = build("all", obs_mode="state")
    draws = [env.reset(seed=seed)[1]["disturbances"] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert env.reset()[1]["disturbances"] != draws[2]
    assert json.loads(json.dumps(draws[0])) == draws[0]
    assert list(draws[0]) == list(FULL.extents())


def test_one_disturbance_draws_the_same_beside_others_and_in_proportion() -> None:
    together = build("all", obs_mode="state").reset(seed=1)[1]["disturbances"]
    for name in ("light_share", "view_angle_deg", "picture_noise_levels", "friction_share"):
        half = build({name: getattr(FULL, name) / 2}, obs_mode="state")
        assert half.reset(seed=1)[1]["disturbances"] == {name: pytest.approx(together[name] / 2)}


def test_a_difficulty_is_drawn_between_two() -> None:
    env = build("all", difficulty=(0.2, 0.6), obs_mode="state")
    drawn = [env.reset(seed=seed)[1]["difficulty"] for seed in range(40)]
    assert 0.2 <= min(drawn) < 0.25
    assert 0.55 < max(drawn) <= 0.6
    assert env.reset(options={"difficulty": 0.7})[1]["difficulty"] == 0.7
    with pytest.raises(ConfigError, match="difficulty=7"):
        env.reset(options={"difficulty": 7})


def test_draws_spread_evenly_up_to_the_extent() -> None:
    env = build({"friction_share": 0.5, "action_delay_steps": 2}, obs_mode="state")
    draws = [env.reset(seed=seed)[1]["disturbances"] for seed in range(200)]
    friction = np.array([draw["friction_share"] for draw in draws])
    assert np.abs(friction).max() <= 0.5
    assert np.abs(np.histogram(friction, 4, (-0.5, 0.5))[0] - 50).max() < 25
    assert {draw["action_delay_steps"] for draw in draws} == {0, 1, 2}


def test_draws_spread_evenly_between_two_extents() -> None:
    extents = {"state_noise_share": (0.2, 0.4), "action_delay_steps": (2, 2)}
    env = build(extents, obs_mode="state")
    draws = [env.reset(seed=seed)[1]["disturbances"] for seed in range(200)]
    noise = np.array([draw["state_noise_share"] for draw in draws])
    assert np.abs(np.histogram(noise, 4, (0.2, 0.4))[0] - 50).max() < 25
    assert {draw["action_delay_steps"] for draw in draws} == {2}


@pytest.mark.parametrize("family", [*FAMILIES, "all"])
@pytest.mark.parametrize("obs_mode", ["rgb", "state"])
def test_a_disturbed_episode_continues_bit_identically_in_a_fresh_environment(
    family: str, obs_mode: str
) -> None:
    extents: dict[str, float] = {family: 1.0}
    if family.endswith(("delay", "all")):  # at least a step of it
        extents |= {"action_delay_steps": 5, "observation_delay_steps": 5}
    env = build(extents, obs_mode=obs_mode)
    env.reset(seed=SEED)
    follow(env, ACTIONS[:7])
    state = env.get_state()
    line = {k: v for k, v in state["disturbances"].items() if k != "frames"}
    state["disturbances"] = {**json.loads(json.dumps(line)), "frames": line_of(state)}
    expected = follow(env, ACTIONS)
    fresh = build(extents, obs_mode=obs_mode)
    fresh.reset(seed=SEED + 1)
    fresh.set_state(state)
    continued = follow(fresh, ACTIONS)
    assert np.array_equal(expected[0], continued[0])
    assert expected[1] == continued[1]
    assert np.array_equal(env.reset()[0], fresh.reset()[0])


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_every_task_can_be_disturbed_and_continues_exactly(
    spec: TaskSpec, variant: Variant
) -> None:
    states: list[dict[str, Any]] = []
    ends = []
    for _ in range(2):
        options = {"camera": "ray", "size": SIZE, "disturbances": {"all": 1, "light": 0.5}}
        env = make_task(spec.id, **options, **variant.options)
        env.action_space.seed(0)
        env.reset(seed=SEED)
        for _ in range(4):
            env.step(env.action_space.sample())
        states.append(env.get_state())
        env.reset(seed=SEED + 1)
        env.set_state(states[0])
        steps = [env.step(env.action_space.sample()) for _ in range(4)]
        assert env.observation_space.contains(steps[-1][0])
        ends.append([(step[0].tobytes(), *step[1:4]) for step in steps])
    assert ends[0] == ends[1]


def line_of(state: dict[str, Any]) -> NDArray[Any]:
    return np.array(state["disturbances"]["frames"])


def test_a_state_with_disturbances_is_refused_without_them() -> None:
    plain, disturbed = build(obs_mode="state"), build("all", obs_mode="state")
    plain.reset(seed=0)
    disturbed.reset(seed=0)
    with pytest.raises(ConfigError, match="other disturbances; make the task with the same"):
        plain.set_state(disturbed.get_state())
    with pytest.raises(ConfigError, match="other disturbances; make the task with the same"):
        disturbed.set_state(plain.get_state())


@pytest.mark.parametrize("extents", ["light", {"distractors_count": 1}])
def test_a_state_with_more_disturbances_than_the_task_has_is_refused(extents: Any) -> None:
    many, few = build("distractors", obs_mode="state"), build(extents, obs_mode="state")
    many.reset(seed=0)
    few.reset(seed=0)
    assert len(many.get_state()["disturbances"]["drawn"]["distractors_count"]) > 1
    with pytest.raises(ConfigError, match="other disturbances"):
        few.set_state(many.get_state())


def test_all_that_a_fraction_of_an_extent_may_draw_continues() -> None:
    env = build({"distractors_count": 3.9}, obs_mode="state")
    counts = set()
    for seed in range(60):
        env.reset(seed=seed)
        state = env.get_state()
        counts.add(len(state["disturbances"]["drawn"]["distractors_count"]))
        env.set_state(state)
    assert counts == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("disturbances", [None, "all"])
def test_a_difficulty_that_cannot_be_is_refused_for_an_episode_too(disturbances: Any) -> None:
    env = build(disturbances, obs_mode="state")
    with pytest.raises(ConfigError, match="difficulty=7"):
        env.reset(seed=0, options={"difficulty": 7})


def test_a_narrow_view_stays_a_view_at_any_extent() -> None:
    env = make_task("rivc/ArmReach-v0", obs_mode="state", disturbances={"view_angle_deg": 25})
    for seed in range(8):
        env.reset(seed=seed)
        assert env.model.cam_fovy.min() >= 1


def test_a_drone_hovers_while_its_first_action_is_under_way() -> None:
    extents = {"action_delay_steps": 100}
    env = make_task("rivc/DroneHover-v0", obs_mode="state", disturbances=extents)
    _, info = env.reset(seed=SEED)
    assert info["disturbances"]["action_delay_steps"] > 10
    for _ in range(10):
        *_, after = env.step(np.array([1, 1, 1, 1]))
    assert abs(after["height_m"] - info["height_m"]) < 0.25


def test_distractors_are_hidden_until_they_are_drawn_and_swing_in_time() -> None:
    env = build({"distractors_count": 8}, obs_mode="state")
    things = next(
        drawn
        for seed in range(50)
        if len(drawn := env.reset(seed=seed)[1]["disturbances"]["distractors_count"]) == 5
    )
    shown = [
        env.model.geom_rgba[env.model.body_geomadr[env.model.body(f"distractor_{i}").id], 3]
        for i in range(8)
    ]
    assert shown == [1] * 5 + [0] * 3
    before = env.data.mocap_pos[1:6].copy()
    env.step(np.int64(0))
    moved = (env.data.mocap_pos[1:6] != before).any(1).tolist()
    assert moved == [any(thing["swing_m"]) for thing in things]


def test_noise_on_the_controls_does_not_stay_in_them() -> None:
    env = build("actuator_noise", obs_mode="state")
    env.reset(seed=SEED)
    env.step(np.int64(1))
    assert env.data.ctrl.tolist() == [8.0, 8.0]
