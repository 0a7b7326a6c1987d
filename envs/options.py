"""The keyword arguments that every task takes, and the checks that name the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict, get_args

from rivc.envs.disturb.extents import read_difficulty, read_disturbances
from rivc.envs.gl import missing_library, no_gl
from rivc.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rivc.envs.disturb.extents import Disturbances

ObsMode = Literal["rgb", "grey", "depth", "segmentation", "state"]
CameraKind = Literal["auto", "gl", "ray"]


class TaskOptions(TypedDict, total=False):
    """Options of `rivc.envs.base.MujocoTask`, whose docstring explains them."""

    obs_mode: ObsMode
    camera: CameraKind
    size: int
    render_mode: str | None
    video_size: tuple[int, int]
    disturbances: Disturbances | Mapping[str, float] | str | None
    difficulty: float | Sequence[float]


def check_options(options: TaskOptions) -> None:
    """Raise unless every option has a value that it can have here.

    Raises:
        ConfigError: a value is not among the allowed ones.
        MissingError: ``camera="gl"`` without an OpenGL library.
    """
    require_choice("obs_mode", options["obs_mode"], get_args(ObsMode))
    require_choice("camera", options["camera"], get_args(CameraKind))
    require_choice("render_mode", options["render_mode"], (None, "rgb_array"))
    _require_pixels("size", options["size"], lowest=8, highest=1024)
    video_size = options["video_size"]
    if not (isinstance(video_size, (tuple, list)) and len(video_size) == 2):
        raise ConfigError(f"video_size={video_size!r} is not (width, height)")
    for side in video_size:
        _require_pixels("video_size", side, lowest=64, highest=4096, multiple_of=16)
    read_disturbances(options.get("disturbances"))
    read_difficulty(options.get("difficulty", 1.0))
    problem = missing_library()
    if options["camera"] == "gl" and problem:
        raise no_gl(problem)


def require_choice(option: str, value: object, allowed: Sequence[str | int | None]) -> None:
    """Raise `ConfigError` unless an option has one of its values."""
    if value not in allowed:
        names = [name for name in allowed if isinstance(name, str)]
        listed = ", ".join(map(repr, allowed))
        raise ConfigError(f"{option}={value!r} is not one of {listed}{nearest(str(value), names)}")


def _require_pixels(
    option: str, value: object, *, lowest: int, highest: int, multiple_of: int = 1
) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not (is_whole and lowest <= value <= highest and value % multiple_of == 0):  # type: ignore[operator]
        kind = f"a multiple of {multiple_of}" if multiple_of > 1 else "a whole number"
        raise ConfigError(f"{option}: {value!r} is not {kind} from {lowest} to {highest} pixels")
