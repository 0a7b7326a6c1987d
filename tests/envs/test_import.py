"""What importing the package costs, in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import rivc.envs

if TYPE_CHECKING:
    from pathlib import Path


def run(code: str, folder: Path) -> str:
    """Run code in a fresh interpreter, which must stay silent on stderr, and return its output."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        f"import sys; sys.path[:0] = {sys.path}; {code}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_importing_loads_neither_a_simulator_nor_torch(tmp_path: Path) -> None:
    code = "import rivc.envs; print(*{'mujoco', 'torch', 'OpenGL', 'glfw'} & set(sys.modules))"
    assert run(code, tmp_path) == ""


def test_importing_registers_the_tasks(tmp_path: Path) -> None:
    code = "import gymnasium, rivc.envs; print('rivc/VisualTracker-v0' in gymnasium.registry)"
    assert run(code, tmp_path) == "True"


@pytest.mark.gl
def test_a_living_camera_does_not_disturb_the_exit(tmp_path: Path) -> None:
    code = (
        "import gymnasium, rivc.envs; "
        "env = gymnasium.make('rivc/VisualTracker-v0', camera='gl'); env.reset()"
    )
    assert run(code, tmp_path) == ""


@pytest.mark.gl
def test_opengl_works_even_if_mujoco_was_imported_first(tmp_path: Path) -> None:
    code = (
        "import os; os.environ.pop('MUJOCO_GL', None); import mujoco, gymnasium, rivc.envs; "
        "env = gymnasium.make('rivc/VisualTracker-v0', camera='gl'); "
        "print(env.reset(seed=0)[0].mean() > 60)"
    )
    assert run(code, tmp_path) == "True"


def test_the_public_names_are_there_and_sorted() -> None:
    names = rivc.envs.__all__
    assert names == sorted(names)
    assert all(hasattr(rivc.envs, name) for name in names)
