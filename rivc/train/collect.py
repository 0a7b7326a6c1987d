"""Gathering samples through the chip: encode, infer, explore, step, remember."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

import numpy as np
import torch

from rivc.neurochip import Inference
from rivc.train.counting import make_count
from rivc.train.explore import expert_share_at, explore
from rivc.train.worlds import Episode

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.nets import QNetwork
    from rivc.quant.encoding import InputEncoding
    from rivc.snn_convert import SpikingProgram
    from rivc.train.config import Config
    from rivc.train.counting import Count
    from rivc.train.replay import Replay, Slots
    from rivc.train.worlds import Moves


@dataclass
class Tally:
    """What was seen since the last record."""

    episodes: list[Episode] = field(default_factory=list)
    spikes: int = 0
    decisions: int = 0
    clipped: int = 0


class Sampler(Protocol):
    """What chooses actions: a chip that holds the program, or the network itself."""

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        """Return action values, in steps of the readout, and spikes."""
        ...


class Surroundings(Protocol):
    """Copies of a task that are stepped side by side: `rivc.train.worlds.Worlds`, for one.

    Attributes:
        observation: present ones, [N, *shape].
    """

    observation: NDArray[Any]

    def step(self, action: NDArray[np.int64]) -> tuple[Moves, list[Episode]]:
        """Step every copy, [N, d]; those whose episode ended begin another one."""
        ...

    def expert_action(self) -> NDArray[np.int64]:
        """Return what the task's scripted expert would do now, [N, d]."""
        ...

    def capture(self) -> dict[str, Any]:
        """Return what brings this state back."""
        ...

    def close(self) -> None:
        """Close every copy."""
        ...


class NetworkSampler:
    """The FPNN in a chip's place, as it is now: what training would be like without conversions.

    Its readout is real-valued, in the unit that a conversion would have.
    """

    def __init__(self, net: QNetwork) -> None:
        self.net, self._integers = net, net.integers()
        self._unit = float(net.readout_scale(self._integers))

    @torch.no_grad()
    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        """Return action values over the value of one readout integer, and no spikes."""
        q = self.net(torch.from_numpy(counts), self._integers).double() / self._unit
        no_spikes = np.zeros((0, len(counts)), np.int64)
        return Inference(cast("NDArray[np.int64]", q.numpy()), no_spikes)


class Collector:
    """Steps the worlds and fills the replay.

    Attributes:
        worlds: the environments.
        replay: where the transitions go.
        rng: of exploration.
        imitates: whether the replay gets the expert's choices in the place of the actions.
        tally: counters, emptied by whoever records them.
        is_whole: False if a step ended in the middle: copies moved that nobody remembers.
    """

    is_whole = True
    _count: tuple[InputEncoding, Count] | None = None  # of the last encoding that was used

    def __init__(
        self,
        worlds: Surroundings,
        replay: Replay,
        rng: np.random.Generator,
        *,
        imitates: bool = False,
    ) -> None:
        self.worlds, self.replay, self.rng, self.imitates = worlds, replay, rng, imitates
        self.tally = Tally()
        self.slots: Slots = replay.open(worlds.observation)

    @classmethod
    def restored(
        cls,
        worlds: Surroundings,
        replay: Replay,
        rng: np.random.Generator,
        state: dict[str, Any],
        *,
        imitates: bool = False,
    ) -> Self:
        """Return a collector that goes on where `capture` was called."""
        collector = cls.__new__(cls)
        collector.worlds, collector.replay, collector.rng = worlds, replay, rng
        collector.imitates = imitates
        collector.slots = np.array(state["slots"], np.int64)
        episodes = [
            Episode(float.fromhex(r), length, success) for r, length, success in state["episodes"]
        ]
        collector.tally = Tally(episodes, **state["tally"])
        return collector

    def capture(self) -> dict[str, Any]:
        """Return everything but the replay and the generator."""
        tally = self.tally
        return {
            "worlds": self.worlds.capture(),
            "slots": self.slots.tolist(),
            "episodes": [(e.episode_return.hex(), e.length, e.is_success) for e in tally.episodes],
            "tally": {
                "spikes": tally.spikes,
                "decisions": tally.decisions,
                "clipped": tally.clipped,
            },
        }

    def warm_up(self, env_steps: int, layout: tuple[int, int], expert_share: float = 0.0) -> int:
        """Act at random for at least so many env steps, and return how many; nothing is encoded."""
        d, n = layout
        rounds = -(-env_steps // len(self.slots))
        for _ in range(rounds):
            action = self.rng.integers(n, size=(len(self.slots), d))
            self._move(action, expert_share, lambda observation: observation)
        return rounds * len(self.slots)

    def gather(
        self, config: Config, sampler: Sampler, program: SpikingProgram, env_steps: int
    ) -> None:
        """Let the sampler choose for one step of every copy; `env_steps` have been made so far."""
        result = sampler.infer(self.replay.observations(self.slots))
        action = explore(config, self.rng, result.readout, program.readout_scale, env_steps)
        self.tally.spikes += int(result.spike_counts.sum())
        self.tally.decisions += len(self.slots)

        self._move(action, expert_share_at(config.explore, env_steps), self._encoder(program))

    def _encoder(self, program: SpikingProgram) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
        """Return what makes counts of observations, and keeps a tally of what was cut off."""
        if self._count is None or self._count[0] is not program.encoding:
            self._count = program.encoding, make_count(program.encoding)
        count = self._count[1]

        def encode(observation: NDArray[Any]) -> NDArray[np.uint8]:
            counts, clipped = count(observation)
            self.tally.clipped += clipped
            return counts

        return encode

    def _advised(
        self, action: NDArray[np.int64], share: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return actions with the expert's in the place of a share, and those to remember."""
        choice = self.worlds.expert_action()
        if share:
            action = np.where(self.rng.random((len(action), 1)) < share, choice, action)
        return action, choice if self.imitates else action

    def _move(
        self,
        action: NDArray[np.int64],
        expert_share: float,
        encode: Callable[[NDArray[Any]], NDArray[Any]],
    ) -> None:
        """Step, close the slots that were acted on, open those that followed."""
        kept = action
        if expert_share or self.imitates:
            action, kept = self._advised(action, expert_share)
        self.is_whole = False
        moves, finished = self.worlds.step(action)
        following = self.replay.open(encode(moves.observation))
        self.replay.close(self.slots, kept, moves.reward, moves.terminated, following)
        self.slots = following
        if finished:
            self.slots = following.copy()
            self.slots[moves.ended] = self.replay.open(encode(self.worlds.observation[moves.ended]))
        self.tally.episodes += finished
        self.is_whole = True

    def take_tally(self) -> dict[str, Any]:
        """Return what was seen since the last call, as metrics, and start counting anew."""
        tally, self.tally = self.tally, Tally()
        metrics: dict[str, Any] = {}
        if tally.decisions:
            metrics["sampler_spikes_per_decision"] = tally.spikes / tally.decisions
            metrics["clipped_inputs_per_decision"] = tally.clipped / tally.decisions
        if tally.episodes:
            metrics["episodes"] = len(tally.episodes)
            metrics["episode_return"] = float(np.mean([e.episode_return for e in tally.episodes]))
            metrics["episode_length"] = float(np.mean([e.length for e in tally.episodes]))
        marks = [e.is_success for e in tally.episodes if e.is_success is not None]
        if marks:
            metrics["success_rate"] = float(np.mean(marks))
        return metrics
