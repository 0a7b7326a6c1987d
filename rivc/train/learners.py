"""Which learner trains a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from rivc.compiled import why_not
from rivc.errors import ConfigError
from rivc.train.learner import Learner

if TYPE_CHECKING:
    from rivc.nets import QNetwork
    from rivc.quant.profile import ArithmeticProfile
    from rivc.train.config import Config
    from rivc.train.distill import Distiller
    from rivc.train.fused import FusedLearner

    AnyLearner: TypeAlias = Learner | FusedLearner | Distiller


def make_learner(config: Config, net: QNetwork) -> AnyLearner:
    """Return the learner that ``train.learner`` names; ``auto`` is the fastest that can do it.

    A student of another run is trained by `rivc.train.distill.Distiller`.

    Raises:
        ConfigError: if it names the fused learner, which cannot.
    """
    if config.distill.parent:
        from rivc.train.distill import Distiller, load_teacher

        return Distiller(config, net, load_teacher(config))
    problem = why_not_fused(config, net)
    if config.train.learner == "fused" and problem:
        raise ConfigError(f"train.learner=fused cannot train this: {problem}; set it to auto")
    if problem or config.train.learner == "torch":
        return Learner(config, net)
    from rivc.train.fused import FusedLearner

    return FusedLearner(config, net)


def why_not_fused(config: Config, net: QNetwork) -> str:
    """Return what keeps a network from being trained by `FusedLearner`; empty if nothing does."""
    layers = [layer for layer, _ in net.chain()]
    reasons = {
        why_not(): bool(why_not()),
        "train.objective is imitation": config.imitates,
        "train.certify_noise is on": config.train.certify_noise > 0,
        f"{net.profile.name} restricts thresholds and biases": net.quantized
        and not _is_free(net.profile),
        "its sums need float64": net.quantized
        and any(x.carrier.sum_dtype != "float32" for x in layers),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _is_free(profile: ArithmeticProfile) -> bool:
    """Whether any integer in range is a threshold, and a bias."""
    names = ("threshold_grid", "bias_lattice", "bias_origin", "bias_mantissa_bits")
    return [getattr(profile, name) for name in names] == ["any", 1, "zero", None]
