"""`rivc envs`, `rivc backends` and `rivc doctor`."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rivc.cli import doctor, packages
from rivc.cli.main import exit_code
from rivc.cli.output import table
from rivc.envs import task_specs
from rivc.envs.exposure import Exposure
from rivc.neurochip.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from click.testing import Result
    from numpy.typing import NDArray

    from rivc.neurochip import Inference

    Call = Callable[..., Result]


def test_envs_lists_the_registered_tasks(rivc: Call) -> None:
    facts = json.loads(rivc("envs", "--json").stdout)
    ids = [spec["id"] for spec in facts["envs"]]
    assert "rivc/VisualTracker-v0" in ids
    text = rivc("envs").stdout
    assert all(name in text for name in ids)
    assert ["actions=5", "1", "x", "5"] in [line.split()[:4] for line in text.splitlines()]


def test_envs_measures_its_pictures(rivc: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rivc.envs.exposure.EPISODES", 1)
    monkeypatch.setattr("rivc.envs.exposure.STEPS", 2)
    facts = json.loads(rivc("envs", "--check", "--json").stdout)
    assert {e["env_id"] for e in facts["exposures"]} == {spec.id for spec in task_specs()}
    assert all(exposure["ok"] for exposure in facts["exposures"])

    monkeypatch.setattr("rivc.envs.exposure.expose", lambda *of: Exposure(*of, 0.0, 0.5))
    result = rivc("envs", "--check")
    assert result.exit_code == 1
    assert "black" in result.stdout.splitlines()[0]
    assert "of the pictures is black or white: rivc/" in result.stderr
    assert result.stderr.count("\n") == 1


def test_backends_tells_what_installs_a_missing_one(
    rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rivc.neurochip.registry.find_spec", lambda _: None)
    rows = {row["name"]: row for row in json.loads(rivc("backends", "--json").stdout)["backends"]}
    assert rows["emulator"]["installed"]
    assert not rows["snntorch"]["installed"]
    assert rows["snntorch"]["remedy"] == "pip install 'rivc[train]'"
    assert "pip install 'rivc[train]'" in rivc("backends").stdout


def test_a_chip_is_proved_by_name(rivc: Call) -> None:
    result = rivc("backends", "--check", "emulator", "--programs", 3, "--states", 8)
    assert result.exit_code == 0
    assert result.stdout.startswith("emulator conforms (profile ideal, seed 0)\n")
    facts = json.loads(rivc("backends", "--check", "emulator", "--programs", 3, "--json").stdout)
    assert facts["ok"]
    assert facts["programs"] == {"mlp": 1, "conv": 1, "pool": 1}


def test_the_programs_that_a_chip_has_run_are_told(rivc: Call, working: list[str]) -> None:
    assert rivc("backends", "--check", "emulator", "--programs", 3, "--states", 8).exit_code == 0
    assert working[0] == "checking emulator"
    assert len(working) == 1 + 3
    assert all("-> dense" in program for program in working[1:])


class OffByOne(Emulator):
    """A chip that is wrong."""

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        result = super().infer(counts)
        return replace(result, readout=result.readout + 1)


def test_a_wrong_chip_leaves_with_one(rivc: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rivc.neurochip.emulator.Emulator", OffByOne)
    result = rivc("backends", "--check", "emulator", "--programs", 3, "--json")
    assert result.exit_code == 1
    assert not json.loads(result.stdout)["ok"]
    assert result.stderr.startswith("rivc: emulator does not conform (0 rules broken, 3 programs")
    assert result.stderr.count("\n") == 1


def test_doctor_is_content_where_training_works(rivc: Call) -> None:
    result = rivc("doctor", "--json")
    facts = json.loads(result.stdout)
    assert result.exit_code == 0
    assert facts["ok"]
    names = {check["name"] for check in facts["checks"]}
    assert {"python", "torch", "snntorch", "OpenGL", "ffmpeg", "working folder"} <= names


def test_doctor_tells_that_its_folder_is_gone(
    rivc: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    result = rivc("doctor")
    assert result.exit_code == 1
    assert "cd to a folder of yours" in result.stdout


def test_doctor_names_what_is_missing_and_the_remedy(
    rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(packages.EXTRAS, "train", (*packages.EXTRAS["train"], "no-such-package"))
    result = rivc("doctor")
    assert result.exit_code == 1
    [row] = [line for line in result.stdout.splitlines() if line.startswith("no-such-package")]
    assert row.split(maxsplit=2)[1:] == ["missing", "pip install 'rivc[train]'"]
    assert result.stderr == "rivc: training does not work here: no-such-package missing\n"


def test_doctor_knows_every_package_of_the_extras() -> None:
    text = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = text["optional-dependencies"]
    asked = {name: {re.split(r"[>\[;]", entry)[0] for entry in of} for name, of in extras.items()}
    known = {name for names in packages.EXTRAS.values() for name in names}
    for extra in asked.keys() - {"dev", "docs", "nir-readers"}:
        assert asked[extra] - known <= {"rivc", "imageio-ffmpeg"}, extra  # looked for by itself
        assert {*packages.EXTRAS.get(extra, ())} <= asked[extra], extra
    based = {re.split(r"[>\[;]", entry)[0].lower() for entry in text["dependencies"]}
    assert based == {name.lower() for name in packages.BASE}


@pytest.mark.parametrize(
    ("module", "extra"),
    [("torch", "train"), ("jinja2", "train"), ("threadpoolctl", "train"), ("optuna", "tune")],
)
def test_a_package_that_is_missing_is_told_with_the_command_that_installs_it(
    capsys: pytest.CaptureFixture[str], module: str, extra: str
) -> None:
    def work() -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    assert exit_code(work) == 2
    told = f"rivc: {module} is not installed: pip install 'rivc[{extra}]'\n"
    assert capsys.readouterr().err == told


def test_a_module_that_nobody_knows_is_a_defect(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise ModuleNotFoundError("No module named 'mine'", name="mine")

    assert exit_code(work) == 1
    assert "unexpected ModuleNotFoundError" in capsys.readouterr().err


def test_doctor_tells_whether_bytes_are_multiplied_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lanes_of = pytest.importorskip("rivc.quant.lanes")
    for lanes, found in ((16, "VNNI, 512 bits"), (0, "not in this processor; floats do")):
        monkeypatch.setattr(lanes_of, "instruction_lanes", lambda lanes=lanes: lanes)
        [check] = [c for c in doctor.examine() if c.name == "byte products"]
        assert (check.found, check.ok, check.needed) == (found, lanes > 0, False)


def test_a_table_leaves_empty_columns_out() -> None:
    text = table(["a", "b", "c"], [["1", "", "x"], ["22", "", "y"]], right=["a"])
    assert text.splitlines()[1:] == [" 1  x", "22  y"]
