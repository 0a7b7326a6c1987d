"""The wheel that users install: every module of the tree, under one name, with the configs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INNER = ("envs", "snn_convert", "neurochip", "configs")  # at the top of the tree, under rivc inside


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel that was built from the sdist."""
    for package in ("build", "hatchling"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'rivc[dev]'")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def tree(pattern: str) -> set[str]:
    """Files of the tree by the place they take in the wheel."""
    folders = {f"rivc/{name}": ROOT / name for name in INNER} | {"rivc": ROOT / "rivc"}
    return {
        f"{place}/{path.relative_to(folder).as_posix()}"
        for place, folder in folders.items()
        for path in folder.rglob(pattern)
        if "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_module_of_the_tree_and_no_other(wheel: set[str]) -> None:
    assert {name for name in wheel if name.endswith(".py")} == tree("*.py")


def test_the_only_top_level_name_is_rivc(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rivc"}


def test_the_configs_and_the_type_marker_are_inside(wheel: set[str]) -> None:
    assert tree("*.yaml")
    assert tree("*.yaml") <= wheel
    assert "rivc/py.typed" in wheel


def test_no_test_and_no_cache_is_inside(wheel: set[str]) -> None:
    folders = {part for name in wheel for part in Path(name).parts[:-1]}
    assert not folders & {"tests", "__pycache__"}
