"""The margin that is widened by what noise can take."""

from __future__ import annotations

import numpy as np

from rivc.nets import build_network
from rivc.snn_convert import convert
from rivc.snn_convert.certify import Disturbance, certify
from rivc.train import load_config
from rivc.train.learner import Learner
from rivc.train.replay import Replay

NOISE = 0.05


def certified_share(certify_noise: float, seed: int) -> float:
    """Train a small network to tell which of two inputs is larger; mostly on its margin."""
    config = load_config(
        "quickstart", {"train.certify_noise": certify_noise, "train.margin_coef": 1.0}
    )
    net = build_network("mlp", input_shape=(4,), action_layout=(1, 2), hidden=(32, 32), seed=seed)
    rng, replay = np.random.default_rng(seed), Replay(600, (4,), np.uint8, 1)
    states = rng.integers(0, 256, (513, 4)).astype(np.uint8)
    slots, action = replay.open(states), rng.integers(0, 2, 512)
    reward = (action == (states[:-1, 0] > states[:-1, 1])).astype(np.float32)
    replay.close(slots[:-1], action[:, None], reward, np.ones(512, np.bool_), slots[1:])
    learner = Learner(config, net)
    for update in range(150):
        learner.update(replay, rng, 0)
        if update % 50 == 0:
            learner.sync_target(1.0)
    return float(certify(convert(net), states, Disturbance(NOISE)).certified.mean())


def test_a_margin_that_knows_the_noise_certifies_more_states() -> None:
    """In the mean: a single seed may go the other way."""
    gains = [certified_share(NOISE, seed) - certified_share(0.0, seed) for seed in range(4)]
    assert np.mean(gains) > 0.03
