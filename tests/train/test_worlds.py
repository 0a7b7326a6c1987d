"""Copies of a task: seeded resets, no dummy steps, states that come back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest

from rivc.envs.factory import make
from rivc.errors import ConfigError, FailedError
from rivc.train.checkpoint import load_checkpoint, save_checkpoint
from rivc.train.collect import Collector
from rivc.train.config import parse_config
from rivc.train.replay import Replay
from rivc.train.setup import make_tasks, make_training_tasks
from rivc.train.worlds import Worlds, episode_seed

if TYPE_CHECKING:
    from pathlib import Path

TASKS = {
    "CartPole-v1": {},
    "rivc/VisualTracker-v0": {"obs_mode": "state"},
}


def worlds(env_id: str, count: int = 3, seed: int = 0) -> Worlds:
    return Worlds([make(env_id, **TASKS[env_id]) for _ in range(count)], seed)


def actions(steps: int, count: int, n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(n, size=(count, 1)) for _ in range(steps)]


def roll(w: Worlds, moves: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    steps = [(w.step(a)[0].reward, w.observation) for a in moves]
    return np.array([r for r, _ in steps]), np.array([o for _, o in steps])


@pytest.mark.parametrize("env_id", TASKS)
def test_same_seed_same_rollout(env_id: str) -> None:
    moves = actions(60, 3, 2)
    for ours, theirs in zip(roll(worlds(env_id), moves), roll(worlds(env_id), moves), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("env_id", TASKS)
def test_a_captured_state_goes_on_as_if_nothing_had_happened(env_id: str) -> None:
    original = worlds(env_id)
    roll(original, actions(37, 3, 2))
    restored = worlds(env_id)
    restored.restore(original.capture())
    np.testing.assert_array_equal(original.observation, restored.observation)
    moves = actions(80, 3, 2)
    for ours, theirs in zip(roll(original, moves), roll(restored, moves), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_configured_history_comes_back_from_a_checkpoint(tmp_path: Path) -> None:
    kwargs = {"camera": "ray", "size": 16, "obs_mode": "grey"}
    env = {"id": "rivc/VisualTracker-v0", "history": True, "kwargs": kwargs}
    config = parse_config({"env": env}, "here")
    original, restored = (Worlds(make_tasks(config, 2), seed) for seed in (0, 1))
    roll(original, actions(5, 2, 7))
    assert original.observation.shape == (2, 16, 16, 3)
    assert (original.observation[..., 0] != original.observation[..., 2]).any()

    replay = Replay(10, (16, 16, 3), np.uint8, 1)
    state = {"env_steps": 5, "worlds": original.capture()}
    saved = save_checkpoint(tmp_path, state, replay, first_open=0)
    restored.restore(load_checkpoint(saved, replay)["worlds"])
    np.testing.assert_array_equal(original.observation, restored.observation)
    moves = actions(40, 2, 7)
    for ours, theirs in zip(roll(original, moves), roll(restored, moves), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_copies_and_episodes_start_differently() -> None:
    seeds = {episode_seed(0, s, c, e) for s in range(2) for c in range(8) for e in range(50)}
    assert len(seeds) == 800
    assert len(np.unique(worlds("CartPole-v1", count=8).observation, axis=0)) == 8


def test_the_time_limit_truncates_without_terminating() -> None:
    task = replace(make("CartPole-v1"), max_episode_steps=5)  # too soon for a pole to fall
    w, ends = Worlds([task], 0), 0
    for step in range(1, 16):
        moves, finished = w.step(np.array([[step % 2]]))
        assert moves.ended[0] == (step % 5 == 0) == bool(finished)
        assert not moves.terminated[0]
        ends += len(finished)
    assert ends == 3


def test_an_ended_copy_shows_its_last_observation_and_then_a_fresh_one() -> None:
    w = worlds("CartPole-v1", count=1)
    for _ in range(300):
        moves, finished = w.step(np.array([[1]]))
        if finished:
            assert moves.terminated[0]
            assert abs(moves.observation[0, 2]) > 0.2  # fell over
            assert abs(w.observation[0, 2]) < 0.06  # and stands again
            return
    pytest.fail("the pole never fell")


def test_the_return_is_the_plain_sum_of_rewards() -> None:
    w = worlds("CartPole-v1", count=1)
    total = 0.0
    for _ in range(300):
        moves, finished = w.step(np.array([[0]]))
        total += moves.reward[0]
        if finished:
            assert finished[0].episode_return == total == finished[0].length
            return
    pytest.fail("no episode ended")


class Odd(gym.Env):  # type: ignore[type-arg]
    """Counts its steps in other numbers than it begins with, and may give any reward."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    reward = 1.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> Any:
        self.steps += 1
        return np.array([self.steps / 3]), self.reward, False, False, {}


