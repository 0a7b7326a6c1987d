"""Skips what needs OpenGL where there is none."""

from __future__ import annotations

import pytest

from rivc.envs import gl_status


@pytest.fixture(autouse=True)
def _skip_without_gl(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gl") and gl_status().backend is None:
        pytest.skip(f"no OpenGL: {gl_status().problem}")


@pytest.fixture
def without_gl(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the linker finds no OpenGL library."""
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setattr("rivc.envs.gl.loads", lambda library: False)
