"""`rivc bench c99`."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rivc.bench import c99
from rivc.bench.fp32 import float_network
from rivc.cli.main import cli


def test_the_peer_has_the_shapes_of_the_program() -> None:
    images = np.random.default_rng(0).integers(256, size=(8, 32, 32, 3)).astype(np.uint8)
    tracker = c99.initial_program(c99.CONTESTS[0], images, (1, 7))
    network = float_network(tracker)
    assert [tuple(p.shape) for p in network.parameters() if p.dim() > 1] == [
        layer.weight.shape for layer in tracker.layers if layer.has_weights
    ]
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


def test_states_come_from_episodes() -> None:
    states, layout = c99.play_at_random(c99.CONTESTS[1], 60)
    assert states.shape == (60, 4)
    assert layout == (1, 2)
    assert len(np.unique(states, axis=0)) == 60


@pytest.mark.slow
def test_c_is_faster_than_torch_by_what_was_promised() -> None:
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler: apt install gcc")
    result = CliRunner().invoke(cli, ["bench", "c99", "--json"])
    assert result.exit_code == 0, result.stderr
    for race in json.loads(result.stdout)["races"]:
        assert race["ratio"] >= (1.5 if "tracker" in race["what"] else 10), race
