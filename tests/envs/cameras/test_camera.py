"""Which camera an option names."""

from __future__ import annotations

import pytest

from rivc.envs.cameras import GlCamera, RayCamera, camera, open_camera
from rivc.envs.tracker import VisualTracker
from rivc.errors import MissingError

MODEL = VisualTracker(obs_mode="state").model


def test_rays_are_taken_when_asked_for() -> None:
    assert isinstance(open_camera("ray", MODEL, "eye", size=(8, 8)), RayCamera)


@pytest.mark.gl
@pytest.mark.parametrize("kind", ["auto", "gl"])
def test_opengl_is_taken_where_it_works(kind: str) -> None:
    opened = open_camera(kind, MODEL, "eye", size=(8, 8))  # type: ignore[arg-type]
    assert isinstance(opened, GlCamera)
    opened.close()


@pytest.mark.usefixtures("without_gl")
def test_one_line_tells_how_to_get_opengl(caplog: pytest.LogCaptureFixture) -> None:
    camera._tell_once.cache_clear()
    for _ in range(3):
        open_camera("auto", MODEL, "eye", size=(8, 8))
    assert caplog.messages == [
        "rays draw instead of OpenGL: camera='gl' cannot draw: MUJOCO_GL=egl needs libEGL.so.1, "
        "which is not installed; apt-get install libegl1 libgl1 libgl1-mesa-dri, "
        "or use camera='ray'"
    ]


@pytest.mark.usefixtures("without_gl")
def test_rays_stand_in_for_opengl_only_on_auto() -> None:
    assert isinstance(open_camera("auto", MODEL, "eye", size=(8, 8)), RayCamera)
    with pytest.raises(MissingError):
        open_camera("gl", MODEL, "eye", size=(8, 8))
