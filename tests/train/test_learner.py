"""What one update asks of the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.nets import build_network
from rivc.train import load_config
from rivc.train.learner import Learner
from rivc.train.replay import Replay

if TYPE_CHECKING:
    from torch import Tensor


@pytest.mark.parametrize(("gap_coef", "margin_coef", "times"), [(0, 0, 1), (0.5, 0, 2), (0, 1, 2)])
def test_the_target_network_values_the_present_states_only_where_they_count(
    gap_coef: float, margin_coef: float, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(
        "quickstart", {"train.gap_coef": gap_coef, "train.margin_coef": margin_coef}
    )
    rng, replay = np.random.default_rng(0), Replay(100, (4,), np.uint8, 1)
    states = rng.integers(0, 256, (65, 4)).astype(np.uint8)
    slots, action = replay.open(states), rng.integers(0, 2, (64, 1))
    replay.close(slots[:-1], action, np.ones(64, np.float32), np.zeros(64, np.bool_), slots[1:])
    net = build_network("mlp", input_shape=(4,), action_layout=(1, 2), hidden=(8,))
    learner = Learner(config, net)
    forward, asked = learner.target_net.action_values, []

    def counting(x: Tensor, *rest: Any) -> Tensor:
        asked.append(len(x))
        return forward(x, *rest)

    monkeypatch.setattr(learner.target_net, "action_values", counting)
    learner.update(replay, rng, 0)
    assert asked == [times * config.train.batch_size]
