"""Which OpenGL library MuJoCo may draw with, settled before `mujoco` is imported.

MuJoCo reads ``MUJOCO_GL`` once, when it is imported, and without it takes a windowing library that
no headless machine has. Nothing here imports MuJoCo: `choose_backend` only looks for shared
libraries, and `gl_status` draws in a child process, so that a broken driver can neither crash nor
taint the caller.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Final

from rivc.errors import MissingError

LIBRARIES: Final = {
    "egl": ("libEGL.so.1",),
    "osmesa": ("libOSMesa.so.8", "libOSMesa.so.6"),
}
WINDOWED: Final = ("", "glfw", "glx", "enable", "enabled", "on", "true", "1")
SWITCHED_OFF: Final = ("disable", "disabled", "off", "false", "0")
INSTALL: Final = "apt-get install libegl1 libgl1 libgl1-mesa-dri"

_DRAW: Final = """
import mujoco
renderer = mujoco.Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 16, 16)
from OpenGL import GL
print(GL.glGetString(GL.GL_RENDERER).decode())
renderer.close()
"""


@dataclass(frozen=True, slots=True)
class GlStatus:
    """Whether pictures can be drawn with OpenGL here.

    Attributes:
        backend: the value of ``MUJOCO_GL`` that works, ``"native"`` for the system's own, or None.
        renderer: what draws, as the driver calls itself.
        problem: why nothing draws; empty if something does.
        remedy: the command that helps; empty if none is needed.
    """

    backend: str | None
    renderer: str = ""
    problem: str = ""
    remedy: str = ""


def loads(library: str) -> bool:
    """Return whether the dynamic linker finds `library`."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def choose_backend() -> None:
    """Set ``MUJOCO_GL`` to a library that is there, unless the user has set it.

    Without any library the setting is ``disable``: `import mujoco` works and drawing fails, while a
    backend whose library is missing would break the import itself.

    Mesa's software renderer is told to draw in the calling thread (``LP_NUM_THREADS=0``): for the
    small pictures that robots see its worker threads cost twice what they save.
    """
    os.environ.setdefault("LP_NUM_THREADS", "0")
    if os.environ.get("MUJOCO_GL") or sys.platform != "linux":
        return
    found = (name for name, libraries in LIBRARIES.items() if any(map(loads, libraries)))
    os.environ["MUJOCO_GL"] = next(found, "glfw" if _has_display() else "disable")


def missing_library() -> str:
    """Return what visibly keeps MuJoCo from drawing, or an empty string; nothing is drawn."""
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if chosen in SWITCHED_OFF:
        return f"no OpenGL library is in use (MUJOCO_GL={chosen})"
    if chosen in WINDOWED and sys.platform == "linux" and not _has_display():
        return f"MUJOCO_GL={chosen} needs a display, and there is none"
    wanted = LIBRARIES.get(chosen, ())
    if wanted and not any(map(loads, wanted)):
        return f"MUJOCO_GL={chosen} needs {' or '.join(wanted)}, which is not installed"
    return ""


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def no_gl(problem: str) -> MissingError:
    """Return the one error for a picture that OpenGL cannot draw here."""
    return MissingError(f"camera='gl' cannot draw: {problem}; {INSTALL}, or use camera='ray'")


@functools.cache
def gl_status() -> GlStatus:
    """Draw one small picture in a child process and report what drew it, or what is missing."""
    problem = missing_library()
    if problem:
        return GlStatus(None, problem=problem, remedy=INSTALL)
    try:
        with tempfile.TemporaryDirectory() as folder:  # MuJoCo writes its log where it stands
            child = subprocess.run(
                [sys.executable, "-c", _DRAW],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        return GlStatus(None, problem=str(error), remedy=INSTALL)
    if child.returncode:
        last_words = child.stderr.strip().splitlines() or [f"exit code {child.returncode}"]
        return GlStatus(None, problem=last_words[-1], remedy=INSTALL)
    return GlStatus(os.environ.get("MUJOCO_GL") or "native", renderer=child.stdout.strip())
