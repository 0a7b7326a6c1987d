"""How good a finished policy is, in each of its forms, and how far the forms agree.

Every form plays the same greedy episodes by itself. In each state that it comes to, its integers
and its action are set against those of the FPNN, the network in training precision: for a network
trained in integers both must be equal, for one trained in reals they show what the conversion cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from rivc.neurochip import count_synops
from rivc.snn_convert.program import greedy
from rivc.train.evaluate import Score, play
from rivc.train.worlds import EVALUATE, episode_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from rivc.envs.factory import Task
    from rivc.nets import QNetwork
    from rivc.nets.network import Integers
    from rivc.neurochip import Backend
    from rivc.train.policy import Policy

    Counts = NDArray[np.uint8]

FPNN: Final = "fpnn"
SYNOPS_STATES: Final = 128
_APPRAISAL: Final = 1  # a stream of its own, apart from the evaluations that chose the best program


@dataclass(frozen=True, slots=True)
class Appraisal:
    """One form of a policy, judged by the episodes that it played.

    Attributes:
        form: "fpnn", or the name of the back end.
        score: its episodes.
        states: that it came to.
        action_agreement: share of them in which it chose the FPNN's joint action.
        readout_mismatches: number of them in which an integer differed from the FPNN's.
        spikes_per_decision: mean over the states; None for the FPNN, which has none.
        synops_per_decision: mean synaptic operations over up to 128 of the states, likewise.
    """

    form: str
    score: Score
    states: int
    action_agreement: float
    readout_mismatches: int
    spikes_per_decision: float | None = None
    synops_per_decision: float | None = None


def appraisal_seed(seed: int, episode: int) -> int:
    """Return the seed of an episode that neither training nor its evaluations have seen."""
    return episode_seed(seed, EVALUATE, _APPRAISAL, episode)


def appraisal_seeds(seed: int, count: int) -> list[int]:
    """Return the seeds of such episodes."""
    return [appraisal_seed(seed, i) for i in range(count)]


def appraise(
    policy: Policy, tasks: Sequence[Task], chips: Mapping[str, Backend], seeds: Sequence[int]
) -> list[Appraisal]:
    """Let every form of a policy play the same episodes.

    Args:
        policy: network and program.
        tasks: copies of the task, played side by side.
        chips: back ends by the name to report; the program is loaded onto each.
        seeds: one an episode.

    Returns:
        The FPNN first, then the chips in order.

    Raises:
        ChipLimitError: if the program does not fit a chip.
    """
    alone = _Witness(policy)
    results = [alone.result(FPNN, play(tasks, alone.act, seeds))]
    for name, chip in chips.items():
        chip.load(policy.program)
        witness = _Witness(policy, chip)
        results.append(witness.result(name, play(tasks, witness.act, seeds)))
    return results


@torch.no_grad()
def decide(
    net: QNetwork, counts: Counts, integers: Integers
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the FPNN's greedy actions, [B, d], and its readout in integers, [B, d, n].

    A network trained in reals has no integers: its action values are rounded to readout steps.
    """
    x = torch.from_numpy(counts)
    if net.quantized:
        readout = net.readout(x, integers).numpy()
        return greedy(readout), readout
    steps = (net(x).double() / net.readout_scale(integers)).numpy()
    return greedy(steps), np.rint(steps).astype(np.int64)


@dataclass
class _Witness:
    """Acts for one form and counts what it sees on the way; without a chip, for the FPNN."""

    policy: Policy
    chip: Backend | None = None
    states: int = 0
    agreed: int = 0
    mismatches: int = 0
    spikes: int = 0
    sample: list[Counts] = field(default_factory=list)  # one state of every step, by turns
    integers: Integers = field(init=False)

    def __post_init__(self) -> None:
        self.integers = self.policy.net.integers()

    def act(self, observation: NDArray[Any]) -> NDArray[np.int64]:
        counts = self.policy.program.encode(observation)
        actions, readout = decide(self.policy.net, counts, self.integers)
        self.sample.append(counts[self.states % len(counts)].copy())  # or the batch would stay
        self.states += len(counts)
        if self.chip is None:
            self.agreed += len(counts)
            return actions
        result = self.chip.infer(counts)
        chosen = greedy(result.readout)
        self.agreed += int((chosen == actions).all(1).sum())
        self.mismatches += int((result.readout != readout).any((1, 2)).sum())
        self.spikes += int(result.spike_counts.sum())
        return chosen

    def result(self, form: str, score: Score) -> Appraisal:
        has_chip = self.chip is not None
        return Appraisal(
            form=form,
            score=score,
            states=self.states,
            action_agreement=self.agreed / self.states,
            readout_mismatches=self.mismatches,
            spikes_per_decision=self.spikes / self.states if has_chip else None,
            synops_per_decision=self._synops() if has_chip else None,
        )

    def _synops(self) -> float:
        chosen = np.linspace(0, len(self.sample) - 1, min(len(self.sample), SYNOPS_STATES)).astype(
            int
        )
        return float(
            count_synops(self.policy.program, np.stack([self.sample[i] for i in chosen])).mean()
        )
