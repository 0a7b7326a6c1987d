"""The fp32 network beside a program: same shapes, and times that a clock gave."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rivc.bench.fp32 import float_network, time_side_by_side
from rivc.nets import build_network
from rivc.snn_convert import SpikingProgram, convert
from tests.programs import random_counts


def as_torch(counts: np.ndarray) -> torch.Tensor:
    x = torch.from_numpy(counts).float()
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


def test_every_layer_has_the_shape_of_the_programs(
    program: SpikingProgram, rng: np.random.Generator
) -> None:
    x = as_torch(random_counts(program, rng, 3))
    sizes = [int(x[0].numel())]
    for module in float_network(program):
        x = module(x)
        if not isinstance(module, torch.nn.ReLU | torch.nn.ZeroPad2d):
            sizes.append(x[0].numel())
    assert sizes == [int(np.prod(shape)) for shape in program.shapes]


def test_a_same_convolution_needs_no_layer_of_its_own_for_padding() -> None:
    net = build_network("conv", input_shape=(8, 8, 3), action_layout=(1, 2), conv=((4, 3, 2),))
    modules = list(float_network(convert(net)))
    assert not any(isinstance(module, torch.nn.ZeroPad2d) for module in modules)


@pytest.mark.parametrize("threads", [1, 2])
def test_times_are_measured_and_the_threads_are_put_back(
    threads: int, program: SpikingProgram, rng: np.random.Generator
) -> None:
    torch.set_num_threads(threads)
    rows = time_side_by_side(program, random_counts(program, rng, 3), repeats=20)
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    for row in rows:
        assert row.kind == "measured"
        assert row.energy is None
        assert row.spread is not None
        assert row.latency is not None
        assert 0 < row.spread[0] <= row.latency <= row.spread[1] < 1
