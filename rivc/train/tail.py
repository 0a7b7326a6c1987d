r"""The tail of a cut network goes on learning on the server, and the edge, if it may, on the robot.

The robot sends what it makes of each frame, as maps of groups (`rivc.codec.sgq`), is told how to
act, and tells what the whole policy says to the frame: that is a lesson. The tail, still in the
chip's integers, learns from lessons drawn from all that were heard so far,

.. math:: loss = Huber_\delta(Q_{tail}(\hat x) - Q_{whole}) / \delta + margin\_coef \cdot margin

and answers each with the gradient of its own loss for the maps, if the edge learns too. The value
of one count at the cut stays as it was, so that both ends agree on it; frozen again, both halves
are programs like any.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)

from rivc.errors import DivergedError, QuantError
from rivc.nets import QNetwork
from rivc.nets.network import as_input, channels_first
from rivc.snn_convert import convert
from rivc.split.halves import Split, cut
from rivc.train.losses import margin_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from rivc.codec import GradientCodec, GroupQuantizer
    from rivc.nets.network import Integers
    from rivc.quant.qat import QuantLayer
    from rivc.train.policy import Policy

    Counts = NDArray[np.uint8]


@dataclass(frozen=True)
class LessonPlan:
    """How lessons are learnt.

    Attributes:
        lessons: that are planned; learning rates fall over them to a tenth.
        learning_rate: of the tail, of Adam.
        edge_learning_rate: of the edge.
        batch_size: lessons of an update, and gradients of one of the edge.
        updates_per_lesson: how many are taken, on average.
        huber_delta: error of an action value from which on the loss is linear.
        margin: by which the best action is to lead, in steps of the readout.
        margin_coef: weight of this.
        seed: of what is drawn.
    """

    lessons: int = 2000
    learning_rate: float = 5e-4
    edge_learning_rate: float = 1e-4
    batch_size: int = 64
    updates_per_lesson: float = 0.5
    huber_delta: float = 0.03
    margin: float = 16.0
    margin_coef: float = 0.01
    seed: int = 0

    def rate_at(self, lessons: int) -> float:
        """Return the share of the learning rates that is left after so many lessons."""
        return 1.0 - 0.9 * min(1.0, lessons / max(1, self.lessons))


class Halves:
    """A network cut where a program was; both halves may be trained apart.

    Args:
        policy: network and program; neither is changed.
        layer: how many layers of the program stand before the cut, 1 for the first.

    Attributes:
        edge: the whole network, of which the first layers are the edge.
        tail: the other layers, as a network that takes counts.

    Raises:
        ConfigError: if the program cannot be cut there.
    """

    def __init__(self, policy: Policy, layer: int) -> None:
        split = cut(policy.program, layer)
        self._layer = layer
        self._depth = sum(one.kind != "flatten" for one in policy.program.layers[:layer])
        self.edge = copy.deepcopy(policy.net).requires_grad_(False)
        rest = [copy.deepcopy(one).requires_grad_(True) for one, _ in self._chain(tail=True)]
        self.tail = QNetwork(
            rest, split.server.encoding, policy.net.action_layout, policy.net.profile
        )
        *_, (last, _) = self._chain()
        if last.log_step is not None:
            self.tail.input_log_step.copy_(last.log_step)

    def counts(self, x: Counts, integers: Integers) -> Tensor:
        """Return what the edge emits, [B, C, H, W] or [B, units], with a way back for gradients."""
        out = channels_first(torch.from_numpy(x))
        for (layer, log_step), q in zip(self._chain(), integers, strict=False):
            out = layer(as_input(layer, out), log_step, q)
        return out

    @torch.no_grad()
    def emitted(self, x: Counts, integers: Integers) -> Counts:
        """Return what the edge emits as the server takes it, uint8, [B, *shape]."""
        out = self.counts(x, integers)
        out = out.permute(0, 2, 3, 1) if out.dim() == 4 else out
        return out.numpy().astype(np.uint8)

    def edge_parameters(self) -> list[Tensor]:
        """Return what the edge may learn: all but the value of a count at the cut."""
        layers = [layer for layer, _ in self._chain()]
        steps = (layer.log_step for layer in layers[:-1])
        rest = (p for layer in layers for p in (layer.weight, layer.bias))
        return [*rest, *(step for step in steps if step is not None)]

    def frozen(self) -> Split:
        """Return both halves as programs, as they are now."""
        whole = copy.deepcopy(self.edge)
        for i, layer in enumerate(self.tail.layers, self._depth):
            whole.layers[i] = layer
        return cut(convert(whole), self._layer)

    def _chain(self, *, tail: bool = False) -> islice[tuple[QuantLayer, Tensor]]:
        return islice(self.edge.chain(), *((self._depth, None) if tail else (self._depth,)))


class Tutor:
    """Lets a tail learn from lessons; gives a server what it infers and learns by.

    Args:
        tail: in training from now on.
        readout_scale: value of one integer of the lessons.
        plan: how it learns.
        gradients: groups and codec of what goes down; None: nothing does.

    Attributes:
        lessons: that were heard.
        updates: that were taken.
    """

    def __init__(
        self,
        tail: QNetwork,
        readout_scale: float,
        plan: LessonPlan,
        gradients: tuple[GroupQuantizer, GradientCodec] | None = None,
    ) -> None:
        self._tail, self._scale, self._plan, self._down = tail, readout_scale, plan, gradients
        self._integers = tail.integers()
        self._optimizer = torch.optim.Adam(tail.parameters(), lr=plan.learning_rate)
        self._rng = np.random.default_rng(plan.seed)
        self._counts = np.zeros((plan.lessons, *tail.encoding.shape), np.uint8)
        self._q = np.zeros((plan.lessons, *tail.action_layout), np.float32)
        self.lessons, self.updates = 0, 0

    def infer(self, counts: Counts) -> NDArray[np.int64]:
        """Return the readout of the tail as it is now, int64, [B, d, n]."""
        return self._tail.readout(torch.from_numpy(counts), self._integers).numpy()

    def learn(self, counts: Counts, readout: bytes, sequence: int) -> bytes:
        """Take a lesson; return the packet of its gradient, or nothing.

        Args:
            counts: of the frame, [*shape].
            readout: what the whole policy says to it, int32 little endian.
            sequence: of the frame.

        Raises:
            QuantError: if the readout is none of such a policy.
            DivergedError: if loss or gradient is no longer finite.
        """
        layout = self._tail.action_layout
        if len(readout) != 4 * layout[0] * layout[1]:
            raise QuantError(f"a lesson of {len(readout)} bytes for {layout} groups and actions")
        right = np.frombuffer(readout, "<i4").reshape(layout) * np.float32(self._scale)
        at = self.lessons % len(self._q)
        self._counts[at], self._q[at] = counts, right
        self.lessons += 1
        packet = self._gradient(counts, right, sequence)
        while self.updates < int(self.lessons * self._plan.updates_per_lesson):
            self._update()
        return packet

    def _update(self) -> None:
        chosen = self._rng.integers(min(self.lessons, len(self._q)), size=self._plan.batch_size)
        loss = self._loss(torch.from_numpy(self._counts[chosen]), torch.from_numpy(self._q[chosen]))
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self._tail.parameters() if p.grad is not None]
        self._checked("gradient", torch.nn.utils.get_total_norm(gradients))
        for group in self._optimizer.param_groups:
            group["lr"] = self._plan.learning_rate * self._plan.rate_at(self.lessons)
        self._optimizer.step()
        self._integers = self._tail.integers()
        self.updates += 1

    def _gradient(self, counts: Counts, right: NDArray[np.float32], sequence: int) -> bytes:
        if self._down is None:
            return b""
        groups, codec = self._down
        x = torch.from_numpy(counts[None]).float().requires_grad_()
        loss = self._loss(x, torch.from_numpy(right[None]))
        [gradient] = torch.autograd.grad(loss, x)
        planes = as_planes(gradient[0].numpy())
        try:
            return codec.encode(groups.fold(planes), self._rng, sequence=sequence)
        except QuantError as error:
            raise DivergedError(f"after {self.updates} updates of the tail, {error}") from error

    def _loss(self, counts: Tensor, right: Tensor) -> Tensor:
        plan = self._plan
        q = self._tail(counts, self._integers)
        scale = self._tail.readout_scale(self._integers)
        huber = F.smooth_l1_loss(q, right, beta=plan.huber_delta)
        margin = margin_loss(q, right, scale, plan.margin)
        return self._checked("loss", huber + plan.margin_coef * margin)

    def _checked(self, name: str, value: Tensor) -> Tensor:
        if not value.isfinite():
            raise DivergedError(f"the tail's {name} is {value.item()} after {self.updates} updates")
        return value


class EdgeLearner:
    """Lets the edge learn from the gradients that come down, a batch at a time.

    Args:
        halves: whose edge is in training from now on.
        groups: of the maps.
        plan: how it learns.

    Attributes:
        updates: that were taken.
    """

    def __init__(self, halves: Halves, groups: GroupQuantizer, plan: LessonPlan) -> None:
        self._halves, self._groups, self._plan = halves, groups, plan
        self._parameters = [p.requires_grad_() for p in halves.edge_parameters()]
        self._optimizer = torch.optim.Adam(self._parameters, lr=plan.edge_learning_rate)
        self._waiting: list[tuple[Counts, NDArray[np.float64]]] = []
        self.updates = 0

    def take(self, x: Counts, gradient: NDArray[np.float64]) -> bool:
        """Take the gradient of the maps of an input in; True if the edge is another now.

        Args:
            x: input counts of the frame, [*shape].
            gradient: of its mean maps, [G, H, W].
        """
        self._waiting.append((x, self._groups.spread(gradient)))
        if len(self._waiting) < self._plan.batch_size:
            return False
        inputs, gradients = zip(*self._waiting, strict=True)
        self._waiting.clear()
        out = self._halves.counts(np.stack(inputs), self._halves.edge.integers())
        down = torch.from_numpy(np.stack(gradients) / len(gradients)).to(out.dtype)
        self._optimizer.zero_grad()
        out.backward(down.reshape(out.shape))  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters, 10.0)
        for group in self._optimizer.param_groups:
            done = self.updates * self._plan.batch_size
            group["lr"] = self._plan.edge_learning_rate * self._plan.rate_at(done)
        self._optimizer.step()
        self.updates += 1
        return True


def as_planes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values at the cut channels first, [C, H, W]; dense ones [C, 1, 1]."""
    return values.transpose(2, 0, 1) if values.ndim == 3 else values[:, None, None]
