"""What the fused learner keeps of the target network is what a fresh pass would give."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from rivc.train.fused import FusedLearner
from rivc.train.fused.network import FusedNet
from tests.learners import CONV, INPUTS, LAYOUT, PICTURE, network, replay, settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.train.replay import Replay

KINDS = "integers", "floats"


def learning(kind: str, **options: Any) -> FusedLearner:
    """A learner of a network in integers or in floats."""
    net = network(**options)
    net.quantized = kind == "integers"
    return FusedLearner(settings({}), net)


def fresh(learner: FusedLearner) -> NDArray[np.float32]:
    """What the target network says of the last batch, in a pass that remembers nothing."""
    net = copy.deepcopy(learner.target_net)
    passing = FusedNet(net, len(learner._bench.x), 0)
    passing.derive()
    values = passing.forward(learner._bench.x)
    x = torch.from_numpy(learner._bench.x.reshape(-1, *net.encoding.shape))
    torch.testing.assert_close(torch.from_numpy(values), net(x), rtol=1e-5, atol=1e-5)
    return values


def follow(learner: FusedLearner, memory: Replay, seed: int) -> None:
    """Update, and compare the target's values with a fresh pass."""
    learner.update(memory, np.random.default_rng(seed), 0)
    np.testing.assert_array_equal(learner._memory[1].q, fresh(learner))


@pytest.mark.parametrize("blend", [1.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_values_of_the_target_are_those_of_the_present_one(kind: str, blend: float) -> None:
    """What is remembered of a batch is used until the target moves, and equals a fresh pass."""
    learner, memory = learning(kind, conv=CONV), replay(PICTURE)
    for seed in range(6):
        follow(learner, memory, seed)
        if seed == 3:
            learner.sync_target(blend)
    assert (learner._memory[1].owner >= 0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_slots_that_are_overwritten_have_other_values(kind: str) -> None:
    learner, memory = learning(kind), replay()
    for seed in range(4):
        follow(learner, memory, seed)
    rng = np.random.default_rng(5)
    slots = memory.open(rng.integers(0, 256, (128, INPUTS)))
    action = rng.integers(0, LAYOUT[1], (127, LAYOUT[0]))
    memory.close(slots[:-1], action, rng.normal(size=127), rng.random(127) < 0.1, slots[1:])
    for seed in range(4):
        follow(learner, memory, seed)
    assert (learner._memory[1].owner >= memory.capacity).any()


@pytest.mark.parametrize("kind", KINDS)
def test_values_at_hand_are_used(kind: str) -> None:
    learner, memory = learning(kind), replay()
    follow(learner, memory, 0)
    kept = learner._memory[1]
    kept.values[kept.owner >= 0] = 7.0
    learner.update(memory, np.random.default_rng(0), 0)
    assert (kept.q == 7.0).all()
    learner.sync_target()
    learner.update(memory, np.random.default_rng(0), 0)
    assert not (kept.q == 7.0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_put_back_in_place_has_other_values(kind: str) -> None:
    learner, memory = learning(kind), replay()
    follow(learner, memory, 0)
    rows = memory.rows(0, 256)
    rows["observation"] = 255 - rows["observation"]
    learner.restore(copy.deepcopy(learner.state()))
    memory.restore(0, rows)
    follow(learner, memory, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_another_replay_has_values_of_its_own(kind: str) -> None:
    learner, (first, second) = learning(kind), (replay(), replay())
    second.columns.observation[:] = 255 - second.columns.observation
    for memory in (first, second):
        follow(learner, memory, 0)
