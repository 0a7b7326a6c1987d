"""What a film shows: what stays the same throughout, and what happened at one decision.

Plain values, no pictures: `rivc.report.draw` turns them into frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.snn_convert.program import greedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert import SpikingProgram

_NAMES: Final = {"dense": "dense", "conv2d": "conv"}


@dataclass(frozen=True, slots=True)
class LayerCells:
    """A spiking layer as a raster: one cell a neuron, or one a channel of a convolution."""

    name: str
    cells: int


@dataclass(frozen=True, slots=True)
class Scene:
    """What stays the same throughout a film.

    Attributes:
        title: the task.
        subtitle: the policy and the chip.
        input_shape: of the counts, (H, W, C) or (features,).
        input_levels: the largest count.
        layers: the spiking ones, in order.
        group_names: a name for each of the d groups of actions; an empty text where none is needed.
        action_names: a name for each of the n actions of a group.
        value_step: action value of one readout integer, in unscaled return.
        value_range: least and greatest action value that the bars span.
        world_size: width and height of the view of the world; None where there is none.
        episodes: how many the film shows.
    """

    title: str
    subtitle: str
    input_shape: tuple[int, ...]
    input_levels: int
    layers: tuple[LayerCells, ...]
    group_names: tuple[str, ...]
    action_names: tuple[str, ...]
    value_step: float
    value_range: tuple[float, float]
    world_size: tuple[int, int] | None = None
    episodes: int = 1

    @property
    def action_layout(self) -> tuple[int, int]:
        """(d, n): d groups of n actions."""
        return len(self.group_names), len(self.action_names)

    @property
    def has_group_names(self) -> bool:
        """False for what has one group, which needs no name."""
        return any(self.group_names)


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One decision, and what came of it.

    Attributes:
        episode: which one, from 1.
        step: of the episode, from 1.
        episode_return: rewards so far, that of this decision included.
        counts: what the chip received, uint8, [*input_shape].
        rates: of each spiking layer's cells, 0 to 1, [cells].
        spike_count: spikes of this decision.
        readout: integers, int64, [d, n].
        world: as it looked before the decision, uint8, [H, W, 3]; None where there is no view.
    """

    episode: int
    step: int
    episode_return: float
    counts: NDArray[np.uint8]
    rates: tuple[NDArray[np.float64], ...]
    spike_count: int
    readout: NDArray[np.int64]
    world: NDArray[np.uint8] | None = None

    @property
    def action(self) -> NDArray[np.int64]:
        """The greedy action of each group, [d]."""
        return greedy(self.readout[None]).reshape(-1)

    @property
    def lead(self) -> int:
        """Readout steps that the greedy action is ahead, in the group where it leads least."""
        best = np.sort(self.readout, axis=-1)
        return int((best[:, -1] - best[:, -2]).min())


def spiking_layers(program: SpikingProgram) -> tuple[LayerCells, ...]:
    """Return the layers of a program that emit spikes, as rasters."""
    return tuple(
        LayerCells(f"{_NAMES[layer.kind]} {shape[-1]}", shape[-1])
        for layer, shape in zip(program.layers, program.shapes[1:], strict=True)
        if layer.levels
    )


def spike_rates(
    program: SpikingProgram, emitted: list[NDArray[np.int64]]
) -> tuple[NDArray[np.float64], ...]:
    """Return count / L of every cell, 0 to 1; a channel of a convolution is the mean of its map.

    Args:
        program: the program.
        emitted: what each layer emits for one state, [1, ...], as `reference.trace` gives it.
    """
    return tuple(
        counts.reshape(-1, counts.shape[-1]).mean(0) / layer.levels
        for layer, counts in zip(program.layers, emitted, strict=True)
        if layer.levels
    )
