"""The update of `rivc.train.learner.Learner`, in few products and compiled loops."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from rivc.train.fused import kernels
from rivc.train.fused.network import FusedNet
from rivc.train.learner import UpdateInfo, diverged, learning_rate_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.nets import QNetwork
    from rivc.train.config import Config
    from rivc.train.replay import Batch, Replay

    Floats = NDArray[Any]

BETAS: Final = (0.9, 0.999)


class FusedLearner:
    """Trains a small dense network on replayed transitions, as `Learner` does.

    Forward passes are equal, integer for integer; parameters after an update are equal up to the
    rounding of float32 sums. A checkpoint of either learner continues in the other.

    Attributes:
        net: the network in training; its parameters are views of one vector.
        target_net: an older copy that values what comes next.
        updates: gradient steps so far.
    """

    def __init__(self, config: Config, net: QNetwork) -> None:
        self.config, self.net = config, net
        self.target_net = copy.deepcopy(net).requires_grad_(False)
        size = config.train.batch_size
        self._online, self._target = FusedNet(net, 2 * size), FusedNet(self.target_net, 2 * size)
        self._moments = np.zeros((2, len(self._online.vector.values)), np.float32)
        self._x = np.empty((2 * size, *net.encoding.shape), np.float32)
        self._y = np.empty(size, np.float32)
        self._grad_q = np.empty((size, *net.action_layout), np.float32)
        self.updates = 0
        self._target.derive()

    def update(self, replay: Replay, rng: np.random.Generator, env_steps: int) -> UpdateInfo:
        """Draw a batch and take one gradient step.

        Raises:
            DivergedError: if a loss or gradient is not finite; nothing was changed then, not even
                the state of `rng`.
        """
        train, before = self.config.train, rng.bit_generator.state
        batch = replay.sample(rng, train.batch_size, discount=train.discount, n_step=train.n_step)
        self._online.derive()
        td, margin = self._losses(batch)
        self._online.backward(self._x[: len(self._y)], self._grad_q)
        grad, clipped = self._online.vector.grad, self._online.vector.clipped
        norm = kernels.norm(grad[:clipped])
        if not math.isfinite(norm + kernels.norm(grad[clipped:]) + td + margin):
            rng.bit_generator.state = before
            raise diverged(self.updates, td, norm)
        self._step(env_steps, min(1.0, train.max_grad_norm / (norm + 1e-6)))
        return UpdateInfo(td, margin)

    def _losses(self, batch: Batch) -> tuple[float, float]:
        """Compute both losses, and leave their gradient for the action values."""
        train, size = self.config.train, len(self._y)
        self._x[:size], self._x[size:] = batch.observation, batch.next_observation
        q_now, q_next = np.split(self._target.forward(self._x), 2)
        q = self._online.forward(self._x[: 2 * size if train.double_q else size])
        reward = batch.reward * np.float32(self.config.reward_scale)
        numbers = (self.config.temperature, train.gap_coef, train.gap_clip, train.double_q)
        taken = (batch.action, reward, batch.discount)
        kernels.bellman_targets(q_now, q_next, q[size:], taken, numbers, self._y)
        q = q[:size]
        td = kernels.td_gradient(q, batch.action, self._y, train.huber_delta, self._grad_q)
        if train.margin_coef == 0:
            return td, 0.0
        room = train.margin * self._online.unit
        return td, kernels.add_margin_gradient(q, q_now, room, train.margin_coef, self._grad_q)

    def _step(self, env_steps: int, factor: float) -> None:
        """Take a step of Adam, the gradients of weights and biases times `factor`."""
        self.updates += 1
        first, second = (1.0 - beta**self.updates for beta in BETAS)
        rate = learning_rate_at(self.config.train, env_steps) / first
        vector, (m, v) = self._online.vector, self._moments
        for part, scale in vector.parts(factor):
            numbers = scale, rate, second**-0.5
            kernels.adam(vector.values[part], vector.grad[part], m[part], v[part], numbers)

    def sync_target(self, blend: float | None = None) -> None:
        """Move the target network towards the network by `blend`, all the way if it is 1."""
        blend = self.config.train.target_blend if blend is None else blend
        theirs, ours = self._target.vector.values, self._online.vector.values
        np.copyto(theirs, ours if blend == 1.0 else theirs + np.float32(blend) * (ours - theirs))
        self._target.derive()

    def state(self) -> dict[str, Any]:
        """Return every tensor and counter, as `Learner` does."""
        return {
            "net": dict(self.net.state_dict()),
            "target_net": dict(self.target_net.state_dict()),
            "optimizer": self._optimizer_state() if self.updates else {},
            "updates": self.updates,
        }

    def _optimizer_state(self) -> dict[str, dict[str, torch.Tensor]]:
        step = torch.tensor(float(self.updates))
        views = [self._moments_of(parameter) for parameter in self.net.parameters()]
        return {
            str(i): {"step": step.clone(), "exp_avg": first, "exp_avg_sq": second}
            for i, (first, second) in enumerate(views)
        }

    def _moments_of(self, parameter: torch.Tensor) -> list[torch.Tensor]:
        vector = self._online.vector
        return [torch.from_numpy(vector.view(moment, parameter)) for moment in self._moments]

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self.net.load_state_dict(state["net"])
        self.target_net.load_state_dict(state["target_net"])
        self._target.derive()
        self._moments[:] = 0.0
        for i, parameter in enumerate(self.net.parameters()):
            kept = state["optimizer"].get(str(i))
            if kept:
                first, second = self._moments_of(parameter)
                first.copy_(kept["exp_avg"].view_as(first))
                second.copy_(kept["exp_avg_sq"].view_as(second))
        self.updates = int(state["updates"])
