"""Small learners of both kinds, and what they learn from."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rivc.nets import build_network
from rivc.train import load_config
from rivc.train.fused import FusedLearner
from rivc.train.learner import Learner
from rivc.train.replay import Replay

if TYPE_CHECKING:
    from rivc.nets import QNetwork
    from rivc.train import Config

INPUTS, LAYOUT, BATCH = 7, (3, 4), 32
PICTURE, CONV = (9, 7, 2), ((5, 3, 2), (6, 2, 1))
CORNERS = ((5, 3, 4), (6, 1, 3), (7, 1, 1))  # the second takes one pixel of 3 x 2, the third all
HARD = {"train.inverse_temperature": float("inf")}
CASES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "default": ({}, (4, 4)),
    "single": ({"train.double_q": False}, (4, 4)),
    "dqn": ({**HARD, "train.gap_coef": 0.0}, (2, 2)),
    "advantage": (HARD, (8, 8)),
    "unclipped": ({"train.gap_clip": float("-inf")}, (3, 2)),
    "no margin": ({"train.margin_coef": 0.0}, (1, 1)),
    "wide margin": ({"train.margin": 1e4, "train.n_step": 3}, (4, 1)),
    "floats": ({"quant.enabled": False}, (4, 4)),
    "centred": ({"net.readout": "centred"}, (4, 4)),
    "centred, hard": ({**HARD, "net.readout": "centred", "train.double_q": False}, (2, 2)),
    "centred floats": ({"net.readout": "centred", "quant.enabled": False}, (4, 4)),
    "centred pictures": ({"net.readout": "centred", "net.conv": CONV}, (4, 4)),
    "small steps": ({"train.max_grad_norm": 1e-3}, (5, 6)),
    "pictures": ({"net.conv": CONV}, (4, 4)),
    "pictures in floats": ({"net.conv": CONV, "quant.enabled": False}, (4, 4)),
    "corners": ({"net.conv": CORNERS}, (4, 4)),
    "corners in floats": ({"net.conv": CORNERS, "quant.enabled": False}, (4, 4)),
    "pictures of few bits": ({"net.conv": CONV, "train.margin": 16.5}, (2, 1)),  # off the kink
}


def network(weight_bits: int = 4, activation_bits: int = 4, **options: Any) -> QNetwork:
    conv = options.pop("conv", ())
    net = build_network(
        "conv" if conv else "mlp",
        input_shape=options.pop("shape", PICTURE if conv else (INPUTS,)),
        conv=conv,
        action_layout=options.pop("layout", LAYOUT),
        hidden=options.pop("hidden", (24, 16)),
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        seed=1,
        **options,
    )
    with torch.no_grad():  # a readout that starts near zero has few gradients to compare
        net.layers[-1].weight.mul_(60)
        for layer, _ in net.chain():
            layer.bias.normal_(0, 0.1, generator=torch.Generator().manual_seed(2))
    return net


def replay(shape: tuple[int, ...] = (INPUTS,)) -> Replay:
    rng = np.random.default_rng(3)
    memory = Replay(256, shape, np.uint8, LAYOUT[0])
    slots = memory.open(rng.integers(0, 256, (256, *shape)))
    action = rng.integers(0, LAYOUT[1], (255, LAYOUT[0]))
    memory.close(slots[:-1], action, rng.normal(size=255) * 9, rng.random(255) < 0.1, slots[1:])
    return memory


def settings(overrides: dict[str, Any]) -> Config:
    return load_config("quickstart", {"train.batch_size": BATCH, **overrides})


def pair(case: str) -> tuple[Learner, FusedLearner]:
    overrides, widths = CASES[case]
    config = settings(overrides)
    net = network(*widths, conv=config.net.conv, readout=config.net.readout)
    net.quantized = config.quant.enabled
    return Learner(config, net), FusedLearner(config, copy.deepcopy(net))


def step(learner: Learner | FusedLearner, seed: int = 0) -> tuple[float, float]:
    info = learner.update(
        replay(learner.net.encoding.shape), np.random.default_rng(seed), env_steps=seed * 100
    )
    return info.td_loss, info.margin_loss


def gradient(learner: Learner | FusedLearner) -> torch.Tensor:
    """Every gradient of the last update, before it was clipped where that shows."""
    if isinstance(learner, Learner):
        grads = [
            torch.zeros_like(p) if p.grad is None else p.grad for p in learner.net.parameters()
        ]
        return torch.cat([grad.flatten() for grad in grads])
    vector = learner._online.vector
    parts = [torch.from_numpy(vector.view(vector.grad, p)) for p in learner.net.parameters()]
    return torch.cat([part.flatten() for part in parts])


def parameters(net: QNetwork) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])
