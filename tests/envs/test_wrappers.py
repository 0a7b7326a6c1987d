"""Bins divide continuous actions evenly; a grey history shows the last three pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import PassiveEnvChecker
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from rivc.envs import BinnedAction, GreyHistory
from rivc.envs.picture import to_grey
from rivc.envs.tracker import VisualTracker
from rivc.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from rivc.envs.options import ObsMode

FLOATS = st.floats(-100, 100, width=32)


class Plotter(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Observes the action that it was given."""

    def __init__(self, low: ArrayLike, high: ArrayLike, dtype: type = np.float32) -> None:
        self.action_space = spaces.Box(np.asarray(low, dtype), np.asarray(high, dtype), dtype=dtype)
        self.observation_space = spaces.Box(-np.inf, np.inf, self.action_space.shape, np.float32)

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        return np.zeros(self.action_space.shape, np.float32), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        assert action in self.action_space
        return action, 0.0, False, False, {}


def levels_of(env: BinnedAction, bins: int) -> NDArray[Any]:
    """Return the action of each bin, the same bin for all joints, [bins, joints]."""
    space = env.action_space
    if isinstance(space, spaces.MultiDiscrete):
        return np.stack([env.step(np.full(space.nvec.shape, i))[0] for i in range(bins)])
    return np.stack([env.step(np.int64(i))[0] for i in range(bins)])


