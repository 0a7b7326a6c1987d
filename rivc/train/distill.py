r"""Distillation: a student with the teacher's network that pays for the bits it sends and ships.

.. math:: loss = KL(\pi_{teacher} \| \pi_{student}) + h(A_{student} - A_{teacher})
          + \lambda \cdot kbit/frame + \mu \cdot bits/weight, \quad
          \pi = softmax(q / g)

with g the mean lead of the teacher's greedy action over a batch, A a value less the mean over the
actions, h the mean Huber function over its width, and the bits as `rivc.train.rate` estimates them.
What decides between actions is kept so, and the height of the values, which decides nothing, is
not paid for. Prices rise from nothing over the first part of the run.

States are those that the student itself comes to through its own converted program, labelled by
the teacher; nothing is learnt from rewards.

Reference:
    Rusu et al. (2016), Policy distillation, arXiv 1511.06295; Ross et al. (2011), A reduction of
    imitation learning to no-regret online learning; Matsubara et al. (2022), Supervised compression
    for resource-constrained edge computing systems, arXiv 2108.11898.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)

from rivc.errors import ConfigError, UsageError
from rivc.quant.qat import QuantConv2d
from rivc.snn_convert import convert
from rivc.train.learner import diverged, learning_rate_at
from rivc.train.policy import load_policy
from rivc.train.rate import FeatureRate, weight_bits
from rivc.train.run import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from rivc.nets import QNetwork
    from rivc.nets.network import Integers
    from rivc.quant.qat import LayerIntegers, QuantLayer
    from rivc.snn_convert import SpikingProgram
    from rivc.train.config import Config
    from rivc.train.policy import Policy
    from rivc.train.replay import Replay

KILO: Final = 1000
TINY: Final = 1e-6
SETTLED: Final = 0.75  # share of a student's run from which on the best return is kept


class DistillInfo(NamedTuple):
    """What one update reports: its loss without prices, and what was priced; None: it was not."""

    distill_loss: float
    intra_bits: float | None
    inter_bits: float | None
    bits_per_weight: float | None


class Distiller:
    """Trains the student; takes the place of `rivc.train.learner.Learner` in a run.

    Args:
        config: of the student; its `distill` says what is priced.
        net: the student; becomes equal to the teacher.
        teacher: the policy to keep.

    Attributes:
        net: the student.
        updates: gradient steps so far.

    Raises:
        ConfigError: if the teacher has other layers or nothing to choose from, the priced layer
            emits no counts, or weights are priced that are not those that ship.
    """

    def __init__(self, config: Config, net: QNetwork, teacher: Policy) -> None:
        if net.action_layout[1] == 1:
            raise ConfigError("a student keeps what decides between actions, and here is only one")
        if config.distill.weight_rate and config.net.readout == "centred":
            raise ConfigError(
                "the weights of a centred readout have no price; set weight_rate to 0"
            )
        self.config, self.net, self.updates = config, net, 0
        self._teacher, self._teacher_sha256 = teacher.net, teacher.program.sha256
        self._teacher_integers = teacher.net.integers()
        try:
            net.load_state_dict(teacher.net.state_dict())
        except RuntimeError as error:
            raise ConfigError("student and teacher differ in net; only widths may") from error
        self._sent = sent_layer(net, config.distill.layer)
        self._rates = _feature_rates(net, self._sent)
        self.optimizer = torch.optim.Adam(
            net.parameters(), lr=config.train.learning_rate, fused=True
        )

    def update(
        self, replay: Replay, rng: np.random.Generator, env_steps: int, count: int = 1
    ) -> DistillInfo:
        """Draw transitions, half as many as a batch has states, for each of `count` gradient steps.

        Raises:
            DivergedError: if a loss or gradient is not finite; that update and those after it
                changed nothing then, not even the state of `rng`.
        """
        for _ in range(count - 1):
            self._update(replay, rng, env_steps)
        return self._update(replay, rng, env_steps)

    def freeze(self) -> SpikingProgram:
        """Return the program of the student's parameters as they are now."""
        return convert(self.net)

    def _update(self, replay: Replay, rng: np.random.Generator, env_steps: int) -> DistillInfo:
        train, prices = self.config.train, self.config.distill
        before = rng.bit_generator.state, [rate.seen.clone() for rate in self._rates]
        pairs = replay.sample(rng, max(1, train.batch_size // 2), discount=1.0, n_step=1)
        states = torch.from_numpy(np.concatenate([pairs.observation, pairs.next_observation]))
        integers, factor = self.net.integers(), price_at(self.config, env_steps)
        q, counts = self.net.watch(states, integers, self._sent or 0)
        loss = distill_loss(q, self._wanted(states), train.huber_delta)
        bits = self._frame_bits(counts)
        total = loss + factor * prices.rate * bits.mean() / KILO
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        grads = [p.grad for p in self.net.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads)
        if not torch.isfinite(norm + total):
            rng.bit_generator.state, seen = before
            self._remember(seen)
            raise diverged(self.updates, total.item(), norm.item())
        torch.nn.utils.clip_grad_norm_(self.net.weights_and_biases(), train.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(train, env_steps)
        of_weights = self._step(integers, factor * prices.weight_rate)
        self.updates += 1
        intra, inter = (None, None) if self._sent is None else bits.tolist()
        return DistillInfo(loss.item(), intra, inter, of_weights)

    @torch.no_grad()
    def _wanted(self, states: Tensor) -> Tensor:
        wanted: Tensor = self._teacher(states, self._teacher_integers)
        return wanted

    def _frame_bits(self, counts: Tensor) -> Tensor:
        """Mean bits of a frame of the first half, intra, and of those that follow, inter, [2]."""
        if self._sent is None:
            return torch.zeros(2)
        counts = counts.float().view(*counts.shape[:2], *(counts.shape[2:] or (1, 1)))
        first, second = counts.chunk(2)
        intra, inter = self._rates
        bits = intra.bits(first, see=True), inter.bits(second, first.detach(), see=True)
        return torch.stack([one.mean() for one in bits])

    def _remember(self, seen: Sequence[Tensor]) -> None:
        for rate, one in zip(self._rates, seen, strict=True):
            rate.seen = one

    def _step(self, integers: Integers, price: float) -> float | None:
        """Take the gradient step, pricing weights, and return the bits of one if it has a price."""
        layers = [layer for layer, _ in self.net.chain()]
        if not price:
            self.optimizer.step()
            return None
        total, count = 0.0, sum(layer.weight.numel() for layer in layers)
        before = [layer.weight.detach().clone() for layer in layers]
        for layer, q in zip(layers, integers, strict=True):
            total += price_weights(layer, q, price / count)
        self.optimizer.step()
        with torch.no_grad():
            for layer, old in zip(layers, before, strict=True):
                stays = (old == 0) & (layer.weight.grad == 0)  # whatever momentum says
                layer.weight.masked_fill_(stays | (layer.weight * old < 0), 0.0)
        return total / count

    def sync_target(self, blend: float | None = None) -> None:
        """Do nothing: a teacher does not follow its student."""

    def state(self) -> dict[str, Any]:
        """Return every tensor and counter."""
        moments = self.optimizer.state_dict()["state"]
        return {
            "net": dict(self.net.state_dict()),
            "optimizer": {str(i): dict(m) for i, m in moments.items()},
            "updates": self.updates,
            "seen": [rate.seen for rate in self._rates],
            "teacher_sha256": self._teacher_sha256,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            UsageError: if the teacher is no longer the one that the student began with.
        """
        if state["teacher_sha256"] != self._teacher_sha256:
            raise UsageError(
                f"the policy of {self.config.distill.parent} is no longer that which this run "
                "began with; start a new run"
            )
        self.net.load_state_dict(state["net"])
        self._remember(state["seen"])
        groups = self.optimizer.state_dict()["param_groups"]
        moments = {int(i): m for i, m in state["optimizer"].items()}
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.updates = int(state["updates"])


def load_teacher(config: Config) -> Policy:
    """Read the policy that the student of a configuration keeps."""
    return load_policy(RunFolder.open(str(config.distill.parent)))


def distill_loss(q: Tensor, wanted: Tensor, delta: float) -> Tensor:
    """Return how far a student's action values are from the teacher's; see the module.

    Args:
        q: the student's, [B, d, n].
        wanted: the teacher's, [B, d, n].
        delta: error of an advantage from which on the loss is linear.
    """
    lead = wanted.topk(2, -1).values
    unit = (lead[..., 0] - lead[..., 1]).mean().clamp_min(TINY)
    of_teacher, of_student = (torch.log_softmax(x / unit, -1) for x in (wanted, q))
    divergence = (of_teacher.exp() * (of_teacher - of_student)).sum(-1).mean()
    ours, theirs = (x - x.mean(-1, keepdim=True) for x in (q, wanted))
    return divergence + F.smooth_l1_loss(ours, theirs, beta=delta)


def price_at(config: Config, env_steps: int) -> float:
    """Return what share of the prices holds after so many env steps: a linear rise, then 1."""
    return min(1.0, _share_done(config, env_steps) / config.distill.rise)


def _share_done(config: Config, env_steps: int) -> float:
    """What share of a student's run is behind it, its warm-up left out."""
    train = config.train
    length = max(1, train.env_steps - train.warmup_env_steps)
    return (env_steps - train.warmup_env_steps) / length


def is_settled(config: Config, env_steps: int) -> bool:
    """Whether a policy may be kept as the best: always, but of a student only at its end.

    Before, it still grows cheaper, and a dearer one would win.
    """
    if config.distill.parent is None:
        return True
    return _share_done(config, env_steps) >= SETTLED


@torch.no_grad()
def price_weights(layer: QuantLayer, q: LayerIntegers, price: float) -> float:
    """Add what a layer's weights cost to their gradients, and return their bits.

    A weight of 0 stays there unless the loss gains more than the bits that leaving would cost.
    """
    grad = layer.weight.grad
    if grad is None or layer.spec.grid.is_binary:  # which cannot have less than a bit
        return float(layer.weight.numel()) * layer.spec.grid.is_binary
    bits, slope, leaving = weight_bits(layer.weight, q.weight_scale, layer.spec.grid.q_max)
    at_zero = layer.weight == 0
    kept = grad.sign() * (grad.abs() - price * leaving).clamp_min(0)
    grad.copy_(torch.where(at_zero, kept, grad + price * slope))
    return float(bits)


def sent_layer(net: QNetwork, layer: int | None) -> int | None:
    """Return which layer of a network is a layer of its program; None for none.

    Raises:
        ConfigError: if the program's layer emits no counts.
    """
    if layer is None:
        return None
    convs = sum(isinstance(one, QuantConv2d) for one, _ in net.chain())
    at = layer - 1 - (0 < convs < layer)  # a flatten stands before the first dense layer
    if layer == convs + 1 > 1 or at >= len(net.layers) - 1:
        raise ConfigError(f"distill.layer = {layer} emits no counts; take a hidden layer")
    return at


def _feature_rates(net: QNetwork, layer: int | None) -> tuple[FeatureRate, ...]:
    """The estimates of frames without and with one before."""
    if layer is None:
        return ()
    one = [layer for layer, _ in net.chain()][layer]
    return tuple(
        FeatureRate(len(one.weight), one.spec.levels, inter=inter) for inter in (False, True)
    )
