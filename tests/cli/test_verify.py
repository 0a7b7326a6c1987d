"""`rivc export` and `rivc verify`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.neurochip.compare import BATCH
from rivc.neurochip.export import save_compressed
from rivc.snn_convert import SpikingProgram, reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]


def test_an_export_holds_what_the_contract_says(exported: Path, trained: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text())
    program = SpikingProgram.load(exported / "program.npz")
    assert manifest["format"] == "program"
    assert manifest["program_sha256"] == program.sha256
    assert manifest["versions"]["rivc"]
    assert program.sha256 == SpikingProgram.load(trained / "best" / "program.npz").sha256
    with np.load(exported / "golden.npz") as golden:
        assert golden["inputs"].dtype == np.uint8
        assert golden["inputs"].shape[1:] == (4,)
        assert golden["readout"].dtype == np.int64
        assert golden["readout"].shape == (len(golden["inputs"]), 1, 2)
        assert len(golden["inputs"]) >= 256


def test_every_form_of_an_export_is_replayed(exported: Path, rivc: Call) -> None:
    result = rivc("verify", exported, "--states", 10, "--json")
    facts = json.loads(result.stdout)
    assert result.exit_code == 0
    assert facts["ok"]
    assert facts["first_difference"] is None
    states = facts["golden_states"] + 10
    same = {"states": states, "mismatches": 0}
    assert facts["forms"] == {"reference": same, "emulator": same, "snntorch": same}


def test_a_run_adds_its_fpnn(trained: Path, rivc: Call) -> None:
    result = rivc("verify", trained, "--states", 10)
    assert result.exit_code == 0
    rows = [line.split("  ")[0] for line in result.stdout.splitlines()]
    assert rows[1:5] == [
        "FPNN",
        "program (int64 reference)",
        "program (emulator)",
        "spiking chip (snntorch)",
    ]
    assert rows[-1].endswith("every integer equal")


@pytest.fixture
def largest_batch(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many states the reference is given at once."""
    sizes: list[int] = []
    trace = reference.trace

    def spy(program: SpikingProgram, counts: np.ndarray) -> list[np.ndarray]:
        sizes.append(len(counts))
        return trace(program, counts)

    monkeypatch.setattr(reference, "trace", spy)
    return sizes


@pytest.mark.parametrize("verb", ["verify", "cost"])
def test_any_number_of_states_is_run_in_batches(
    verb: str, exported: Path, rivc: Call, largest_batch: list[int]
) -> None:
    assert rivc(verb, exported, "--states", 300).exit_code == 0
    assert max(largest_batch) == BATCH


def test_no_random_states_leave_the_golden_vectors(exported: Path, rivc: Call) -> None:
    facts = json.loads(rivc("verify", exported, "--states", 0, "--json").stdout)
    assert facts["forms"]["reference"]["states"] == facts["golden_states"]


@pytest.mark.parametrize("layer", [0, 1])
def test_one_broken_weight_fails_and_names_the_first_different_integer(
    layer: int, export: Path, rivc: Call
) -> None:
    break_weight(export / "program.npz", layer)
    result = rivc("verify", export, "--json")
    facts = json.loads(result.stdout)
    assert result.exit_code == 1
    assert not facts["ok"]
    assert all(form["mismatches"] for form in facts["forms"].values())
    first = facts["first_difference"]
    assert first["form"] == "reference"
    assert first["got"] != first["expected"]
    [line] = result.stderr.splitlines()
    assert line.startswith("rivc: reference differs in ")
    where = f"state {first['state']}, readout {first['readout']}"
    assert f"{where}: got {first['got']}, expected {first['expected']}" in line


def break_weight(path: Path, layer: int) -> None:
    """Move one weight of a program file by one step on its grid."""
    broken(SpikingProgram.load(path), layer).save(path)


def broken(program: SpikingProgram, layer: int) -> SpikingProgram:
    """Move one weight by one step on its grid."""
    weight = program.layers[layer].weight.copy()
    weight[0, 0] += -1 if weight[0, 0] > 0 else 1
    layers = list(program.layers)
    layers[layer] = replace(layers[layer], weight=weight)
    return replace(program, layers=tuple(layers))


def test_an_exchanged_program_fails_even_if_its_integers_are_equal(
    export: Path, rivc: Call
) -> None:
    program = SpikingProgram.load(export / "program.npz")
    replace(program, readout_scale=2 * program.readout_scale).save(export / "program.npz")
    result = rivc("verify", export, "--states", 0)
    assert result.exit_code == 1
    assert "is not the program of the manifest" in result.stderr


def test_a_network_that_is_not_its_programs_fails(run: Path, rivc: Call) -> None:
    break_weight(run / "best" / "program.npz", 1)
    result = rivc("verify", run, "--states", 0)
    assert result.exit_code == 1
    assert result.stderr.startswith("rivc: fpnn differs in ")


def test_a_form_that_is_missing_hides_no_other(
    trained: Path, tmp_path: Path, rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "c99"
    words = ("--format", "c99", "--compress", "--out", out)
    assert rivc("export", trained, *words).exit_code == 0
    program = SpikingProgram.load(out / "program.npz")
    monkeypatch.setenv("PATH", str(tmp_path))  # no compiler
    facts = json.loads(rivc("verify", out, "--states", 0, "--json").stdout)
    assert facts["forms"]["compressed"]["mismatches"] == 0
    assert "c99" not in facts["forms"]
    save_compressed(broken(program, 1), out / "program.rvw")
    result = rivc("verify", out, "--states", 0)
    assert result.exit_code == 1
    assert "not every form is compared: no C compiler" in result.stderr
    assert "rivc: compressed differs in " in result.stderr


@pytest.mark.parametrize("words", [["verify"], ["drive", "--robot", "mock"]])
def test_an_export_has_no_other_policy(words: list[object], exported: Path, rivc: Call) -> None:
    result = rivc(words[0], exported, *words[1:], "--policy", "best")
    assert result.exit_code == 2
    assert "is one program; leave out --policy" in result.stderr


def test_an_export_can_be_replaced_by_another(export: Path, trained: Path, rivc: Call) -> None:
    before = (export / "golden.npz").read_bytes()
    (export / "golden.npz").write_bytes(b"old")
    assert rivc("export", trained, "--out", export).exit_code == 0
    assert (export / "golden.npz").read_bytes() == before
    assert [path.name for path in export.parent.iterdir() if path.name.startswith(".")] == []
