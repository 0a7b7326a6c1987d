r"""Observation statistics of VecNormalize, folded into the input encoding of a program.

VecNormalize shows z = clip((x - mean) / std, -c, c). An encoding of z with its own low and step is
one of x, without clipping before:

.. math:: low_x = mean + std \cdot low_z, \qquad step_x = std \cdot step_z

so that a robot feeds what its sensors say and needs no statistics beside the program. They are
taken once, when the warm-up ends: from then on the program's inputs keep their meaning, whatever
VecNormalize goes on to learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rivc.errors import ConfigError
from rivc.quant.encoding import InputEncoding
from rivc.train.setup import usual_range

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Statistics:
    """What makes a shown observation of a raw one: z = (x - mean) / std.

    Attributes:
        mean: one a feature, [*shape].
        std: one a feature, [*shape], positive.
    """

    mean: NDArray[Any]
    std: NDArray[Any]

    @classmethod
    def of(cls, normalizer: Any) -> Self | None:
        """Return the present ones of a VecNormalize; None if there is none, or it shows raw."""
        if normalizer is None or not normalizer.norm_obs:
            return None
        seen = normalizer.obs_rms
        return cls(seen.mean.copy(), np.sqrt(seen.var + normalizer.epsilon))

    def raw(self, shown: NDArray[Any]) -> NDArray[Any]:
        """Return raw observations, [N, *shape], of shown ones.

        Example:
            >>> Statistics(np.array([10.0]), np.array([2.0])).raw(np.array([[-1.0]])).tolist()
            [[8.0]]
        """
        return np.asarray(shown * self.std + self.mean)


def folded(encoding: InputEncoding, mean: NDArray[Any], std: NDArray[Any]) -> InputEncoding:
    """Return the encoding of raw observations that one of normalized ones amounts to.

    Args:
        encoding: of (x - mean) / std.
        mean: one a feature, [features].
        std: one a feature, [features], positive.

    Example:
        >>> normalized = InputEncoding.over_range([-1.0], [1.0], bit_width=8)
        >>> folded(normalized, np.array([10.0]), np.array([2.0])).encode([[8.0], [12.0]]).tolist()
        [[0], [255]]
    """
    low = np.asarray(mean, np.float64) + np.asarray(std, np.float64) * np.array(encoding.low)
    step = np.asarray(std, np.float64) * np.array(encoding.step)
    return InputEncoding(
        "vector", encoding.shape, encoding.bit_width, tuple(low.tolist()), tuple(step.tolist())
    )


def normalized_encoding(
    seen: NDArray[Any], statistics: Statistics, most: float, bit_width: int
) -> InputEncoding:
    """Return how raw observations become counts under some statistics.

    Args:
        seen: raw observations of the warm-up, [N, features].
        statistics: of the VecNormalize.
        most: its `clip_obs`, which bounds the range of a count.
        bit_width: width of a count.
    """
    z = np.clip((seen - statistics.mean) / statistics.std, -most, most)
    low, high = (bound.clip(-most, most) for bound in usual_range(z))
    encoding = InputEncoding.over_range(low, high, bit_width=bit_width)
    return folded(encoding, statistics.mean, statistics.std)


def normalizer_of(env: Any) -> Any:
    """Return the VecNormalize of a vector environment, None if it has none.

    Raises:
        ConfigError: if another wrapper is around it, which would hide what it was given, or if it
            normalizes pictures.
    """
    from stable_baselines3.common.vec_env import unwrap_vec_normalize

    found = unwrap_vec_normalize(env)
    if found is not None and found is not env:
        name = type(env).__name__
        raise ConfigError(f"{name} is around VecNormalize; put VecNormalize outside of it")
    if found is not None and found.norm_obs and len(found.observation_space.shape) == 3:
        raise ConfigError("pictures reach the chip as they are; give VecNormalize norm_obs=False")
    return found
