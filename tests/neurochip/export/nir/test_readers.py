"""Other simulators run `model.nir` and give the counts and readouts of the reference.

They are large and stay out of the usual environment. In one of their own::

    pip install -e '.[dev,nir-readers]' torch
    pytest tests/neurochip/export/nir/test_readers.py

Both reset to zero and not by subtraction, which the unary form never asks for.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rivc.neurochip.export import make_golden
from rivc.neurochip.export import nir as nir_format
from rivc.neurochip.export.nir import limits, unary
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from tests.neurochip.export.nir.test_forms import held
from tests.programs import int8, readout
from tests.strategies import counts_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Run = Callable[[torch.Tensor], Any]

pytestmark = pytest.mark.filterwarnings("ignore")


def spikingjelly(graph: nir.NIRGraph) -> Run:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    network = import_from_nir(graph)
    return lambda x: network(x, None)


def norse(graph: nir.NIRGraph) -> Run:
    import norse.torch

    return norse.torch.from_nir(graph, ignore_warnings=True, dt=1e-4)


READERS = {"spikingjelly": spikingjelly, "norse": norse}


@pytest.fixture(params=READERS, scope="module")
def load(request: pytest.FixtureRequest) -> Callable[[nir.NIRGraph], Run]:
    """What loads a graph in one of the simulators."""
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed: pip install '.[nir-readers]'")
    with warnings.catch_warnings(action="ignore"):
        __import__(request.param)
    return READERS[request.param]


def emitted(run: Run, counts: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a simulator gives for a batch of counts, channels last, in one tick from rest."""
    x = torch.from_numpy(counts.astype(np.float32))
    with torch.no_grad():
        out = run(x.movedim(-1, 1) if x.ndim == 4 else x)[0]
    return np.asarray(out.movedim(1, -1) if out.ndim == 4 else out)


def until(graph: nir.NIRGraph, last: str) -> nir.NIRGraph:
    """The part of a graph that ends with a node."""
    after, names = dict(graph.edges), ["input"]
    while names[-1] != last:
        names.append(after[names[-1]])
    nodes = {name: graph.nodes[name] for name in names}
    nodes["output"] = nir.Output(output_type=graph.nodes[last].output_type)
    names.append("output")
    return nir.NIRGraph(nodes, list(pairwise(names)))


# -- networks in which every neuron fires ------------------------------------------------------


def lively(layer: Layer, counts: NDArray[np.int64]) -> Layer:
    """The layer with thresholds and biases that spread what it receives over all its levels."""
    z = reference.weighted(layer, counts).reshape(-1, len(layer.weight)) << layer.frac_bits
    threshold = np.maximum(2, np.ptp(z, axis=0) // layer.levels)
    return replace(layer, threshold=threshold.astype(np.int32), bias=-z.min(0).astype(np.int32))


def network(
    seed: int, encoding: InputEncoding, parts: list[Any], layout: tuple[int, int], bits: int = 4
) -> SpikingProgram:
    """Spiking layers for shapes of weights, with whatever else stands between them."""
    rng = np.random.default_rng(seed)
    x = rng.integers(encoding.levels + 1, size=(256, *encoding.shape))
    layers: list[Layer] = []
    for part in parts:
        layer = part
        if not isinstance(part, Layer):
            kind, shape, geometry = part
            unset = np.full(shape[0], 2, np.int32)
            weight = int8(rng, shape, 2 ** (bits - 1) - 1)
            more = {"frac_bits": 4, "levels": 2**bits - 1, **geometry}
            layer = lively(Layer(kind, weight, unset, unset, bits, **more), x)
        layers.append(layer)
        x = reference._LAYERS[layer.kind](layer, x)
    outputs = math.prod(layout)
    bias = rng.integers(-99, 99, outputs).astype(np.int32)
    last = readout(int8(rng, (outputs, x.shape[1]), 7), bias)
    return SpikingProgram(encoding, (*layers, last), 0.1, layout, "ideal")


def mlp(seed: int) -> SpikingProgram:
    """8 features, 32 and 16 neurons, 2 groups of 4 actions."""
    encoding = InputEncoding.over_range([-1.0] * 8, [1.0] * 8, bit_width=8)
    return network(seed, encoding, [("dense", (32, 8), {}), ("dense", (16, 32), {})], (2, 4))


def wide(seed: int) -> SpikingProgram:
    """8 bits, 1700 features: sums of the first layer come near the end of float32's integers."""
    encoding = InputEncoding.over_range([-1.0] * 1700, [1.0] * 1700, bit_width=8)
    parts = [("dense", (6, 1700), {}), ("dense", (5, 6), {})]
    return network(seed, encoding, parts, (1, 3), bits=8)


def conv(seed: int) -> SpikingProgram:
    """A 12 x 9 x 3 image, zeros on one side only, an oblong kernel, pooling, 5 actions."""
    parts = [
        ("conv2d", (6, 3, 3, 3), {"stride": 2, "padding": (0, 0, 1, 1)}),
        ("conv2d", (5, 6, 3, 2), {"padding": (1, 0, 1, 0)}),
        Layer("maxpool2d", kernel=2, stride=2),
        Layer("flatten"),
        ("dense", (12, 5 * 3 * 1), {}),
    ]
    return network(seed, InputEncoding.image((12, 9, 3)), parts, (1, 5))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("build", [mlp, wide, conv])
def test_a_simulator_gives_every_count_and_the_readout(
    build: Callable[[int], SpikingProgram],
    seed: int,
    load: Callable[[nir.NIRGraph], Run],
    tmp_path: Path,
) -> None:
    program = build(seed)
    nir_format.write(program, tmp_path)
    graph = nir.read(tmp_path / "model.nir")
    counts = make_golden(program, seed).inputs  # saturated, at thresholds, tied: 256 and more
    expected = reference.trace(program, counts)
    for i, layer in enumerate(program.layers):
        if layer.levels:
            assert expected[i].reshape(-1, expected[i].shape[-1]).any(0).all()  # all neurons fire
            got = emitted(load(until(graph, f"layer{i}_counts")), counts)
            np.testing.assert_array_equal(got, expected[i])
    np.testing.assert_array_equal(emitted(load(graph), counts), expected[-1])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_simulator_runs_any_program_that_a_graph_holds(
    data: st.DataObject, load: Callable[[nir.NIRGraph], Run]
) -> None:
    program = data.draw(held())
    assert not limits.violations(program)
    counts = data.draw(counts_for(program))
    got = emitted(load(unary.build(program)), counts)
    np.testing.assert_array_equal(got, reference.trace(program, counts)[-1])
