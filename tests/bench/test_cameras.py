"""The bench of cameras compares what it times, and works in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rivc.envs import gl_status, task_specs

if TYPE_CHECKING:
    from pathlib import Path

QUICK = """
import json, sys
sys.path[:0] = {path}
from dataclasses import asdict
from rivc.bench import run_bench
import rivc.bench.cameras as bench
bench.SIZES, bench.STATES, bench.EFFORT = (32,), 2, dict.fromkeys(bench.EFFORT, (1, 1))
bench.NEAR_ENOUGH = {near_enough}
print(json.dumps(asdict(run_bench("cameras"))))
"""


def run(folder: Path, near_enough: float) -> subprocess.CompletedProcess[str]:
    """Run a short bench in a fresh process, where MuJoCo has not chosen its OpenGL yet."""
    code = QUICK.format(path=sys.path, near_enough=near_enough)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.fixture(autouse=True)
def _gl() -> None:
    if gl_status().backend is None:
        pytest.skip(f"no OpenGL: {gl_status().problem}")


def test_every_task_races_both_cameras_against_both_peers(tmp_path: Path) -> None:
    done = run(tmp_path, near_enough=12.0)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert len(report["races"]) == 4 * len(task_specs())
    assert {race["peer"] for race in report["races"]} == {"stock", "no shadows"}
    assert all(race["ratio"] > 2 for race in report["races"] if race["peer"] == "stock")
    assert sum("frames/s" in fact for fact in report["facts"].values()) == len(task_specs())


def test_a_camera_that_shows_something_else_does_not_race(tmp_path: Path) -> None:
    done = run(tmp_path, near_enough=0.0)
    assert done.returncode != 0
    assert "levels from the stock picture" in done.stderr
