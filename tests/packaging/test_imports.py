"""What a robot runs needs numpy alone: no torch, no simulator comes along."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "snntorch", "mujoco", "gymnasium", "numba")
NEEDS_MORE = (  # torch, or numba
    "rivc.quant.qat",
    "rivc.snn_convert.freeze",
    "rivc.neurochip.snntorch",
    "rivc.neurochip.kernels",
    "rivc.codec.loops",
    "rivc.codec.mixing",
    "rivc.quant.lanes",
    "rivc.quant.products",
    "rivc.quant.views",
    "rivc.quant.weighing",
    "rivc.quant.windows",
)
FOLDERS = {
    "rivc.quant": ROOT / "rivc" / "quant",
    "rivc.snn_convert": ROOT / "snn_convert",
    "rivc.codec": ROOT / "rivc" / "codec",
    "rivc.neurochip": ROOT / "neurochip",
    "rivc.robot": ROOT / "rivc" / "robot",
    "rivc.split": ROOT / "rivc" / "split",
}


def modules() -> list[str]:
    """Every module of the packages that a robot runs, by its public name."""
    found = ["rivc", "rivc.errors", "rivc.compiled"]
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found.append(".".join(part for part in parts if part != "__init__"))
    return found


IS_MISSING = () if find_spec("akida") else ("rivc.neurochip.akida",)  # an extra of its own
ROBOT_SIDE = [
    name for name in modules() if not name.startswith(NEEDS_MORE) and name not in IS_MISSING
]


def run(code: str) -> str:
    """Run code in a fresh process and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_list_of_modules_is_not_empty_by_mistake() -> None:
    assert len(ROBOT_SIDE) > 15
    assert {"rivc.quant.pack", "rivc.snn_convert.storage", "rivc.neurochip.emulator"} <= set(
        ROBOT_SIDE
    )


def test_the_contract_on_imports_names_every_module_that_a_robot_runs() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    [named] = [c["source_modules"] for c in contracts if c["name"].startswith("what a robot runs")]
    missing = [
        name
        for name in modules()
        if not name.startswith(NEEDS_MORE[:3])
        and name not in FOLDERS.keys() | {"rivc", "rivc.errors"}
        and not any(name == known or name.startswith(f"{known}.") for known in named)
    ]
    assert not missing


def test_robot_side_modules_load_nothing_heavy() -> None:
    loaded = run(
        f"import importlib, sys\nfor name in {ROBOT_SIDE}: importlib.import_module(name)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert loaded == "[]"


def test_a_program_runs_where_torch_cannot_be_imported() -> None:
    """As on a robot: the heavy packages are not installed at all."""
    path = ROOT / "tests" / "golden" / "conv.npz"
    answer = run(
        f"import sys\nfor name in {HEAVY}: sys.modules[name] = None\n"
        "import numpy as np\n"
        "from rivc.snn_convert import SpikingProgram, reference\n"
        "from rivc.neurochip import backend_names, load_backend\n"
        f"program = SpikingProgram.load({str(path)!r})\n"
        "chip = load_backend('emulator'); chip.load(program)\n"
        "x = program.encode(np.full((3, 7, 6, 2), 200, np.uint8))\n"
        "print((chip.infer(x).readout == reference.run(program, x)).all(), backend_names())"
    )
    assert answer == "True ['emulator', 'spiking', 'snntorch', 'akida']"


def test_compiled_loops_that_are_asked_for_need_numba() -> None:
    answer = run(
        "import sys\nsys.modules['numba'] = None\n"
        "from rivc.errors import MissingError\n"
        "from rivc.neurochip import load_backend\n"
        "from rivc.snn_convert import SpikingProgram\n"
        f"program = SpikingProgram.load({str(ROOT / 'tests' / 'golden' / 'dense.npz')!r})\n"
        "try: load_backend('emulator', compiled=True).load(program)\n"
        "except MissingError as error: print(error)"
    )
    assert "pip install 'rivc[fast]'" in answer


def test_a_numba_that_does_not_work_is_done_without() -> None:
    """As where it finds no folder that it can write to."""
    answer = run(
        "import numba\n"
        "def njit(**options): raise RuntimeError('no locator')\n"
        "numba.njit = njit\n"
        "from rivc.neurochip import load_backend\n"
        "from rivc.snn_convert import SpikingProgram\n"
        f"program = SpikingProgram.load({str(ROOT / 'tests' / 'golden' / 'dense.npz')!r})\n"
        "load_backend('emulator').load(program); print('runs')"
    )
    assert answer == "runs"


def test_snntorch_is_missing_where_torch_is() -> None:
    answer = run(
        f"import sys\nfor name in {HEAVY}: sys.modules[name] = None\n"
        "from rivc.errors import MissingError\n"
        "from rivc.neurochip import load_backend\n"
        "try: load_backend('snntorch')\n"
        "except MissingError as error: print(error)"
    )
    assert "pip install 'rivc[train]'" in answer


@pytest.mark.parametrize("package", sorted(FOLDERS))
def test_the_public_names_of_a_package_exist(package: str) -> None:
    answer = run(f"import {package} as p; print([n for n in p.__all__ if not hasattr(p, n)])")
    assert answer == "[]"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    answer = run(
        "import rivc.snn_convert\n"
        "try: rivc.snn_convert.conver\n"
        "except AttributeError as error: print(error)"
    )
    assert "rivc.snn_convert" in answer
