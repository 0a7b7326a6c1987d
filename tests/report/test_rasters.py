"""Every spike of a run is in the picture, in the colour of its sign."""

from __future__ import annotations

import numpy as np
import pytest

from rivc.report.rasters import CELL, LABELS, SURE, TAKEN_BACK, draw_rasters
from rivc.report.theme import ACCENT, MARGIN, Colour
from rivc.snn_convert.schedules import SCHEDULES, run
from tests.programs import conv_program, random_counts


def marks(picture: np.ndarray, colour: Colour) -> int:
    """How many cells of the rasters have a colour; the legend has one more of each."""
    corners = picture[:, MARGIN + LABELS :: CELL]
    found = (corners == colour).all(-1)
    starts = found & ~np.roll(found, 1, axis=0)
    return int(starts.sum())


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_spike_is_a_mark(schedule: str) -> None:
    program = conv_program()
    done = run(
        program, random_counts(program, np.random.default_rng(0), 2)[1:], schedule, raster=True
    )
    picture = np.asarray(draw_rasters({schedule: done}))
    spikes = np.concatenate([raster.ravel() for raster in done.rasters])
    assert marks(picture, ACCENT) == (spikes == 1).sum() + 1
    assert marks(picture, TAKEN_BACK) >= (spikes == -1).sum()
    final = (done.readouts[:, 0] == done.readout[0]).all(axis=(1, 2))
    assert 1 <= marks(picture, SURE) <= final.sum()


def test_equal_runs_give_equal_pixels() -> None:
    program = conv_program()
    counts = random_counts(program, np.random.default_rng(0), 1)
    one, other = (draw_rasters({"x": run(program, counts, raster=True)}) for _ in range(2))
    assert one.tobytes() == other.tobytes()
