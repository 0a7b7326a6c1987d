"""What a layer of a trained policy emits while it acts, which feature codecs are fitted to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.codec.recording import Recording
from rivc.errors import UsageError
from rivc.neurochip import load_backend
from rivc.snn_convert.program import greedy
from rivc.snn_convert.reference import emit
from rivc.train.appraise import appraisal_seeds
from rivc.train.evaluate import Score, play
from rivc.train.policy import load_program
from rivc.train.setup import make_tasks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert import SpikingProgram
    from rivc.train.policy import Which
    from rivc.train.run import RunFolder
    from rivc.train.worlds import Episode

_AT_ONCE = 64  # frames that the reference convolves in one go


def record_features(
    folder: RunFolder, layer: int, *, episodes: int, seed: int = 0, which: Which | None = None
) -> Recording:
    """Let a policy play greedy episodes on the emulator, and keep what a layer emitted.

    Args:
        folder: of the run.
        layer: how many layers stand before the cut, 1 for the first.
        episodes: how many, one after the other.
        seed: of the episodes, which neither training nor its evaluations have seen.
        which: policy of the run.

    Raises:
        UsageError: if the program has no such layer, or it emits no counts.
    """
    recording, _ = play_recorded(folder, layer, episodes=episodes, seed=seed, which=which)
    return recording


def play_recorded(
    folder: RunFolder, layer: int, *, episodes: int, seed: int = 0, which: Which | None = None
) -> tuple[Recording, Score]:
    """Return what `record_features` does, and the episodes that were played for it."""
    _, program = load_program(folder, which)
    if not 1 <= layer < len(program.layers):
        msg = (
            f"layer {layer} emits no counts; those of this program are 1..{len(program.layers) - 1}"
        )
        raise UsageError(msg)
    [task] = make_tasks(folder.config(), 1)
    watched = _Watched(program)
    played: list[Episode] = []
    try:
        for one in appraisal_seeds(seed, episodes):
            watched.begin()
            played += play([task], watched.act, [one]).episodes
    finally:
        task.env.close()
    counts = np.concatenate(watched.counts)
    starts = np.zeros(len(counts), np.bool_)
    starts[watched.starts] = True
    bit_width = program.levels_in[layer].bit_length()
    return Recording(emitted(program, layer, counts), starts, bit_width), Score(tuple(played))


def emitted(program: SpikingProgram, layer: int, counts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what the first `layer` layers make of input counts, channels first, [B, C, H, W]."""
    parts = []
    for first in range(0, len(counts), _AT_ONCE):
        x = counts[first : first + _AT_ONCE].astype(np.int64)
        for one in program.layers[:layer]:
            x = emit(one, x)
        parts.append(x.astype(np.uint8))
    x = np.concatenate(parts)
    x = x.reshape(len(x), *((1, 1) if x.ndim == 2 else x.shape[1:3]), x.shape[-1])
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


@dataclass
class _Watched:
    """Acts, and keeps the counts that the program was given."""

    program: SpikingProgram
    counts: list[NDArray[np.uint8]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chip = load_backend("emulator")
        self._chip.load(self.program)

    def begin(self) -> None:
        self.starts.append(len(self.counts))

    def act(self, observation: NDArray[Any]) -> NDArray[np.int64]:
        counts = self.program.encode(observation)
        self.counts.append(counts)
        return greedy(self._chip.infer(counts).readout)
