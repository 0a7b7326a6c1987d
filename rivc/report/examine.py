"""What is found out about a run before a page is written of it: read, played and counted."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import UsageError
from rivc.neurochip import load_backend
from rivc.neurochip.backend import is_exact, require_fit
from rivc.neurochip.cost import measure_cost
from rivc.neurochip.states import random_states
from rivc.snn_convert import reference
from rivc.snn_convert.program import greedy
from rivc.train.checkpoint import env_steps_made
from rivc.train.margins import BATCH, chip_readout, errors, fpnn_steps, gaps
from rivc.train.policy import load_policy
from rivc.train.record import known_metrics
from rivc.train.run import RunFolder
from rivc.train.visit import visit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from rivc.neurochip.cost import ProgramCost
    from rivc.snn_convert import Layer, SpikingProgram
    from rivc.train.config import Config
    from rivc.train.evaluate import Score
    from rivc.train.policy import Policy, Which

    Record = dict[str, float]

_NAMES: Final = {"dense": "dense", "conv2d": "conv"}


@dataclass(frozen=True, eq=False)
class LayerFacts:
    """The numbers of one layer with weights.

    Attributes:
        name: its kind and size.
        layer: of the program.
        weight_scale: least and greatest real value of one weight step over the channels.
        count_value: real value of one emitted count; None for a readout.
        weights: how many weights have each value of the grid, ascending.
        counts: share of neurons and states that emit 0, 1, ... L; empty for a readout.
    """

    name: str
    layer: Layer
    weight_scale: tuple[float, float]
    count_value: float | None
    weights: dict[int, int]
    counts: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Examination:
    """A run, and what was found out about its policy.

    Attributes:
        folder: of the run.
        config: every setting.
        manifest: versions, seed, state of the repository.
        env_steps: that the run has made.
        records: numbers of its metrics, `env_steps` in each; a saved model has none.
        policy: network and program.
        chip: name of the back end that was asked.
        chip_is_exact: whether it computes the program, or errs on purpose.
        states: in which everything was counted.
        score: of the greedy episodes that these come from; None if they are random.
        trouble: why the task could not be played; empty if it was.
        steps: action values of the FPNN in readout steps, [B, d, n].
        readout: of the chip, [B, d, n].
        exact: of the definition of the program, [B, d, n].
        layers: those with weights.
        cost: operations and bytes.
    """

    folder: RunFolder
    config: Config
    manifest: dict[str, Any]
    env_steps: int
    records: list[Record]
    policy: Policy
    chip: str
    chip_is_exact: bool
    states: int
    score: Score | None
    trouble: str
    steps: NDArray[np.float64]
    readout: NDArray[np.int64]
    exact: NDArray[np.int64]
    layers: tuple[LayerFacts, ...]
    cost: ProgramCost

    @property
    def leads(self) -> NDArray[np.float64]:
        """Readout steps by which each decision leads, in the group where it leads least, [B]."""
        lead = gaps(self.steps).min(-1)
        return np.asarray(lead[np.isfinite(lead)])

    @property
    def largest_error(self) -> float:
        """Of the chip against the FPNN, in readout steps."""
        return float(errors(self.steps, self.readout).max(initial=0.0))

    @property
    def differing(self) -> int:
        """States in which an integer of the chip is not the FPNN's."""
        return rows_differing(self.readout, np.rint(self.steps))

    @property
    def agreement(self) -> float:
        """Share of states in which chip and FPNN choose the same joint action."""
        same: NDArray[np.bool_] = (greedy(self.readout) == greedy(self.steps)).all(-1)
        return float(same.mean())


def rows_differing(a: NDArray[Any], b: NDArray[Any]) -> int:
    """Return in how many rows two arrays of one shape differ."""
    return int((a != b).reshape(len(a), -1).any(1).sum())


