"""The figure and the table of schedules.md: ``python docs/schedules.py``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import numpy as np

from rivc.nets import build_network
from rivc.report.rasters import draw_rasters
from rivc.snn_convert import convert, reference
from rivc.snn_convert.schedules import SCHEDULES, run

if TYPE_CHECKING:
    from collections.abc import Iterator

OUT: Final = Path(__file__).with_suffix(".png")
STATES: Final = 1000


def draw() -> None:
    """Run one state of a tiny 4-bit program under every schedule, and draw its spikes."""
    net = build_network("mlp", input_shape=(4,), action_layout=(1, 3), hidden=(8, 6), seed=5)
    state, program = np.array([[255, 0, 128, 60]], np.uint8), convert(net)
    runs = {name: run(program, state, name, raster=True) for name in SCHEDULES}
    draw_rasters(runs).save(OUT, optimize=True)


def rows() -> Iterator[str]:
    """Latency and spikes of an untrained 8-64-64-4 network on random states, as Markdown."""
    for bits in (1, 2, 3, 4, 8):
        net = build_network(
            "mlp",
            input_shape=(8,),
            action_layout=(1, 4),
            hidden=(64, 64),
            weight_bits=bits,
            activation_bits=bits,
        )
        program = convert(net)
        counts = np.random.default_rng(0).integers(0, 256, (STATES, 8)).astype(np.uint8)
        expected = reference.run(program, counts)
        for name in SCHEDULES:
            done = run(program, counts, name)
            spikes = done.spike_counts.sum(0).mean()
            wrong = int((done.readout != expected).any(axis=(1, 2)).sum())
            ticks = f"{done.ticks.mean():.1f} | {done.ticks.max()}"
            yield f"| {bits} | {name} | {ticks} | {spikes:,.0f} | {wrong} |"


if __name__ == "__main__":
    draw()
    click.echo("\n".join(rows()))
