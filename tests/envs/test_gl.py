"""Choosing an OpenGL library, and telling what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rivc.envs import gl

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _fresh_status() -> Iterator[None]:
    gl.gl_status.cache_clear()
    yield
    gl.gl_status.cache_clear()


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(sys, "platform", "linux")


def install(monkeypatch: pytest.MonkeyPatch, *libraries: str) -> None:
    monkeypatch.setattr(gl, "loads", lambda library: library in libraries)


@pytest.mark.parametrize(
    ("libraries", "backend"),
    [
        (("libEGL.so.1", "libOSMesa.so.8"), "egl"),
        (("libOSMesa.so.8",), "osmesa"),
        (("libOSMesa.so.6",), "osmesa"),
        ((), "disable"),
    ],
)
def test_the_first_library_that_loads_is_chosen(
    monkeypatch: pytest.MonkeyPatch, undecided: None, libraries: tuple[str, ...], backend: str
) -> None:
    install(monkeypatch, *libraries)
    gl.choose_backend()
    assert os.environ["MUJOCO_GL"] == backend


def test_a_display_without_libraries_gets_a_window(
    monkeypatch: pytest.MonkeyPatch, undecided: None
) -> None:
    install(monkeypatch)
    monkeypatch.setenv("DISPLAY", ":0")
    gl.choose_backend()
    assert os.environ["MUJOCO_GL"] == "glfw"


def test_the_users_choice_stands(monkeypatch: pytest.MonkeyPatch, undecided: None) -> None:
    install(monkeypatch, "libEGL.so.1")
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    gl.choose_backend()
    assert os.environ["MUJOCO_GL"] == "osmesa"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("egl", "libEGL.so.1"),
        ("osmesa", "libOSMesa.so.8 or libOSMesa.so.6"),
        ("disable", "no OpenGL library is in use"),
        ("glfw", "MUJOCO_GL=glfw needs a display"),
    ],
)
def test_a_missing_library_is_named(
    monkeypatch: pytest.MonkeyPatch, undecided: None, setting: str, words: str
) -> None:
    install(monkeypatch)
    monkeypatch.setenv("MUJOCO_GL", setting)
    status = gl.gl_status()
    assert status.backend is None
    assert words in status.problem
    assert status.remedy == "apt-get install libegl1 libgl1 libgl1-mesa-dri"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise RuntimeError('no driver')", "RuntimeError: no driver"),
        ("import os; os.abort()", "exit code -6"),
    ],
)
def test_a_broken_driver_is_reported_not_met(
    monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    monkeypatch.setattr(gl, "missing_library", lambda: "")
    monkeypatch.setattr(gl, "_DRAW", code)
    assert gl.gl_status().problem == words


def test_a_driver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("python", 60)

    monkeypatch.setattr(gl, "missing_library", lambda: "")
    monkeypatch.setattr(subprocess, "run", hang)
    assert "timed out" in gl.gl_status().problem


@pytest.mark.gl
def test_what_works_is_named() -> None:
    status = gl.gl_status()
    assert status.backend in {"egl", "osmesa", "glfw", "native"}
    assert status.renderer
    assert not status.problem
