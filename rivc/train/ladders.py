"""A run made into a split: cut, recorded, coded, and every row of its ladder played."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.neurochip import load_backend
from rivc.snn_convert.program import greedy
from rivc.split.folder import SplitFolder
from rivc.split.halves import cut
from rivc.split.ladder import Ladder, Point, fit_ladder, importance
from rivc.train.appraise import appraisal_seeds
from rivc.train.evaluate import play
from rivc.train.features import record_features
from rivc.train.policy import load_program
from rivc.train.setup import make_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.split.halves import Split
    from rivc.split.ladder import Infer
    from rivc.train.policy import Which
    from rivc.train.run import RunFolder

_KEEPS = ((0, 1), (1, 1), (0, 2), (1, 2), (2, 2), (1, 4), (2, 4))  # bits fewer, a share of channels
_SKIPS = (1, 2, 3)


@dataclass(frozen=True)
class LadderPlan:
    """How much is recorded and played.

    Attributes:
        episodes: that are recorded; half of them fit the codecs, half measure them.
        row_episodes: that are played with each row.
        seed: of these episodes, which neither training nor its evaluations have seen.
    """

    episodes: int = 8
    row_episodes: int = 20
    seed: int = 0


def fit_split(
    folder: RunFolder,
    layer: int,
    plan: LadderPlan,
    which: Which | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> SplitFolder:
    """Cut the program of a run, and make the ladder that is driven by.

    The row that loses nothing comes first; the others follow by the return that they were played
    to, then by their bytes.

    Args:
        folder: of the run.
        layer: how many layers stand before the cut, 1 for the first.
        plan: how much is recorded and played.
        which: policy of the run.
        note: is told what is being done.

    Raises:
        ConfigError: if the program cannot be cut there.
    """
    _, program = load_program(folder, which)
    split = cut(program, layer)
    note("recording episodes")
    recording = record_features(folder, layer, episodes=plan.episodes, seed=plan.seed, which=which)
    chip = load_backend("emulator")
    chip.load(split.server)
    counts = np.ascontiguousarray(recording.codes.transpose(0, 2, 3, 1))
    counts = counts.reshape(-1, *split.shape)

    def infer(x: NDArray[np.uint8]) -> NDArray[np.int64]:
        return chip.infer(x).readout

    order = importance(split, counts, infer)
    note("fitting codecs")
    points = default_points(split.bit_width, split.shape[-1])
    ladder = fit_ladder(split, recording, points, order)
    ladder = _measured(folder, split, ladder, infer, plan, note)
    return SplitFolder(split, ladder, (folder.path / "config.yaml").read_text())


def default_points(bit_width: int, channels: int) -> tuple[Point, ...]:
    """Return what the rows keep: all of it first, each choice at one, half and a third of the rate.

    >>> default_points(1, 2)
    (Point(bit_width=1, channels=2, skip=1), Point(bit_width=1, channels=2, skip=2),
    Point(bit_width=1, channels=2, skip=3), Point(bit_width=1, channels=1, skip=1),
    Point(bit_width=1, channels=1, skip=2), Point(bit_width=1, channels=1, skip=3))
    """
    kept = [(max(1, bit_width - fewer), max(1, channels // share)) for fewer, share in _KEEPS]
    return tuple(Point(bits, most, skip) for bits, most in dict.fromkeys(kept) for skip in _SKIPS)


def _measured(
    folder: RunFolder,
    split: Split,
    ladder: Ladder,
    infer: Infer,
    plan: LadderPlan,
    note: Callable[[str], None],
) -> Ladder:
    """The ladder with the return of each row, in order."""
    [task] = make_tasks(folder.config(), 1)
    edge = load_backend("emulator")
    edge.load(split.edge)
    seeds = appraisal_seeds(plan.seed + 1, plan.row_episodes)
    rows = []
    try:
        for i, row in enumerate(ladder.rows):
            note(f"playing row {i + 1} of {len(ladder.rows)}")
            scores = [
                play([task], _Act(split, ladder, i, lambda x: edge.infer(x).readout, infer), [seed])
                for seed in seeds  # each with a policy that holds nothing of the episode before
            ]
            mean = float(np.mean([score.return_mean for score in scores]))
            rows.append(replace(row, episode_return=mean))
    finally:
        task.env.close()
        edge.close()
    first, *others = rows
    others.sort(key=lambda row: (-row.episode_return, row.mean_bytes / row.point.skip))
    return replace(ladder, rows=(first, *others))


@dataclass
class _Act:
    """A policy that knows no more than a row lets through; between two frames it holds."""

    split: Split
    ladder: Ladder
    row: int
    edge: Infer
    server: Infer
    seen: int = 0

    def __post_init__(self) -> None:
        self._held: NDArray[np.int64] | None = None

    def __call__(self, observation: NDArray[Any]) -> NDArray[np.int64]:
        if self._held is None or self.seen % self.ladder.rows[self.row].point.skip == 0:
            counts = self.split.counts(self.edge(self.split.edge.encode(observation)))
            kept = [self.ladder.restore(self.row, self.ladder.reduce(self.row, c)) for c in counts]
            self._held = greedy(self.server(np.stack(kept)))
        self.seen += 1
        return self._held
