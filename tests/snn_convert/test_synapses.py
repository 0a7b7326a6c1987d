"""The linear operators: forwards as the reference computes it, backwards its transpose."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.snn_convert import SpikingProgram, reference
from rivc.snn_convert.synapses import Synapses, fold, unfold
from tests.strategies import counts_for, programs, seeds


@settings(max_examples=60)
@given(programs(), st.data())
def test_forwards_is_what_the_reference_weighs(
    program: SpikingProgram, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(program))
    received: list[np.ndarray] = [counts, *reference.trace(program, counts)]
    for i, layer in enumerate(program.layers):
        if layer.has_weights:
            synapses = Synapses.of(layer, program.shapes[i])
            z = synapses.forwards(received[i].astype(np.float64))
            assert (z == reference.weighted(layer, received[i].astype(np.int64))).all()


@settings(max_examples=60)
@given(programs(), seeds)
def test_backwards_is_the_transpose(program: SpikingProgram, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for layer, shape, shape_out in zip(
        program.layers, program.shapes, program.shapes[1:], strict=False
    ):
        x = rng.integers(-9, 10, (2, *shape)).astype(np.float64)
        if layer.has_weights:
            synapses = Synapses.of(layer, shape)
            g = rng.integers(-9, 10, (2, *shape_out)).astype(np.float64)
            assert (synapses.forwards(x) * g).sum() == (x * synapses.backwards(g)).sum()
            rows = synapses.magnitudes().backwards(np.ones((1, *shape_out)))
            assert rows.max() <= synapses.widest_fan_out()
        if layer.kind == "maxpool2d":
            seen = unfold(layer, x)
            g = rng.integers(-9, 10, seen.shape).astype(np.float64)
            assert (seen * g).sum() == (x * fold(layer, g, shape)).sum()
