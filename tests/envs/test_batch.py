"""A batch of tasks is Gymnasium's synchronous vector of them, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from rivc.envs import task_specs
from rivc.envs.batch import BatchedTasks
from rivc.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gymnasium.vector import VectorEnv

IDS = [spec.id for spec in task_specs()]
TRACKER = "rivc/VisualTracker-v0"
MODES = [
    {"obs_mode": "state"},
    *({"obs_mode": mode, "camera": "ray"} for mode in ("rgb", "grey", "depth", "segmentation")),
    pytest.param({"obs_mode": "rgb", "camera": "gl"}, marks=pytest.mark.gl),
]
COPIES = 3


def vector(env_id: str, kind: str, autoreset: str = "NextStep", **options: Any) -> VectorEnv[Any]:
    """Return a batch, or Gymnasium's own vector, whose episodes end early and often."""
    where = {"autoreset_mode": AutoresetMode(autoreset)}
    how = where if kind == "vector_entry_point" else {"vector_kwargs": where}
    return gym.make_vec(env_id, COPIES, kind, max_episode_steps=9, **how, **options)  # type: ignore[arg-type]


def rollout(envs: VectorEnv[Any], n_steps: int) -> Iterator[Any]:
    """Yield all that a vector gives on random actions."""
    rng = np.random.default_rng(0)
    yield envs.reset(seed=5)
    for _ in range(n_steps):
        actions = [sample(envs.single_action_space, rng) for _ in range(COPIES)]
        yield envs.step(np.array(actions))


def sample(space: gym.Space[Any], rng: np.random.Generator) -> Any:
    return rng.integers(getattr(space, "n", getattr(space, "nvec", None)))


def require_equal(ours: Any, others: Any) -> None:
    """Compare nested dicts and arrays to the bit, types included."""
    assert type(ours) is type(others)
    if isinstance(ours, dict):
        assert ours.keys() == others.keys()
        for key in ours:
            require_equal(ours[key], others[key])
    elif isinstance(ours, tuple):
        for one, other in zip(ours, others, strict=True):
            require_equal(one, other)
    elif isinstance(ours, np.ndarray):
        assert ours.dtype == others.dtype
        if ours.dtype == object:
            require_equal(tuple(ours), tuple(others))
        else:
            np.testing.assert_array_equal(ours, others)
    else:
        assert ours == others


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("options", MODES)
def test_a_batch_is_the_synchronous_vector_bit_for_bit(
    env_id: str, options: dict[str, Any]
) -> None:
    pair = [vector(env_id, kind, size=16, **options) for kind in ("vector_entry_point", "sync")]
    for ours, others in zip(*(rollout(envs, 40) for envs in pair), strict=True):
        require_equal(ours, others)
    for envs in pair:
        envs.close()


@pytest.mark.parametrize("options", MODES[:2])
def test_an_end_is_followed_by_a_start_in_the_same_step_if_asked_for(
    options: dict[str, Any],
) -> None:
    kinds = ("vector_entry_point", "sync")
    pair = [vector(TRACKER, kind, "SameStep", size=16, **options) for kind in kinds]
    for ours, others in zip(*(rollout(envs, 40) for envs in pair), strict=True):
        require_equal(ours, others)


def test_episodes_that_the_task_ends_are_equal_too() -> None:
    pair = [
        gym.make_vec(TRACKER, COPIES, kind, obs_mode="state")
        for kind in ("vector_entry_point", "sync")
    ]
    for envs in pair:
        envs.reset(seed=2)
    has_ended = np.zeros(COPIES, dtype=bool)
    for _ in range(120):
        ours, others = (envs.step(np.full(COPIES, 3)) for envs in pair)  # turn the ball out of view
        require_equal(ours, others)
        has_ended |= ours[2]
    assert has_ended.all()


def test_some_copies_can_be_reset_alone() -> None:
    pair = [
        vector(TRACKER, kind, "Disabled", size=16, camera="ray")
        for kind in ("vector_entry_point", "sync")
    ]
    for envs in pair:
        list(rollout(envs, 9))
    mask = np.array([True, False, True])
    ours, others = (
        envs.reset(seed=[3, None, 4], options={"reset_mask": mask.copy()}) for envs in pair
    )
    require_equal(ours, others)
    with pytest.raises(UsageError, match=r"episodes \[1\] have ended; reset them"):
        pair[0].step(np.zeros(COPIES, dtype=np.int64))


def test_the_number_of_threads_changes_nothing() -> None:
    runs = [
        list(rollout(vector(TRACKER, "vector_entry_point", camera="ray", threads=n), 15))
        for n in (1, 3)
    ]
    require_equal(tuple(runs[0]), tuple(runs[1]))


def test_an_observation_belongs_to_the_caller() -> None:
    envs = vector(TRACKER, "vector_entry_point", camera="ray", size=16)
    first, _ = envs.reset(seed=0)
    copy = first.copy()
    envs.step(np.array([1, 3, 5]))
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize("env_id", IDS)
def test_spaces_and_metadata_are_those_of_the_task(env_id: str) -> None:
    envs, task = gym.make_vec(env_id, 2, obs_mode="state"), gym.make(env_id, obs_mode="state")
    assert isinstance(envs, BatchedTasks)
    assert envs.single_observation_space == task.observation_space
    assert envs.action_space == batch_space(task.action_space, 2)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert envs.spec is not None
    assert gym.spec(env_id).to_json()


@pytest.mark.slow
@pytest.mark.parametrize("env_id", IDS)
def test_gymnasiums_processes_work_too(env_id: str) -> None:
    pair = [vector(env_id, kind, size=16, camera="ray") for kind in ("sync", "async")]
    for ours, others in zip(*(rollout(envs, 20) for envs in pair), strict=True):
        require_equal(ours, others)
    pair[1].close()


def test_a_frame_of_every_copy() -> None:
    envs = gym.make_vec(TRACKER, 2, obs_mode="state", render_mode="rgb_array", video_size=(64, 64))
    envs.reset(seed=0)
    frames = envs.render()
    assert frames is not None
    assert [frame.shape for frame in frames] == [(64, 64, 3)] * 2  # type: ignore[union-attr]
    envs.close()


def test_wrong_numbers_are_named() -> None:
    with pytest.raises(ConfigError, match="num_envs=0 is less than 1"):
        gym.make_vec(TRACKER, 0, obs_mode="state")
    envs = gym.make_vec(TRACKER, 2, obs_mode="state")
    with pytest.raises(UsageError, match="reset the environments first"):
        envs.step(np.array([0, 0]))
    with pytest.raises(UsageError, match="3 seeds for 2 environments"):
        envs.reset(seed=[1, 2, 3])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"a reset_mask of \(1,\) for 2 environments"):
        envs.reset(options={"reset_mask": [True]})
    envs.reset(seed=0)
    with pytest.raises(UsageError, match="is not in Discrete"):
        envs.step(np.array([0, 7]))


def test_disturbances_are_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match="take vectorization_mode='sync'"):
        gym.make_vec(TRACKER, 2, obs_mode="state", disturbances={"mass_share": 0.5})


def test_only_registered_tasks_have_a_name_here() -> None:
    from rivc.envs import batch

    assert not hasattr(batch, "Juggler")
