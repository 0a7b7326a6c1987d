"""The update of `rivc.train.learner.Learner`, compiled."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from rivc.errors import ConfigError
from rivc.snn_convert import convert
from rivc.train.fused.network import FusedNet
from rivc.train.fused.updates import Bench, Memory, Task, learn
from rivc.train.learner import UpdateInfo, diverged, learning_rate_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.nets import QNetwork
    from rivc.snn_convert import SpikingProgram
    from rivc.train.config import Config
    from rivc.train.replay import Columns, Replay

    Floats = NDArray[Any]

SLOTS: Final = 1 << 36  # more than a replay ever numbers; int64 holds the numbers of 2^27 syncs


class FusedLearner:
    """Trains a small network on replayed transitions, as `Learner` does.

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
        self._online, self._target = (
            FusedNet(net, 2 * size, size),
            FusedNet(self.target_net, 2 * size, 0),
        )
        self._moments = np.zeros((2, len(self._online.vector.values)), np.float32)
        self._task = _task(config, self._online.vector.clipped)
        self._bench = _bench(size, net)
        self._memory: tuple[Replay | None, Memory] = None, _memory(0, self._bench)
        self._program: SpikingProgram | None = None
        self.updates = 0
        self._target.derive()

    def update(
        self, replay: Replay, rng: np.random.Generator, env_steps: int, count: int = 1
    ) -> UpdateInfo:
        """Draw batches and take `count` gradient steps; return the losses of the last.

        Raises:
            DivergedError: if a loss or gradient is not finite; that update and those after it
                changed nothing then, not even the state of `rng`.
            ConfigError: if `config` asks for batches of another size than it did at first.
        """
        before, size = rng.bit_generator.state, self.config.train.batch_size
        if size != len(self._bench.y):  # compiled loops would write past its end
            raise ConfigError(
                f"train.batch_size is {size}, this learner was made for {len(self._bench.y)}; "
                "make a new one and restore this one's state"
            )
        taken, td, margin, norm = learn(
            self._online.chain,
            self._target.chain,
            self._memory_of(replay),
            self._moments,
            _flat(replay.columns),
            replay.draw(rng, count * size).reshape(count, size),
            self._task,
            self._bench,
            (learning_rate_at(self.config.train, env_steps), self.updates),
        )
        self.updates += taken
        if taken < count:
            rng.bit_generator.state = before
            replay.draw(rng, taken * size)
            raise diverged(self.updates, td, norm)
        return UpdateInfo(td, margin)

    def _memory_of(self, replay: Replay) -> Memory:
        """Return the target network's values of the slots of a replay."""
        if self._memory[0] is not replay:
            self._memory = replay, _memory(replay.capacity, self._bench)
        return self._memory[1]

    def _derive_target(self) -> None:
        """Derive the integers of another target network, and forget the values of the last.

        A replay that is put back in place may give old numbers to other observations, which is why
        a learner is put back with it.
        """
        self._target.derive()
        replay, memory = self._memory
        self._memory = replay, memory._replace(offset=memory.offset + SLOTS)

    def freeze(self) -> SpikingProgram:
        """Return the program of the parameters as they are now, equal to what `convert` returns.

        Raises:
            DivergedError: if a parameter, or the scale of the readout, is not finite.
        """
        if self._program is None or not self.net.quantized:
            self._program = convert(self.net)  # passes of real numbers have no integers
            return self._program
        integers = self._online.freeze()
        if integers is None:
            return convert(self.net)  # which tells why there is none
        self._program = self._program.with_integers(integers, self._online.unit)
        return self._program

    def sync_target(self, blend: float | None = None) -> None:
        """Move the target network towards the network by `blend`, all the way if it is 1."""
        blend = self.config.train.target_blend if blend is None else blend
        theirs, ours = self._target.vector.values, self._online.vector.values
        np.copyto(theirs, ours if blend == 1.0 else theirs + np.float32(blend) * (ours - theirs))
        self._derive_target()

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
        self._derive_target()
        self._moments[:] = 0.0
        for i, parameter in enumerate(self.net.parameters()):
            kept = state["optimizer"].get(str(i))
            if kept:
                first, second = self._moments_of(parameter)
                first.copy_(kept["exp_avg"].view_as(first))
                second.copy_(kept["exp_avg_sq"].view_as(second))
        self.updates = int(state["updates"])


def _task(config: Config, clipped: int) -> Task:
    """What a configuration says, in numbers."""
    train = config.train
    return Task(
        discount=train.discount,
        n_step=train.n_step,
        reward_scale=config.reward_scale,
        temperature=config.temperature,
        gap_coef=train.gap_coef,
        gap_clip=train.gap_clip,
        double_q=train.double_q,
        huber_delta=train.huber_delta,
        margin=train.margin,
        margin_coef=train.margin_coef,
        max_grad_norm=train.max_grad_norm,
        clipped=clipped,
    )


def _memory(capacity: int, bench: Bench) -> Memory:
    """No values yet, of so many slots."""
    _, d, n = bench.grad_q.shape
    return Memory(
        offset=0,
        owner=np.full(capacity, -1, np.int64),
        values=np.zeros((capacity, d * n), np.float32),
        x=np.zeros_like(bench.x),
        absent=np.zeros_like(bench.slots),
        q=np.zeros((len(bench.x), d, n), np.float32),
    )


def _flat(columns: Columns) -> Columns:
    """The columns of a replay, with an observation as one row."""
    observation = columns.observation
    return columns._replace(observation=observation.reshape(len(observation), -1))


def _bench(size: int, net: QNetwork) -> Bench:
    """Room for a batch of a network."""
    d, n = net.action_layout
    return Bench(
        slots=np.zeros(2 * size, np.int64),
        x=np.zeros((2 * size, math.prod(net.encoding.shape)), np.uint8),
        action=np.zeros((size, d), np.int64),
        reward=np.zeros(size, np.float32),
        discount=np.zeros(size, np.float32),
        y=np.zeros(size, np.float32),
        grad_q=np.zeros((size, d, n), np.float32),
    )
