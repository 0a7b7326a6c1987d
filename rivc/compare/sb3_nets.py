r"""Networks of the peer Stable-Baselines3: made, run, and quantized after training.

Quantization copies its weights into the same network of `rivc.nets`, whose inputs span [-1, 1].
With SB3's input u = a x + c (half the range and the centre of a feature; 1/2 and 1/2 for pixels):

.. math:: W' = W\,diag(a), \qquad b' = b + W c

Activation steps are then calibrated on states of its replay, and the network is converted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from rivc.nets.calibrate import calibrate
from rivc.nets.network import channels_first
from rivc.neurochip import load_backend
from rivc.quant.geometry import same_padding
from rivc.snn_convert import convert
from rivc.train.policy import Policy
from rivc.train.setup import make_encoding, make_network, profile_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rivc.compare.job import Width
    from rivc.envs.factory import Task
    from rivc.nets import QNetwork
    from rivc.quant.encoding import InputEncoding
    from rivc.train.config import Config
    from rivc.train.evaluate import Act


@dataclass
class Peer:
    """What SB3 leaves behind.

    Attributes:
        q_net: its network, with the weights of the best evaluation.
        seen: observations of its replay, drawn by the seed to calibrate on, [N, *shape].
        reach: the lowest and the highest of each number in all of its replay, [2, *shape].
        env_steps: made.
        updates: taken.
        cpu_seconds: of training, evaluations on the way included, as for rivc.
        curve: its evaluations, [[env_steps, return], ...].
    """

    q_net: nn.Module
    seen: NDArray[Any]
    reach: NDArray[Any]
    env_steps: int
    updates: int
    cpu_seconds: float
    curve: list[list[float]]


class Convolutions(nn.Module):
    """The convolutions of `rivc.nets` in floating point, as SB3 takes a features extractor.

    Padded as there, so that weights can be copied; `rivc.bench.learner`, which may not import this
    and only measures time, has padding that costs SB3 less.

    Args:
        space: of observations, [C, H, W].
        conv: filters, kernel and stride of each.

    Attributes:
        features_dim: numbers that come out, in H, W, C order as in `rivc.nets`.
    """

    def __init__(self, space: Any, conv: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        channels, height, width = space.shape
        modules: list[nn.Module] = []
        for filters, kernel, stride in conv:
            (top, bottom), (left, right) = (
                same_padding(n, kernel, stride) for n in (height, width)
            )
            modules += [
                nn.ZeroPad2d((left, right, top, bottom)),
                nn.Conv2d(channels, filters, kernel, stride),
                nn.ReLU(),
            ]
            channels, height, width = filters, -(-height // stride), -(-width // stride)
        self.chain = nn.Sequential(*modules)
        self.features_dim = channels * height * width

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, [B, features_dim], of pictures between 0 and 1, [B, C, H, W]."""
        features: Tensor = self.chain(x)
        return features.permute(0, 2, 3, 1).flatten(1)


def acting(q_net: nn.Module) -> Act:
    """Return what acts greedily by SB3's network, on observations as rivc has them."""

    @torch.no_grad()
    def act(observation: NDArray[Any]) -> NDArray[np.int64]:
        x = channels_first(torch.from_numpy(observation))
        return np.asarray(q_net(x).argmax(1, keepdim=True).numpy())

    return act


def quantized(peer: Peer, config: Config, task: Task, width: Width) -> Policy:
    """Return SB3's network as a policy of rivc, quantized after training to a bit width."""
    widths = {"weight_bits": width.weights, "activation_bits": width.activations}
    quant = config.quant.model_copy(update={**widths, "enabled": False})
    settings = config.model_copy(update={"quant": quant})
    profile = profile_name(settings, load_backend(config.backend.name).profile)
    net = make_network(
        settings, make_encoding(task, peer.reach, profile), task.action_layout, profile
    )
    copy_weights(peer.q_net, net)
    calibrate(net, torch.from_numpy(net.encoding.encode(peer.seen)))
    return Policy("best", net.requires_grad_(requires_grad=False), convert(net))


@torch.no_grad()
def copy_weights(q_net: nn.Module, net: QNetwork) -> None:
    """Give a network of `rivc.nets` the weights of SB3's of the same shapes; see the module."""
    theirs = [m for m in q_net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer, (ours, _) in zip(theirs, net.chain(), strict=True):
        ours.weight.copy_(layer.weight)
        if layer.bias is not None:
            ours.bias.copy_(layer.bias)
    first, _ = next(net.chain())
    scale, centre = _input_of(net.encoding)
    first.bias.add_((first.weight * centre).flatten(1).sum(1))
    first.weight.mul_(scale)


def _input_of(encoding: InputEncoding) -> tuple[Tensor, Tensor]:
    """What SB3's input is of ours, which spans [-1, 1]: scale and centre, one a feature or one."""
    if encoding.kind == "image":
        return torch.tensor(0.5), torch.tensor(0.5)
    half = np.array(encoding.step) * encoding.levels / 2
    centre = np.array(encoding.low) + half
    return torch.from_numpy(half).float(), torch.from_numpy(centre).float()
