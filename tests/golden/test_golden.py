"""Programs of earlier days load and act as they did, integer for integer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.neurochip import load_backend
from rivc.snn_convert import SpikingProgram, reference
from rivc.snn_convert.program import greedy
from tests.golden.make import FOLDER, PROGRAMS, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=sorted(PROGRAMS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def vectors(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.vectors.npz", allow_pickle=False) as archive:
        return dict(archive)


def test_a_golden_program_has_its_hash_and_gives_its_integers(name: str) -> None:
    program, stored = SpikingProgram.load(FOLDER / f"{name}.npz"), vectors(FOLDER, name)
    assert program.sha256 == stored["sha256"].tobytes().hex()
    np.testing.assert_array_equal(reference.run(program, stored["inputs"]), stored["readout"])


@pytest.mark.parametrize("backend", ["emulator", "spiking", "snntorch"])
def test_every_chip_gives_the_golden_integers(name: str, backend: str) -> None:
    stored, chip = vectors(FOLDER, name), load_backend(backend)
    chip.load(SpikingProgram.load(FOLDER / f"{name}.npz"))
    np.testing.assert_array_equal(chip.infer(stored["inputs"]).readout, stored["readout"])


def test_the_golden_files_are_those_that_make_golden_writes(name: str, tmp_path: Path) -> None:
    write(tmp_path)
    fresh, stored = vectors(tmp_path, name), vectors(FOLDER, name)
    assert SpikingProgram.load(tmp_path / f"{name}.npz") == SpikingProgram.load(
        FOLDER / f"{name}.npz"
    )
    assert fresh.keys() == stored.keys()
    for key, array in fresh.items():
        np.testing.assert_array_equal(array, stored[key])


def test_the_golden_readouts_hold_ties_and_every_action() -> None:
    readout = vectors(FOLDER, "ties")["readout"]
    top = readout.max(-1, keepdims=True)
    assert ((readout == top).sum(-1) > 1).any()
    assert set(greedy(readout).ravel().tolist()) == {0, 1}


def test_the_golden_membranes_hold_ties() -> None:
    program = PROGRAMS["ties"]()
    first, inputs = program.layers[0], vectors(FOLDER, "ties")["inputs"].astype(np.int64)
    v_mem = (reference.weighted(first, inputs) << first.frac_bits) + first.bias
    halfway = (v_mem + first.threshold // 2) % first.threshold == 0
    assert 0.2 < halfway.mean() < 0.8