def odd() -> Worlds:
    return Worlds([replace(make("CartPole-v1"), env=Odd())], 0)


def test_observations_of_two_types_come_back_too() -> None:
    original, restored = odd(), odd()
    roll(original, [np.array([[1]])] * 4)
    restored.restore(original.capture())
    np.testing.assert_array_equal(original.observation, restored.observation)


@pytest.mark.parametrize("reward", [np.nan, -np.inf])
def test_a_reward_that_is_none_is_told(reward: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Odd, "reward", reward)
    with pytest.raises(FailedError, match=f"reward of {reward}"):
        odd().step(np.array([[1]]))


def test_a_task_without_a_time_limit_gets_that_of_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gym.spec("CartPole-v1"), "max_episode_steps", None)
    config = parse_config({"env": {"train_episode_steps": 9}}, "test")
    [task] = make_tasks(config, 1)
    assert task.max_episode_steps == 9


def test_training_episodes_may_end_earlier_and_are_truncated_then() -> None:
    config = parse_config(
        {"env": {"id": "rivc/VisualTracker-v0", "kwargs": {"obs_mode": "state"}, "count": 2}},
        "test",
    )
    short = config.model_copy(
        update={"env": config.env.model_copy(update={"train_episode_steps": 7})}
    )
    assert {task.max_episode_steps for task in make_training_tasks(config)} == {200}
    world = Worlds(make_training_tasks(short), 0)
    for step in range(1, 15):
        moves, finished = world.step(np.zeros((2, 1), np.int64))
        assert moves.ended.all() == (step % 7 == 0)
        assert [episode.length for episode in finished] == [7, 7] * (step % 7 == 0)
        assert not moves.terminated.any()
    assert {task.max_episode_steps for task in make_tasks(short, 1)} == {200}


def test_a_later_end_than_the_task_s_changes_nothing() -> None:
    config = parse_config({"env": {"train_episode_steps": 10_000}}, "test")
    assert make_training_tasks(config)[0].max_episode_steps == 500


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("rivc/VisualTracker-v0", {"obs_mode": "state"}),
        ("rivc/DroneHover-v0", {"obs_mode": "state"}),
    ],
)
def test_the_expert_may_gather_the_samples(env_id: str, kwargs: dict[str, str]) -> None:
    world = Worlds([make(env_id, **kwargs) for _ in range(2)], 0)
    for _ in range(5):
        choice = world.expert_action()
        for chosen, copy in zip(choice, world.copies, strict=True):
            np.testing.assert_array_equal(
                chosen, np.atleast_1d(copy.task.env.unwrapped.expert_action())
            )
        world.step(choice)


def test_the_expert_s_share_of_warm_up_is_what_was_asked() -> None:
    task = make("rivc/VisualTracker-v0", obs_mode="state")
    for share in (0.0, 1.0):
        world = Worlds([task], 0)
        replay = Replay(200, task.observation_shape, task.observation_dtype, 1)
        Collector(world, replay, np.random.default_rng(0)).warm_up(60, task.action_layout, share)
        total = world.copies[0].total
        assert (total > 40) == (share == 1.0)


def test_copies_that_were_made_are_closed_when_a_later_one_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[ClosedOnce] = []

    def make(*_: object, **__: object) -> SimpleNamespace:
        if len(made) == 2:
            message = "no third camera"
            raise ConfigError(message)
        made.append(ClosedOnce())
        return SimpleNamespace(env=made[-1])

    monkeypatch.setattr("rivc.train.setup.make", make)
    with pytest.raises(ConfigError, match="third"):
        make_tasks(parse_config({}, "test"), 3)
    assert [env.closed for env in made] == [1, 1]


class ClosedOnce:
    """An environment that counts how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1
