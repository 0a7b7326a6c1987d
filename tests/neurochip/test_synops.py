"""Synaptic operations against counting them one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import QuantError
from rivc.neurochip import count_synops
from rivc.snn_convert import Layer, SpikingProgram, reference
from tests.programs import dense_program
from tests.strategies import counts_for, programs


def one_by_one(layer: Layer, x: np.ndarray, shape: tuple[int, ...]) -> int:
    """Meetings of a non-zero count with a non-zero weight, in loops."""
    if layer.kind == "dense":
        return sum(
            int(w != 0 and c != 0) for row in layer.weight for w, c in zip(row, x, strict=True)
        )
    top, left, _, _ = layer.padding
    high, wide = x.shape[:2]
    met = 0
    for row, column in product(range(shape[0]), range(shape[1])):
        for _, c, i, j in np.argwhere(layer.weight):
            y, u = row * layer.stride + i - top, column * layer.stride + j - left
            met += int(0 <= y < high and 0 <= u < wide and x[y, u, c] != 0)
    return met


@settings(max_examples=40)
@given(programs(), st.data())
def test_synops_are_active_inputs_times_present_weights(
    program: SpikingProgram, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(program))
    received: list[np.ndarray] = [counts, *reference.trace(program, counts)]
    expected: list[int] = [
        sum(
            one_by_one(layer, received[i][b], program.shapes[i + 1])
            for i, layer in enumerate(program.layers)
            if layer.has_weights
        )
        for b in range(len(counts))
    ]
    synops = count_synops(program, counts)
    assert synops.dtype == np.int64
    assert synops.tolist() == expected


def test_counts_that_the_program_cannot_take_are_refused() -> None:
    with pytest.raises(QuantError):
        count_synops(dense_program(), np.zeros((1, 7), np.uint8))