@given(st.lists(st.tuples(FLOATS, FLOATS).map(sorted), min_size=1, max_size=4), st.integers(2, 65))
def test_bins_are_even_from_end_to_end_with_an_exact_middle(
    ranges: list[list[float]], bins: int
) -> None:
    low, high = np.array(ranges, dtype=np.float32).T
    levels = levels_of(BinnedAction(Plotter(low, high), bins), bins)
    np.testing.assert_array_equal(levels[0], low)
    np.testing.assert_array_equal(levels[-1], high)
    step = (high.astype(float) - low) / (bins - 1)
    np.testing.assert_allclose(
        np.diff(levels.astype(float), axis=0), step[None].repeat(bins - 1, 0), atol=4e-5
    )
    if bins % 2:
        middle = ((low.astype(float) + high) / 2).astype(np.float32)
        np.testing.assert_array_equal(levels[bins // 2], middle)


def test_bins_may_lie_anywhere_in_the_range() -> None:
    env = BinnedAction(Plotter([-1, 0], [3, 10]), (-0.25, 0.0, 1.0))
    np.testing.assert_array_equal(levels_of(env, 3), [[0.5, 3.75], [1, 5], [3, 10]])


def test_one_joint_is_discrete_and_more_are_multidiscrete() -> None:
    assert BinnedAction(Plotter([-1], [1]), 5).action_space == spaces.Discrete(5)
    assert BinnedAction(Plotter([-1] * 3, [1] * 3), 2).action_space == spaces.MultiDiscrete([2] * 3)


def test_joints_move_apart_and_keep_the_shape_of_the_box() -> None:
    env = BinnedAction(Plotter(-np.ones((2, 2)), 2 * np.ones((2, 2))), 2)
    np.testing.assert_array_equal(env.step(np.array([0, 1, 1, 0]))[0], [[-1, 2], [2, -1]])


def test_float64_boxes_stay_float64() -> None:
    env = BinnedAction(Plotter([-0.1], [0.1], np.float64), 3)
    assert env.step(np.int64(2))[0].dtype == np.float64


@pytest.mark.parametrize(
    ("env", "bins", "message"),
    [
        (Plotter([-np.inf], [1]), 3, "has no bounds; put it into RescaleAction first"),
        (Plotter([-1], [1]), 1, "bins=1 leaves no choice"),
        (Plotter([-1], [1]), "three", "bins='three' are neither a number of bins nor shares"),
        (Plotter([-1], [1]), 10**9, "bins=1000000000 are more than 1024"),
        (Plotter([-1], [1]), (0.5,), "leaves no choice; give shares like"),
        (Plotter([-1], [1]), (0.5, 0.5), "are not shares of the range, ascending, from -1 to 1"),
        (Plotter([-1], [1]), (-1.5, 0.5), "are not shares of the range, ascending, from -1 to 1"),
        (Plotter([-1], [1]), (0.0, float("nan")), "are not shares of the range"),
        (Plotter([0], [9], np.int64), 3, "is not a Box of floats; leave bins out"),
        (gym.make("CartPole-v1"), 3, "Discrete(2) is not a Box of floats; leave bins out"),
    ],
)
def test_what_cannot_be_divided_is_refused(env: gym.Env[Any, Any], bins: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BinnedAction(env, bins)
    assert message in str(caught.value)


def test_gymnasium_can_rebuild_the_wrappers() -> None:
    env = BinnedAction(gym.make("Pendulum-v1"), 5)
    assert env.spec is not None
    assert gym.make(env.spec).action_space == spaces.Discrete(5)


def tracker(obs_mode: ObsMode) -> VisualTracker:
    return VisualTracker(obs_mode=obs_mode, camera="ray", size=16)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("obs_mode", ["rgb", "grey"])
def test_the_channels_are_three_of_the_last_pictures_in_grey(obs_mode: ObsMode, every: int) -> None:
    env, reference = GreyHistory(tracker(obs_mode), every), tracker("rgb")
    seen = [to_grey(reference.reset(seed=0)[0])] * (1 + 2 * every)
    history, _ = env.reset(seed=0)
    for _ in range(9):
        shown = [seen[-1 - 2 * every], seen[-1 - every], seen[-1]]
        np.testing.assert_array_equal(history, np.concatenate(shown, axis=2))
        action = reference.expert_action()
        history, reward, *_ = env.step(action)
        picture, expected_reward, *_ = reference.step(action)
        seen.append(to_grey(picture))
        assert reward == expected_reward


def test_gymnasiums_checker_has_no_complaint_about_a_history() -> None:
    env = PassiveEnvChecker(GreyHistory(tracker("grey")))
    env.reset(seed=0)
    env.step(np.int64(1))


def test_changing_an_observation_does_not_change_the_history() -> None:
    env = GreyHistory(tracker("grey"))
    history, _ = env.reset(seed=0)
    copy = history.copy()
    history[:] = 0
    np.testing.assert_array_equal(env.step(np.int64(0))[0][..., :2], copy[..., 1:])


@pytest.mark.parametrize("every", [1, 3])
def test_a_saved_history_continues_bit_identically_in_a_fresh_environment(every: int) -> None:
    env, fresh = GreyHistory(tracker("grey"), every), GreyHistory(tracker("grey"), every)
    env.reset(seed=0)
    for _ in range(4):
        env.step(np.int64(1))
    fresh.set_state(env.get_state())
    for action in (3, 1, 5) * 3:
        expected, actual = env.step(np.int64(action)), fresh.step(np.int64(action))
        np.testing.assert_array_equal(actual[0], expected[0])
        assert actual[1:4] == expected[1:4]


def test_a_history_takes_pictures_only() -> None:
    with pytest.raises(ConfigError, match="a history takes pictures, uint8"):
        GreyHistory(gym.make("CartPole-v1"))


@pytest.mark.parametrize("every", [0, -1, 101])
def test_pictures_of_a_history_are_1_to_100_steps_apart(every: int) -> None:
    with pytest.raises(ConfigError, match=f"every={every} is not a number of steps from 1 to 100"):
        GreyHistory(tracker("grey"), every)


def test_there_is_no_state_where_the_environment_has_none() -> None:
    env = BinnedAction(gym.make("Pendulum-v1"))
    with pytest.raises(UsageError, match="no state to get or set"):
        env.get_state()
    with pytest.raises(UsageError, match="no state to get or set"):
        env.set_state({})
