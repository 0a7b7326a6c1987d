r"""Bellman targets as pure functions.

One code path holds a family: with soft maximum

.. math:: m_\tau(q) = \tau \log \sum_a e^{q_a / \tau}, \qquad m_0(q) = \max_a q_a

the gap-increasing target of conservative value iteration is

.. math::

    y(s, a) = r + \gamma (1 - terminated)\, m_\tau(Q^-(s'))
              + \alpha \, clip(Q^-(s, a) - m_\tau(Q^-(s)), l_0, 0)

and DQN is alpha = 0 at tau -> 0, advantage learning tau -> 0, dynamic policy programming
alpha -> 1.
Without a clip the fixed point has 1 / (1 - alpha) times the action gap of soft value iteration at
temperature (1 - alpha) tau, and the same greedy policy.

Heads have d groups of n outputs with :math:`Q(s, a) = \frac{1}{d} \sum_j q_j(a_j)`. The soft
maximum over all n^d joint actions then is exactly the mean over groups of :math:`m_{d \tau}(q_j)`.

Shapes: `q` is [B, d, n], actions [B, d], values [B]. All functions keep the dtype they are given.

Reference:
    Kozuno, Uchibe, Doya (2019), Theoretical analysis of efficiency and robustness of softmax and
    gap-increasing operators in reinforcement learning. Vieillard, Pietquin, Geist (2020),
    Munchausen reinforcement learning. Seyde et al. (2023) for the mean over groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def soft_value(q: Tensor, tau: float) -> Tensor:
    """Return the soft maximum over joint actions, [B], at temperature `tau`; 0 is the hard maximum.

    >>> soft_value(torch.tensor([[[0.0, 1.0]]]), 0.0)
    tensor([1.])
    """
    if tau == 0.0:
        return q.amax(-1).mean(-1)
    group_tau = q.shape[-2] * tau
    return (group_tau * torch.logsumexp(q / group_tau, -1)).mean(-1)


def action_value(q: Tensor, action: Tensor) -> Tensor:
    """Return Q(s, a) of joint actions, [B]: the mean over groups of the chosen outputs."""
    return q.gather(-1, action.unsqueeze(-1)).squeeze(-1).mean(-1)


def double_value(q_online: Tensor, q_target: Tensor, tau: float, gap_coef: float) -> Tensor:
    r"""Return the value of the online network's policy under the target network, [B].

    .. math:: m_\tau(Q^-) + (1 - \alpha) \Big(\sum_a \pi_{on}(a) (Q^-_a - \tau \log \pi_{on}(a))
              - m_\tau(Q^-)\Big)

    The difference is what the policy falls short of the target network's own; the gap-increasing
    target has stretched it by 1 / (1 - alpha), which is undone here, or every action that the
    online network comes to prefer would look hopeless.

    Reference:
        van Hasselt, Guez, Silver (2016), of which this is the soft, gap-increasing form.
    """
    own = soft_value(q_target, tau)
    return own + (1.0 - gap_coef) * (_policy_value(q_online, q_target, tau) - own)


def _policy_value(q_online: Tensor, q_target: Tensor, tau: float) -> Tensor:
    """Entropy included."""
    if tau == 0.0:
        return action_value(q_target, q_online.argmax(-1))
    group_tau = q_online.shape[-2] * tau
    log_pi = torch.log_softmax(q_online / group_tau, -1)
    return (log_pi.exp() * (q_target - group_tau * log_pi)).sum(-1).mean(-1)


def gap_term(q: Tensor, action: Tensor, tau: float, clip: float) -> Tensor:
    """Return the advantage of the taken action, [B], clipped to [clip, 0]: what widens the gap."""
    return (action_value(q, action) - soft_value(q, tau)).clamp(clip, 0.0)


def bellman_target(
    reward: Tensor, discount: Tensor, next_value: Tensor, gap: Tensor | None, gap_coef: float
) -> Tensor:
    """Return y, [B].

    Args:
        reward: summed over the n steps, discounted, scaled, [B].
        discount: of the bootstrap, 0 where the episode terminated, [B].
        next_value: of the state n steps on, [B].
        gap: `gap_term` of the first step, [B]; None where `gap_coef` is 0.
        gap_coef: alpha.
    """
    y = reward + discount * next_value
    return y if gap is None else y + gap_coef * gap


def action_gap(q: Tensor) -> Tensor:
    """Return how far the greedy joint action leads the second best, [B].

    The second best differs in the one group that minds least, and counts 1 / d of it.
    """
    return group_gaps(q).amin(-1) / q.shape[-2]


def group_gaps(q: Tensor) -> Tensor:
    """Return the lead of the best output over the second in each group, [B, d]."""
    best = q.topk(2, -1).values
    return best[..., 0] - best[..., 1]
