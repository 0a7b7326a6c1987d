r"""What spike counts and weights would cost a coder, as terms that can be trained on.

A symbol k in a context c takes :math:`\ell_c(k) = -\log_2 p_c(k)` bits. Between whole symbols the
estimate runs in straight lines, so that its slope is what one more would cost:

.. math::

    bits(u) = (1 - w) \, \ell_c(k) + w \, \ell_c(k + 1), \quad k = \lfloor u \rfloor, \; w = u - k

A count is a whole number, where two lines meet; there the slope is the mean of theirs,
:math:`(\ell_c(k + 1) - \ell_c(k - 1)) / 2`, and goes straight through the staircase of the layer.

For given symbols the best table is their histogram, so no descent has to learn it: tables are
running histograms, and each leans on that of a wider context as the coder's does
(`rivc.codec.tables`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)

from rivc.codec.tables import IMAGINED, TOTAL

if TYPE_CHECKING:
    from torch import Tensor

KEEP: Final = 0.98  # of a histogram, from batch to batch


class FeatureRate:
    """The bits of frames of counts, by the histograms of what was seen lately.

    Contexts are those of `rivc.codec.context` but for the channel leant on: the channel, the class
    of the symbol at the same place of the previous frame, and the class of the mean of those to the
    left and above. A class holds the symbols of one bit length.

    Args:
        channels: C.
        levels: L, the largest count.
        inter: whether frames refer to a previous one.

    Attributes:
        seen: histograms, float32, [C, classes of the previous frame, of neighbours, L + 1].

    Example:
        >>> rate, frames = FeatureRate(channels=2, levels=15), torch.ones(4, 2, 8, 8)
        >>> first = float(rate.bits(frames)[0])
        >>> for _ in range(50):
        ...     last = float(rate.bits(frames, see=True)[0])
        >>> first, last < 1
        (512.0, True)
    """

    def __init__(self, channels: int, levels: int, *, inter: bool = False) -> None:
        self._class = torch.tensor([k.bit_length() for k in range(levels + 1)])
        classes = levels.bit_length() + 1
        self.inter = inter
        self.seen = torch.zeros(channels, classes if inter else 1, classes, levels + 1)

    def bits(self, counts: Tensor, previous: Tensor | None = None, *, see: bool = False) -> Tensor:
        """Return the bits of each frame, [B]; the gradient is that of the counts alone.

        Args:
            counts: whole numbers, [B, C, H, W].
            previous: the frames before, the same; for an inter estimate only.
            see: count their symbols first, and forget a little of those before.
        """
        whole = counts.detach()
        symbol, top = whole.long(), self.seen.shape[-1] - 1
        row = self._places(whole, previous)
        if see:
            found = torch.bincount((row + symbol).ravel(), minlength=self.seen.numel())
            self.seen.mul_(KEEP).add_(found.view_as(self.seen))
        cost = -frequencies(self.seen).log2_().view(-1)
        above, below = (row + (symbol + by).clamp_(0, top) for by in (1, -1))
        slope = (cost[above] - cost[below]) / 2
        return (cost[row + symbol] + slope * (counts - whole)).flatten(1).sum(1)

    def _places(self, counts: Tensor, previous: Tensor | None) -> Tensor:
        """Where the histogram of each symbol begins in the flat ones, int64, [B, C, H, W]."""
        channels, before, around, size = self.seen.shape
        padded = F.pad(counts, (1, 0, 1, 0))
        left, above = padded[:, :, 1:, :-1].clone(), padded[:, :, :-1, 1:].clone()
        left[..., 0] = above[..., 0]  # what stands at a border counts twice, as for the coder
        above[:, :, 0] = left[:, :, 0]
        place = torch.arange(channels).view(-1, 1, 1) * before
        if previous is not None:
            place = place + self._class[previous.long()]
        return (place * around + self._class[((left + above + 1) / 2).long()]) * size


def frequencies(seen: Tensor) -> Tensor:
    r"""Return what share each symbol may be expected to have, in a coder's tables.

    .. math:: p \propto n + m \, p_{wider}

    with n the histogram, m imagined symbols, and every share at least 1 in 4096.

    Args:
        seen: histograms, [..., A]; the axes before the last are the context, what tells most first.
    """
    size = seen.shape[-1]
    wider = seen.new_full((size,), 1 / size)
    for depth in range(seen.dim()):
        known = seen.reshape(*seen.shape[:depth], -1, size).sum(-2)
        weight = known + IMAGINED * wider
        share = weight / weight.sum(-1, keepdim=True) * (1 - size / TOTAL) + 1 / TOTAL
        wider = share.unsqueeze(-2)
    return share


def weight_bits(weight: Tensor, scale: Tensor, q_max: int) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the bits that the histogram of a layer's weight codes allows them, and their slope.

    The histogram shares out every weight among the two codes around it, as the estimate of its bits
    does, so that it moves as weights do:

    .. math:: n(k) = \sum_i \max(0, 1 - |u_i - k|), \quad u_i = w_i / s

    A histogram has hills that weights would stay on, so each is drawn towards 0, which most become,
    by what it would save there for every step on the way:

    .. math:: slope_i = (bits(u_i) - \ell(0)) / w_i

    Args:
        weight: latent weights, [C, ...].
        scale: real value of one weight step, [C].
        q_max: the largest code; the smallest is its negative.

    Returns:
        Bits of all weights together, a scalar; slope of each, shaped as they are, 0 at 0; the
        lesser of the two slopes up from 0, [C, 1, ...].
    """
    steps = scale.view(-1, *[1] * (weight.dim() - 1))
    u = (weight / steps).clamp(-q_max, q_max)
    below = u.floor().clamp_max(q_max - 1)
    share, at = u - below, (below + q_max).long()
    seen = torch.zeros(2 * q_max + 1)
    seen.index_add_(0, at.ravel(), 1 - share.ravel())
    seen.index_add_(0, at.ravel() + 1, share.ravel())
    cost = -((seen + 1 / len(seen)) / (seen.sum() + 1)).log2()
    bits, zero = torch.lerp(cost[at], cost[at + 1], share), cost[q_max]
    slope = torch.where(u == 0, 0.0, (bits - zero).clamp_min(0) / u)
    leaving = torch.minimum(cost[q_max - 1], cost[q_max + 1]).sub(zero).clamp_min(0)
    return bits.sum(), slope / steps, leaving / steps
