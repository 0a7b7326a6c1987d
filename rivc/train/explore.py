"""Exploration: from a chip's readout to the actions tried, drawn for each environment by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rivc.snn_convert.program import greedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.train.config import Config
    from rivc.train.sections import ExploreConfig


def epsilon_at(config: ExploreConfig, env_steps: int) -> float:
    """Return the share of random actions after so many env steps: a linear fall, then flat."""
    done = min(1.0, env_steps / config.epsilon_env_steps)
    return config.epsilon_start + done * (config.epsilon_end - config.epsilon_start)


def expert_share_at(config: ExploreConfig, env_steps: int) -> float:
    r"""Return the share of actions that the scripted expert chooses after so many env steps.

    A policy that falls at once sees nothing of what it is to learn; in the mixture
    :math:`\beta \pi_{expert} + (1 - \beta) \pi` it does, while :math:`\beta` falls linearly to 0.

    Source: Ross, Gordon and Bagnell 2011, arXiv 1011.0686, section 3, for the mixture; here it only
    gathers samples, and what is learnt is still the action values.
    """
    return config.expert_start * max(0.0, 1.0 - env_steps / config.expert_env_steps)


def epsilon_greedy(
    rng: np.random.Generator, readout: NDArray[np.int64], epsilon: float
) -> NDArray[np.int64]:
    """Return greedy actions, each group replaced by a uniform one with probability `epsilon`.

    Args:
        rng: draws one number for every environment and group; below `epsilon` it is uniform again
            and says which action.
        readout: integers, [B, d, n].
        epsilon: share of random actions.

    Returns:
        Actions, int64, [B, d].
    """
    choices, drawn, actions = readout.shape[2], rng.random(readout.shape[:2]), greedy(readout)
    tried = drawn < epsilon
    if np.count_nonzero(tried):  # of so few, in a quarter of the time of `any`
        actions[tried] = np.minimum(drawn[tried] * (choices / epsilon), choices - 1)
    return actions


def boltzmann(rng: np.random.Generator, q: NDArray[np.float64], tau: float) -> NDArray[np.int64]:
    r"""Return actions drawn from the softmax of the joint action values.

    .. math:: \pi_j(a) \propto \exp(q_j(a) / (d \tau))

    Args:
        rng: draws for every environment and group.
        q: action values, scaled, [B, d, n].
        tau: temperature; 0 is greedy.
    """
    if tau == 0.0:
        return greedy(q)
    noise = rng.gumbel(size=q.shape)
    return greedy(q / (q.shape[1] * tau) + noise)


def explore(
    config: Config,
    rng: np.random.Generator,
    readout: NDArray[np.int64],
    readout_scale: float,
    env_steps: int,
) -> NDArray[np.int64]:
    """Return the actions to try, int64, [B, d]."""
    if config.explore.kind == "boltzmann":
        return boltzmann(rng, np.asarray(readout * readout_scale, np.float64), config.temperature)
    return epsilon_greedy(rng, readout, epsilon_at(config.explore, env_steps))
