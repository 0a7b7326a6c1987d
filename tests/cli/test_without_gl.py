"""Without any OpenGL library everything works on rays, and one line says how to get it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rivc.cli import demo
from rivc.envs.cameras import camera
from rivc.envs.gl import INSTALL, gl_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]

TRACKER = """\
env:
  id: rivc/VisualTracker-v0
  count: 2
  kwargs: {size: 8, camera: auto, video_size: [64, 64]}
  train_episode_steps: 9
net: {conv: [[2, 3, 2]], hidden: [8]}
train: {env_steps: 60, warmup_env_steps: 20, batch_size: 8}
eval: {every_env_steps: 50, episodes: 1}
"""
HIDDEN = """
import ctypes
real = ctypes.CDLL
class Linker(real):
    def __init__(self, name, *rest, **more):
        if any(word in str(name) for word in ("EGL", "OSMesa", "libGL", "glfw")):
            raise OSError(f"{name}: cannot open shared object file")
        super().__init__(name, *rest, **more)
ctypes.CDLL = Linker
"""


@pytest.fixture(autouse=True)
def _without_gl(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setattr("rivc.envs.gl.loads", lambda library: False)
    gl_status.cache_clear()
    camera._tell_once.cache_clear()
    yield
    gl_status.cache_clear()


def test_a_camera_policy_is_trained_evaluated_verified_and_filmed(
    tmp_path: Path, rivc: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config, run, film = tmp_path / "tracker.yaml", tmp_path / "run", tmp_path / "film.gif"
    config.write_text(TRACKER)
    monkeypatch.setattr(demo, "CONFIG", str(config))
    monkeypatch.setattr(demo, "EPISODES", 1)
    result = rivc("demo", "--run", run, "--out", film, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["verify"]["ok"]
    assert facts["video"] == str(film)
    assert film.stat().st_size
    assert sum(INSTALL in message for message in caplog.messages) == 1


def test_doctor_is_content_and_names_the_packages(rivc: Call) -> None:
    result = rivc("doctor", "--json")
    assert result.exit_code == 0
    [check] = [c for c in json.loads(result.stdout)["checks"] if c["name"] == "OpenGL"]
    assert (check["ok"], check["needed"], check["remedy"]) == (False, False, INSTALL)


def test_asking_for_opengl_is_one_line(tmp_path: Path, rivc: Call) -> None:
    (tmp_path / "tracker.yaml").write_text(TRACKER)
    result = rivc("train", tmp_path / "tracker.yaml", "--env.kwargs.camera", "gl")
    assert result.exit_code == 2
    assert INSTALL in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("setting", [None, "disable"])
def test_a_fresh_process_finds_its_way(tmp_path: Path, setting: str | None) -> None:
    code = (
        f"{HIDDEN}\nimport sys; sys.path[:0] = {sys.path}\n"
        "import gymnasium, rivc.envs\n"
        "for spec in rivc.envs.task_specs():\n"
        "    env = gymnasium.make(spec.id, render_mode='rgb_array', video_size=(64, 64))\n"
        "    env.reset(seed=0)\n"
        "    env.step(env.unwrapped.expert_action())\n"
        "    assert env.render().std() > 5\n"
    )
    environment: dict[str, Any] = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"}
    environment |= {"MUJOCO_GL": setting} if setting else {}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert INSTALL in done.stderr
    assert done.stderr.count("\n") == 1
