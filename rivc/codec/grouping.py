r"""Which channels are alike, and by how much each is a multiple of what they have in common.

A group of channels is best replaced by multiples of one map along its leading direction, and loses

.. math:: lost(g) = \sum_{c \in g} |x_c|^2 - \lambda_{max}(X_g X_g^T)

to it. From one group a channel on, the two whose union adds least to the sum of losses are joined.
Of two channels of equal strength the loss is :math:`|x|^2 (1 - \cos(x_1, x_2))`: the more they
correlate, the less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.quant import Grid, quantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAIN: Final = Grid(4, signed=False)


def joined(products: NDArray[np.float64], groups: int) -> NDArray[np.int32]:
    """Return the group of each channel, int32 [C]; groups are numbered by their first channel.

    Args:
        products: of channels with each other, summed over all points, [C, C].
        groups: how many there will be, 1..C.

    Example:
        >>> x = np.array([[1, 0, 2], [0, 3, 0], [2, 0, 4]])
        >>> joined(x @ x.T * 1.0, 2).tolist()
        [0, 1, 0]
    """
    channels = len(products)
    energy = np.diag(products)
    mean, half = (energy[:, None] + energy) / 2, (energy[:, None] - energy) / 2
    cost = mean - np.sqrt(half**2 + products**2)  # what two channels lose to one map
    np.fill_diagonal(cost, np.inf)
    members = {i: [i] for i in range(channels)}
    lost = np.zeros(channels)
    while len(members) > groups:
        i, j = sorted(divmod(int(cost.argmin()), channels))
        members[i] += members.pop(j)
        cost[j], cost[:, j] = np.inf, np.inf
        lost[i] = _lost(products, members[i])
        for k, others in members.items():
            if k != i:
                more = _lost(products, members[i] + others) - lost[i] - lost[k]
                cost[i, k] = cost[k, i] = more
    group = np.zeros(channels, np.int32)
    for number, first in enumerate(sorted(members)):
        group[members[first]] = number
    return group


def _lost(products: NDArray[np.float64], channels: list[int]) -> float:
    """The squared error of channels that are all multiples of their best map."""
    own = products[np.ix_(channels, channels)]
    return float(np.trace(own) - np.linalg.eigvalsh(own)[-1])


def gains(products: NDArray[np.float64], group: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the leading direction of each group on the grid of gains, int32 [C].

    The strongest channel of a group has the largest gain, one that is always silent has 0.
    """
    gain = np.zeros(len(group), np.int32)
    for number in range(int(group.max()) + 1):
        channels = np.flatnonzero(group == number)
        own = products[np.ix_(channels, channels)]
        if own.any():
            direction = np.abs(np.linalg.eigh(own)[1][:, -1])
            gain[channels] = quantize(direction, direction.max() / GAIN.q_max, GAIN)
    return gain
