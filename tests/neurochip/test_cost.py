"""What a decision costs: against counting one by one, by hand, and by NeuroBench."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import QuantError
from rivc.neurochip import count_synops, measure_cost
from rivc.neurochip.compare import BATCH
from rivc.quant import Grid, pack
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from tests.programs import conv_program, dense_program, random_counts
from tests.strategies import counts_for, programs, seeds

MEANS = ("events", "macs", "acs", "spike_operations", "spikes", "active")


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


# -- hand-counted programs --------------------------------------------------------------------


def hand_program() -> SpikingProgram:
    """3 inputs of 4 bits, 2 spiking neurons of 2 bits, 2 actions."""
    hidden = Layer(
        "dense",
        np.array([[1, 0, 1], [-1, 1, 0]], np.int8),
        np.array([0, -5], np.int32),
        np.array([4, 9], np.int32),
        weight_bits=2,
        frac_bits=1,
        levels=3,
    )
    last = Layer(
        "dense", np.array([[3, 0], [1, -3]], np.int8), np.array([0, 7], np.int32), weight_bits=3
    )
    encoding = InputEncoding.over_range([0.0] * 3, [1.0] * 3, bit_width=4)
    return SpikingProgram(encoding, (hidden, last), 1.0, (1, 2), "ideal")


def test_a_program_counted_by_hand() -> None:
    # counts 2 and 0: v = 2 * (4 + 2 - 0) + 2 = 10 -> 2, v = 2 * (-4) - 5 + 4 -> 0
    hidden, last = measure_cost(hand_program(), np.array([[4, 0, 0]], np.uint8)).layers
    assert (hidden.events, hidden.macs, hidden.acs, hidden.dense) == (1, 2, 0, 6)
    assert (hidden.spikes, hidden.active, hidden.membrane_updates) == (2, 1, 2)
    assert hidden.activation_sparsity == 0.5
    assert hidden.connection_sparsity == pytest.approx(2 / 6)
    assert (last.events, last.macs, last.acs, last.dense) == (1, 2, 0, 4)
    assert (last.spike_operations, last.spikes, last.membrane_updates) == (4, 0, 0)


def test_counts_of_one_are_accumulated() -> None:
    total = measure_cost(hand_program(), np.array([[1, 1, 1]], np.uint8)).total
    assert total.macs == 0
    assert total.acs == 4 + 2  # v = 2 * 2 + 2 = 6 -> 1 spike, which meets two weights


def test_bytes_are_those_of_the_widths_that_are_needed() -> None:
    hidden, last = measure_cost(hand_program(), np.array([[4, 0, 0]], np.uint8)).layers
    assert hidden.weight_bytes == len(pack(hand_program().layers[0].weight, Grid(2))) == 2
    assert hidden.bias_bytes == 1  # 0 and -5 take 4 bits each
    assert hidden.threshold_bytes == 1  # 4 and 9 take 4 bits each
    assert hidden.weight_traffic == 2 * 2 / 8  # one event reads two weights of 2 bits
    assert hidden.membrane_traffic == 2 * 2 * hand_program().membrane_bits[0] / 8
    assert hidden.count_traffic == (3 * 4 + 2 * 2) / 8
    assert last.weight_bytes == 2  # 4 weights of 3 bits
    assert last.bias_bytes == 1  # 0 and 7 take 4 bits each
    assert last.threshold_bytes == 0


def test_pooling_moves_what_it_receives_and_emits() -> None:
    program = conv_program()
    pool, flatten = measure_cost(program, np.zeros((1, 7, 6, 2), np.uint8)).layers[1:3]
    assert pool.count_traffic == pool.traffic == (4 * 3 * 3 + 4 * 2 * 3) * 2 / 8
    assert flatten.traffic == 0


def test_a_mean_over_no_states_is_refused() -> None:
    with pytest.raises(QuantError, match="there are none"):
        measure_cost(dense_program(), np.zeros((0, 6), np.uint8))


def test_the_mean_over_many_states_is_that_of_each(rng: np.random.Generator) -> None:
    for program in (dense_program(), conv_program()):
        counts = random_counts(program, rng, 2 * BATCH + 5)
        whole = measure_cost(program, counts)
        alone = [measure_cost(program, state[None]) for state in counts]
        for i, layer in enumerate(whole.layers):
            for name in MEANS:
                each = [getattr(one.layers[i], name) for one in alone]
                assert getattr(layer, name) == sum(each) / len(counts), name


def test_zero_padding_is_no_operation() -> None:
    ones, threshold = np.ones((1, 1, 3, 3), np.int8), np.array([4], np.int32)
    conv = Layer("conv2d", ones, np.zeros(1, np.int32), threshold,
                 weight_bits=2, levels=1, padding=(1, 1, 1, 1))  # fmt: skip
    last = Layer("dense", np.ones((1, 4), np.int8), np.zeros(1, np.int32), weight_bits=2)
    layers = (conv, Layer("flatten"), last)
    program = SpikingProgram(InputEncoding.image((2, 2, 1)), layers, 1.0, (1, 1), "ideal")
    cost = measure_cost(program, np.full((1, 2, 2, 1), 9, np.uint8)).layers[0]
    assert (cost.dense, cost.macs) == (16, 16)  # every pixel lies in each of the 4 windows


# -- properties -------------------------------------------------------------------------------


@settings(max_examples=40)
@given(programs(), st.data())
def test_what_happens_is_bounded_by_what_could(
    program: SpikingProgram, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(program))
    cost, states = measure_cost(program, counts), len(counts)

    def total(mean: float) -> int:  # of a whole number for each state: sums compare exactly
        return round(mean * states)

    for layer, part in zip(program.layers, cost.layers, strict=True):
        bits_read = total(part.weight_traffic * 8)
        assert total(part.synops) <= states * part.dense
        assert bits_read <= states * part.dense * max(1, layer.weight_bits)
        assert total(part.active) <= states * part.membrane_updates
        assert total(part.spikes) <= layer.levels * total(part.active)
    assert cost.total.synops == pytest.approx(count_synops(program, counts).mean())
    assert cost.total.footprint == sum(part.footprint for part in cost.layers)


@settings(max_examples=40)
@given(programs())
def test_no_input_is_no_event(program: SpikingProgram) -> None:
    silent = np.zeros((1, *program.encoding.shape), np.uint8)
    first = measure_cost(program, silent).layers[0]
    assert (first.events, first.synops, first.weight_traffic, first.spike_operations) == (
        0,
        0,
        0,
        0,
    )


@settings(max_examples=40)
@given(programs(), st.data())
def test_the_first_layer_does_less_for_a_sparser_input_or_weight(
    program: SpikingProgram, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(program))
    kept = np.random.default_rng(data.draw(seeds)).random(counts.shape) < 0.5
    dense = measure_cost(program, counts).layers[0]
    sparse = measure_cost(program, counts * kept.astype(np.uint8)).layers[0]
    assert sparse.events <= dense.events
    assert sparse.synops <= dense.synops
    assert sparse.traffic <= dense.traffic


# -- the definitions of NeuroBench --------------------------------------------------------------


def same_padding_program() -> SpikingProgram:
    """A 5 x 5 x 2 image through a convolution whose padding torch has too, to 4 actions."""
    whole = conv_program()
    conv = replace(whole.layers[0], weight=whole.layers[0].weight[:, :, :, :1].repeat(3, 3),
                   stride=1, padding=(1, 1, 1, 1))  # fmt: skip
    rng = np.random.default_rng(3)
    last = Layer("dense", rng.integers(-3, 4, (4, 75)).astype(np.int8), np.zeros(4, np.int32),
                 weight_bits=3)  # fmt: skip
    encoding = InputEncoding.image((5, 5, 2))
    return SpikingProgram(encoding, (conv, Layer("flatten"), last), 1.0, (1, 4), "ideal")


def torch_modules(program: SpikingProgram) -> tuple[list[Any], type]:
    """The program as torch modules, and the one that fires counts."""
    import torch
    from torch import nn

    class Staircase(nn.Module):
        def __init__(self, layer: Layer) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            z_last = z.movedim(1, -1).long().numpy()
            return torch.from_numpy(reference.staircase(self.layer, z_last)).movedim(-1, 1).float()

    class Flatten(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.movedim(1, -1).flatten(1)

    modules: list[Any] = []
    for layer in program.layers:
        if layer.kind == "flatten":
            modules.append(Flatten())
            continue
        out, channels, *kernel = layer.weight.shape
        module: Any = nn.Linear(channels, out, bias=False)
        if kernel:
            padding = layer.padding[:2]
            module = nn.Conv2d(channels, out, kernel, layer.stride, padding, bias=False)
        module.weight = nn.Parameter(torch.from_numpy(layer.weight.astype(np.float32)))
        modules += [module, Staircase(layer)] if layer.levels else [module]
    return modules, Staircase


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("build", [dense_program, same_padding_program, hand_program])
def test_operations_and_sparsities_are_those_of_neurobench(build: Any) -> None:
    """Runs only where the `neurobench` package happens to be installed; rivc never needs it."""
    models = pytest.importorskip("neurobench.models")
    import torch
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity
    from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
    from torch.utils.data import DataLoader, TensorDataset

    program = build()
    counts = random_counts(program, np.random.default_rng(0), 12)
    x = torch.from_numpy(counts).float()
    x = x.permute(0, 3, 1, 2) if x.dim() == 4 else x
    modules, staircase = torch_modules(program)
    model = models.TorchModel(torch.nn.Sequential(*modules))
    model.add_activation_module(staircase)
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=1)
    metrics = [[ConnectionSparsity], [SynapticOperations, ActivationSparsity]]
    with torch.no_grad():
        found = Benchmark(model, loader, [], [], metrics).run(verbose=False, quiet=True)
    total = measure_cost(program, counts).total
    operations = found["SynapticOperations"]
    assert operations["Effective_MACs"] == pytest.approx(total.macs)
    assert operations["Effective_ACs"] == pytest.approx(total.acs)
    assert operations["Dense"] == total.dense
    assert found["ActivationSparsity"] == pytest.approx(total.activation_sparsity)
    assert found["ConnectionSparsity"] == pytest.approx(total.connection_sparsity, abs=1e-4)


def test_a_picture_that_is_flattened_first_costs_what_its_counts_cost_as_a_vector() -> None:
    """Pictures enter as current too, and a flatten moves nothing."""
    rng = np.random.default_rng(0)
    layers = dense_program().layers
    first = Layer("flatten")
    weight = rng.integers(-7, 8, (5, 4)).astype(np.int8)
    hidden = replace(layers[0], weight=weight)
    picture = SpikingProgram(
        InputEncoding.image((2, 2, 1)), (first, hidden, layers[1]), 1.0, (2, 3), "ideal"
    )
    vector = replace(
        picture,
        encoding=InputEncoding.over_range([0.0] * 4, [1.0] * 4, bit_width=8),
        layers=(hidden, layers[1]),
    )
    counts = rng.integers(0, 256, (9, 2, 2, 1)).astype(np.uint8)
    ours, theirs = measure_cost(picture, counts), measure_cost(vector, counts.reshape(9, 4))
    assert ours.total == theirs.total
