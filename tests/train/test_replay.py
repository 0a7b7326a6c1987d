"""The replay: what may be sampled, what is bootstrapped, what survives the ring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.errors import ConfigError
from rivc.train.replay import Replay, require_room


def fill(replay: Replay, episodes: list[tuple[int, bool]]) -> None:
    """Play episodes of (length, terminated); the reward of step t in episode e is 100 e + t."""
    for e, (length, terminated) in enumerate(episodes):
        slots = replay.open(np.array([[e, 0]], np.uint8))
        for t in range(length):
            following = replay.open(np.array([[e, t + 1]], np.uint8))
            last = np.array([terminated and t == length - 1])
            replay.close(slots, np.array([[t % 2]]), np.array([100.0 * e + t]), last, following)
            slots = following


def replay_of(*episodes: tuple[int, bool], capacity: int = 64) -> Replay:
    replay = Replay(capacity, (2,), np.uint8, 1)
    fill(replay, list(episodes))
    return replay


@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=12),
    st.integers(12, 40),
    st.integers(1, 4),
)
def test_no_transition_crosses_the_end_of_an_episode(
    episodes: list[tuple[int, bool]], capacity: int, n_step: int
) -> None:
    replay = replay_of(*episodes, capacity=capacity)
    batch = replay.sample(np.random.default_rng(0), 64, discount=0.5, n_step=n_step)
    episode, t = batch.observation.T.astype(int)
    episode_after, t_after = batch.next_observation.T.astype(int)
    np.testing.assert_array_equal(episode, episode_after)
    lengths = np.array([length for length, _ in episodes])[episode]
    steps = np.minimum(n_step, lengths - t)
    np.testing.assert_array_equal(t_after, t + steps)
    ends = np.array([terminated for _, terminated in episodes])[episode] & (t + steps == lengths)
    np.testing.assert_allclose(batch.discount, np.where(ends, 0.0, 0.5**steps))
    expected = [
        sum(0.5**k * (100 * e + i + k) for k in range(s))
        for e, i, s in zip(episode, t, steps, strict=True)
    ]
    np.testing.assert_allclose(batch.reward, expected, rtol=1e-5)
    np.testing.assert_array_equal(batch.action[:, 0], t % 2)


def test_a_truncated_episode_is_bootstrapped_from_its_last_observation() -> None:
    replay = replay_of((3, False))
    batch = replay.sample(np.random.default_rng(0), 100, discount=0.9, n_step=1)
    last = batch.observation[:, 1] == 2
    assert last.any()
    assert (batch.next_observation[last, 1] == 3).all()
    assert (batch.discount[last] == np.float32(0.9)).all()


def test_the_last_observation_of_an_episode_is_never_sampled() -> None:
    replay = replay_of((3, True), (3, False))
    batch = replay.sample(np.random.default_rng(0), 500, discount=1.0, n_step=1)
    assert set(batch.observation[:, 1].tolist()) == {0, 1, 2}


def test_every_transition_is_sampled_alike() -> None:
    replay = replay_of((10, True), (30, True))
    batch = replay.sample(np.random.default_rng(0), 40_000, discount=1.0, n_step=1)
    _, counts = np.unique(batch.observation, axis=0, return_counts=True)
    assert len(counts) == 40
    assert abs(counts - 1000).max() < 150


def test_the_ring_forgets_the_oldest_first() -> None:
    replay = replay_of((50, False), capacity=20)
    batch = replay.sample(np.random.default_rng(0), 500, discount=1.0, n_step=1)
    assert batch.observation[:, 1].min() == 31
    assert batch.next_observation[:, 1].max() == 50


def test_encoding_changes_observations_and_nothing_else() -> None:
    raw = Replay(32, (2,), np.float32, 1)
    fill(raw, [(5, True), (4, False)])
    encoded = raw.encoded(lambda x: (x * 2).astype(np.uint8), capacity=64)
    ours, theirs = (
        r.sample(np.random.default_rng(1), 50, discount=0.9, n_step=2) for r in (raw, encoded)
    )
    np.testing.assert_array_equal(ours.observation * 2, theirs.observation)
    np.testing.assert_array_equal(ours.reward, theirs.reward)
    np.testing.assert_array_equal(ours.discount, theirs.discount)


@pytest.mark.parametrize("capacity", [16, 64])
def test_rows_bring_a_replay_back(capacity: int) -> None:
    replay = replay_of((20, True), (9, False), capacity=capacity)
    copy = Replay(capacity, (2,), np.uint8, 1)
    copy.restore(replay.tail, replay.rows(replay.tail, replay.head))
    ours, theirs = (
        r.sample(np.random.default_rng(1), 50, discount=0.9, n_step=3) for r in (replay, copy)
    )
    for name in ("observation", "next_observation", "action", "reward", "discount"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_a_ring_holds_four_steps_of_every_copy() -> None:
    require_room(32, copies=8)
    with pytest.raises(ConfigError, match=r"train.replay_capacity is 31: .* so 32 or more"):
        require_room(31, copies=8)
