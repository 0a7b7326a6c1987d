"""Activation steps from data: the least squared error, layer by layer, behind quantized layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from rivc.nets.network import as_input, channels_first
from rivc.quant.qat.staircase import squared_errors

if TYPE_CHECKING:
    from torch import Tensor

    from rivc.nets.network import QNetwork

_TRIALS: Final = 48
_VALUES: Final = 16_384
_TINY: Final = 1e-6


@torch.no_grad()
def calibrate(net: QNetwork, x: Tensor) -> None:
    r"""Set the activation step of every layer to what loses least on some states.

    .. math:: s = \arg\min_s E[(s \cdot clip(\lfloor h / s + 1/2 \rfloor, 0, L) - h)^2]

    with :math:`h = relu(w x + b)` from real weights on counts that already passed the quantized
    layers below, so that each layer is fitted to what it will receive.

    Args:
        net: changed in place; only `log_step` of its layers.
        x: counts of typical states, uint8, [B, *shape].
    """
    x = channels_first(x).float()
    for layer, log_step_in in net.chain():
        if layer.log_step is None:
            return
        x, step_in = as_input(layer, x), log_step_in.exp()
        real = layer.forward_real(x * step_in, layer.spec.zero_in * step_in)
        layer.log_step.copy_(best_step(real, layer.spec.levels).log())
        x = layer(x, log_step_in, layer.integers(log_step_in)).float()


def best_step(h: Tensor, levels: int) -> Tensor:
    """Return the step with the least squared error for non-negative values, a scalar."""
    h = h.flatten()
    h = h[:: max(1, len(h) // _VALUES)]
    top = h.max().clamp_min(_TINY)
    steps = torch.linspace(0.05, 1.0, _TRIALS) * top / levels
    return steps[squared_errors(h, steps, levels).argmin()]
