"""The learner: network, target network, optimizer, and one update."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from rivc.errors import DivergedError
from rivc.snn_convert import convert
from rivc.snn_convert.certify import Disturbance, certify
from rivc.train import operators
from rivc.train.losses import imitation_loss, margin_loss, td_loss

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from rivc.nets import QNetwork
    from rivc.nets.network import Integers
    from rivc.snn_convert import SpikingProgram
    from rivc.train.config import Config
    from rivc.train.replay import Batch, Replay
    from rivc.train.sections import TrainConfig


class UpdateInfo(NamedTuple):
    """What one update reports: its losses; `td_loss` is that of imitation where that is learnt."""

    td_loss: float
    margin_loss: float


def learning_rate_at(train: TrainConfig, env_steps: int) -> float:
    """Return Adam's learning rate after so many env steps: a linear fall."""
    left = 1.0 - min(1.0, env_steps / train.env_steps)
    return train.learning_rate * (train.learning_rate_end + left * (1.0 - train.learning_rate_end))


def diverged(updates: int, loss: float, norm: float) -> DivergedError:
    """Return the error for a loss or a gradient that is not finite."""
    return DivergedError(
        f"the loss is no longer finite after {updates} updates (loss {loss}, gradient {norm}); "
        "lower train.learning_rate or train.max_grad_norm"
    )


class Learner:
    """Trains the network on replayed transitions; the definition of what an update is.

    Attributes:
        net: the network in training, in integers unless `quant.enabled` is off.
        target_net: an older copy that values what comes next.
        updates: gradient steps so far.
    """

    def __init__(self, config: Config, net: QNetwork) -> None:
        self.config, self.net = config, net
        self.target_net = copy.deepcopy(net).requires_grad_(False)
        self._target_integers = self.target_net.integers()
        self.optimizer = torch.optim.Adam(
            net.parameters(), lr=config.train.learning_rate, fused=True
        )
        self.updates = 0

    def update(
        self, replay: Replay, rng: np.random.Generator, env_steps: int, count: int = 1
    ) -> UpdateInfo:
        """Draw batches and take `count` gradient steps; return the losses of the last.

        Raises:
            DivergedError: if a loss or gradient is not finite; that update and those after it
                changed nothing then, not even the state of `rng`.
        """
        for _ in range(count - 1):
            self._update(replay, rng, env_steps)
        return self._update(replay, rng, env_steps)

    def freeze(self) -> SpikingProgram:
        """Return the program of the parameters as they are now."""
        return convert(self.net)

    def _update(self, replay: Replay, rng: np.random.Generator, env_steps: int) -> UpdateInfo:
        train, before = self.config.train, rng.bit_generator.state
        batch = replay.sample(rng, train.batch_size, discount=train.discount, n_step=train.n_step)
        td, margin = self._losses(batch)
        self.optimizer.zero_grad()
        (td + train.margin_coef * margin).backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.net.weights_and_biases(), train.max_grad_norm)
        if not torch.isfinite(norm + self._steps_norm() + td + margin):
            rng.bit_generator.state = before
            raise diverged(self.updates, td.item(), norm.item())
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(train, env_steps)
        self.optimizer.step()
        self.updates += 1
        return UpdateInfo(td.item(), margin.item())

    def _steps_norm(self) -> Tensor:
        """The norm of the gradient of the learned steps, which is not clipped."""
        steps = [layer.log_step for layer, _ in self.net.chain() if layer.log_step is not None]
        return torch.nn.utils.get_total_norm([p.grad for p in steps if p.grad is not None])

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        train = self.config.train
        observation, action = torch.from_numpy(batch.observation), torch.from_numpy(batch.action)
        integers = self.net.integers()
        if self.config.imitates:
            return self._imitation(observation, action, integers)
        with torch.no_grad():
            target, q_target = self._target(batch, observation, action, integers)
        q = self.net.action_values(observation, integers)
        td = td_loss(q, action, target, train.huber_delta)
        if train.margin_coef == 0:
            return td, torch.zeros(())
        drop = self._drop(observation, q_target, integers) if train.certify_noise else None
        scale = self.net.readout_scale(integers)
        return td, margin_loss(q, q_target, scale, train.margin, drop)

    def _imitation(
        self, observation: Tensor, choice: Tensor, integers: Integers
    ) -> tuple[Tensor, Tensor]:
        """Return the losses where the replay holds the expert's choices."""
        q, scale = self.net(observation, integers), self.net.readout_scale(integers)
        best = torch.nn.functional.one_hot(choice, q.shape[-1])
        return (
            imitation_loss(q, choice, self.config.temperature),
            margin_loss(q, best, scale, self.config.train.margin),
        )

    def _drop(self, observation: Tensor, q_target: Tensor, integers: Integers) -> Tensor:
        """What noise can take of the lead of the target's greedy actions, in readout steps."""
        found = certify(
            convert(self.net, integers),
            observation.numpy(),
            Disturbance(self.config.train.certify_noise),
            actions=q_target.argmax(-1).numpy(),
            backwards=False,
        )
        return torch.from_numpy(found.drop).float()

    def _target(
        self, batch: Batch, observation: Tensor, action: Tensor, integers: Integers
    ) -> tuple[Tensor, Tensor]:
        """Return Bellman targets, [B], and the target network's values of the states, if needed."""
        train, tau = self.config.train, self.config.temperature
        following = torch.from_numpy(batch.next_observation)
        states = following
        if train.gap_coef or train.margin_coef:  # nothing else asks for the present states
            states = torch.cat([observation, following])
        values = self.target_net.action_values(states, self._target_integers)
        q_now, q_next = values[: -len(following)], values[-len(following) :]
        if train.double_q:
            q_online = self.net.action_values(following, integers)
            value = operators.double_value(q_online, q_next, tau, train.gap_coef)
        else:
            value = operators.soft_value(q_next, tau)
        gap = operators.gap_term(q_now, action, tau, train.gap_clip) if train.gap_coef else None
        reward = torch.from_numpy(batch.reward) * self.config.reward_scale
        y = operators.bellman_target(
            reward, torch.from_numpy(batch.discount), value, gap, train.gap_coef
        )
        return y, q_now

    @torch.no_grad()
    def sync_target(self, blend: float | None = None) -> None:
        """Move the target network towards the network by `blend`, all the way if it is 1."""
        blend = self.config.train.target_blend if blend is None else blend
        for theirs, ours in zip(self.target_net.parameters(), self.net.parameters(), strict=True):
            theirs.lerp_(ours, blend)
        self._target_integers = self.target_net.integers()

    def state(self) -> dict[str, Any]:
        """Return every tensor and counter."""
        moments = self.optimizer.state_dict()["state"]
        return {
            "net": dict(self.net.state_dict()),
            "target_net": dict(self.target_net.state_dict()),
            "optimizer": {str(i): dict(m) for i, m in moments.items()},
            "updates": self.updates,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self.net.load_state_dict(state["net"])
        self.target_net.load_state_dict(state["target_net"])
        self._target_integers = self.target_net.integers()
        groups = self.optimizer.state_dict()["param_groups"]
        moments = {int(i): m for i, m in state["optimizer"].items()}
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.updates = int(state["updates"])