def examine(
    run: Path,
    states: int,
    *,
    seed: int = 0,
    backend: str | None = None,
    policy: Which | None = None,
) -> Examination:
    """Read a run, let its policy play, and count what it does.

    Args:
        run: folder of the run.
        states: how many to count in, from greedy episodes that training has never seen; random ones
            where the task cannot be built here.
        seed: of the episodes and the choice.
        backend: the chip whose errors are measured; default: the run's.
        policy: the "best" or the "latest".

    Raises:
        MissingError: if there is no such run, policy or back end.
        DamagedFileError: if a file is not what it ought to be.
        ChipLimitError: if the program does not fit the chip.
    """
    folder = RunFolder.open(run)
    config, chosen = folder.config(), load_policy(folder, policy)
    counts, score, trouble = _states(config, chosen.program, states, seed)
    name = backend or config.backend.name
    with closing(load_backend(name, **config.backend.options_of(name))) as chip:
        require_fit(chip, chosen.program)
        chip.load(chosen.program)
        exact_chip, readout = is_exact(chip), chip_readout(chip, counts)
    histograms, exact = _traced(chosen.program, counts)
    return Examination(
        folder=folder,
        config=config,
        manifest=folder.read_manifest(),
        env_steps=env_steps_made(folder.path),
        records=numbers(known_metrics(folder.path)),
        policy=chosen,
        chip=name,
        chip_is_exact=exact_chip,
        states=len(counts),
        score=score,
        trouble=trouble,
        steps=fpnn_steps(chosen.net, counts),
        readout=readout,
        exact=exact,
        layers=tuple(_layer_facts(chosen, histograms)),
        cost=measure_cost(chosen.program, counts),
    )


def numbers(records: Sequence[dict[str, Any]]) -> list[Record]:
    """Return the finite numbers of each record that says at how many env steps it was made.

    >>> numbers([{"env_steps": 8, "a": 1, "b": None, "c": "x", "d": True}, {"a": 2}])
    [{'env_steps': 8.0, 'a': 1.0}]
    """
    clean = [
        {key: number for key, value in record.items() if (number := _finite(value)) is not None}
        for record in records
    ]
    return [record for record in clean if record.get("env_steps", -1.0) >= 0]


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _states(
    config: Config, program: SpikingProgram, count: int, seed: int
) -> tuple[NDArray[np.uint8], Score | None, str]:
    """States, the episodes they come from, or why there are none."""
    try:
        found = visit(config, program, count, seed=seed)
    except UsageError as error:  # a task that is not installed here, or wants a graphics library
        rng = np.random.default_rng(seed)
        return random_states(program.encoding, count, rng), None, str(error)
    return found.counts, found.score, ""


def _traced(
    program: SpikingProgram, counts: NDArray[np.uint8]
) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """How often each layer emits each count, and the readouts; a batch at a time."""
    often = [np.zeros(layer.levels + 1, np.int64) for layer in program.layers]
    readouts = []
    for start in range(0, len(counts), BATCH):
        emitted = reference.trace(program, counts[start : start + BATCH])
        readouts.append(emitted[-1].reshape(-1, *program.action_layout))
        for i, layer in enumerate(program.layers):
            if layer.levels:
                often[i] += np.bincount(emitted[i].ravel(), minlength=layer.levels + 1)
    return often, np.concatenate(readouts)


def _layer_facts(policy: Policy, often: Sequence[NDArray[np.int64]]) -> Iterator[LayerFacts]:
    weighted = [i for i, layer in enumerate(policy.program.layers) if layer.has_weights]
    learnt = zip(policy.net.chain(), policy.net.integers(), strict=True)
    for number, (i, ((parameters, _), q)) in enumerate(zip(weighted, learnt, strict=True), 1):
        layer, step = policy.program.layers[i], parameters.log_step
        values, how_many = np.unique(layer.weight, return_counts=True)
        kind = "readout" if layer.is_readout else _NAMES[layer.kind]
        yield LayerFacts(
            name=f"{number} {kind} {len(layer.weight)}",
            layer=layer,
            weight_scale=(float(q.weight_scale.min()), float(q.weight_scale.max())),
            count_value=None if step is None else math.exp(float(step)),
            weights=dict(zip(values.tolist(), how_many.tolist(), strict=True)),
            counts=often[i] / max(often[i].sum(), 1) if layer.levels else np.zeros(0),
        )
