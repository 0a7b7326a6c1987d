"""What the fused learner keeps of the target network is what a fresh pass would give."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

from rivc.train.fused import FusedLearner
from tests.learners import CONV, INPUTS, LAYOUT, PICTURE, network, replay, settings

if TYPE_CHECKING:
    from rivc.train.replay import Replay


def test_values_of_the_target_are_those_of_the_present_one() -> None:
    """What is remembered of a batch is used until the target moves, and equals a fresh pass."""
    learner, memory = FusedLearner(settings({}), network(conv=CONV)), replay(PICTURE)
    for seed in range(6):
        learner.update(memory, np.random.default_rng(seed), 0)
        if seed == 3:
            learner.sync_target()
        x = learner._bench.x.reshape(-1, *PICTURE)
        if seed != 3:
            fresh = learner.target_net(torch.from_numpy(x)).numpy()
            np.testing.assert_array_equal(learner._memory[1].q, fresh)
    assert (learner._memory[1].owner >= 0).any()


def follow(learner: FusedLearner, memory: Replay, seed: int) -> None:
    """Update, and compare the target's values with a fresh pass."""
    learner.update(memory, np.random.default_rng(seed), 0)
    x = torch.from_numpy(learner._bench.x)
    np.testing.assert_array_equal(learner._memory[1].q, learner.target_net(x).numpy())


def test_slots_that_are_overwritten_have_other_values() -> None:
    learner, memory = FusedLearner(settings({}), network()), replay()
    for seed in range(4):
        follow(learner, memory, seed)
    rng = np.random.default_rng(5)
    slots = memory.open(rng.integers(0, 256, (128, INPUTS)))
    action = rng.integers(0, LAYOUT[1], (127, LAYOUT[0]))
    memory.close(slots[:-1], action, rng.normal(size=127), rng.random(127) < 0.1, slots[1:])
    for seed in range(4):
        follow(learner, memory, seed)
    assert (learner._memory[1].owner >= memory.capacity).any()


def test_values_at_hand_are_used() -> None:
    learner, memory = FusedLearner(settings({}), network()), replay()
    follow(learner, memory, 0)
    kept = learner._memory[1]
    kept.values[kept.owner >= 0] = 7.0
    learner.update(memory, np.random.default_rng(0), 0)
    assert (kept.q == 7.0).all()
    learner.sync_target()
    learner.update(memory, np.random.default_rng(0), 0)
    assert not (kept.q == 7.0).any()


def test_a_replay_put_back_in_place_has_other_values() -> None:
    learner, memory = FusedLearner(settings({}), network()), replay()
    follow(learner, memory, 0)
    rows = memory.rows(0, 256)
    rows["observation"] = 255 - rows["observation"]
    learner.restore(copy.deepcopy(learner.state()))
    memory.restore(0, rows)
    follow(learner, memory, 0)


def test_another_replay_has_values_of_its_own() -> None:
    learner, (first, second) = FusedLearner(settings({}), network()), (replay(), replay())
    second.columns.observation[:] = 255 - second.columns.observation
    for memory in (first, second):
        learner.update(memory, np.random.default_rng(0), 0)
    x = torch.from_numpy(learner._bench.x)
    np.testing.assert_array_equal(learner._memory[1].q, learner.target_net(x).numpy())
