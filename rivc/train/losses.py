"""Losses as pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)

from rivc.train.operators import action_value

if TYPE_CHECKING:
    from torch import Tensor


def td_loss(q: Tensor, action: Tensor, target: Tensor, delta: float) -> Tensor:
    r"""Return the mean Huber loss of the taken actions' values, over its width.

    .. math:: \frac{e^2}{2 \delta} \text{ for } |e| < \delta, \quad
              |e| - \frac{\delta}{2} \text{ beyond}

    Divided by delta, its gradient is at most 1 whatever the scale of the values.

    Args:
        q: online action values, [B, d, n].
        action: taken joint actions, [B, d].
        target: `bellman_target`, [B], without gradient.
        delta: error, in scaled value, from which on the loss is linear.
    """
    return F.smooth_l1_loss(action_value(q, action), target, beta=delta)


def imitation_loss(q: Tensor, choice: Tensor, tau: float) -> Tensor:
    r"""Return the mean cross entropy of an expert's choices under the soft policy of the values.

    .. math:: -mean \log \pi_j(a^*_j), \quad \pi_j = softmax(q_j / (d \tau))

    Args:
        q: online action values, [B, d, n].
        choice: the expert's, [B, d].
        tau: temperature, above 0; as in the soft maximum of values.

    Source: Ross, Gordon and Bagnell 2011, arXiv 1011.0686.
    """
    logits = q / (q.shape[1] * tau)
    return F.cross_entropy(logits.flatten(0, 1), choice.flatten())


def margin_loss(
    q: Tensor,
    q_target: Tensor,
    readout_scale: Tensor,
    margin: float,
    drop: Tensor | None = None,
) -> Tensor:
    r"""Return the hinge that keeps the greedy action ahead by some readout steps.

    .. math:: mean(\max(0, \max_{a \ne a^*} u \cdot (margin + drop_a) - (q_{a^*} - q_a))),
              \quad a^* = \arg\max_a q^-_a

    A step u of the readout is the unit in which a chip errs. The hinge itself is in action value,
    like the temporal-difference loss: in readout steps it would outweigh that loss while the values
    are still small, and hold on to the actions that happen to lead then.

    Args:
        q: online action values, [B, d, n].
        q_target: action values of the quantized target network, [B, d, n].
        readout_scale: u, the value of one readout integer.
        margin: in readout steps.
        drop: what noise can take of the lead over each action, in readout steps, without gradient,
            [B, d, n]; None: nothing.
    """
    best = q_target.argmax(-1, keepdim=True)
    rivals = q if drop is None else q + readout_scale * drop
    others = rivals.scatter(-1, best, -torch.inf).amax(-1)
    lead = q.gather(-1, best).squeeze(-1) - others
    return (margin * readout_scale - lead).clamp_min(0.0).mean()
