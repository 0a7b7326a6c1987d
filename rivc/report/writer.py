"""Films on disk: H.264 where ffmpeg is there, an animated GIF or PNG anywhere.

A film is written beside its place and moved there when it is whole, so that a crash leaves the old
file or the new one, never a part.
"""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from rivc.errors import FailedError, UsageError
from rivc.report.theme import glow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Frames = Iterable[NDArray[np.uint8]]
    Writer = Callable[[Path, Frames, float], None]

FALLBACK: Final = ".gif"
INSTALL: Final = "pip install 'rivc[video]'"
SHORTEST_MS: Final = 20  # browsers slow down what is shorter
SWATCH: Final = 64  # pixels across which a colour counts that the first frame may lack

_log = logging.getLogger(__name__)


def film_path(out: Path) -> Path:
    """Return the file that a film meant for `out` goes to.

    It is `out`, unless that is a video and ffmpeg is missing: then it is a GIF beside it, and a
    warning says so.

    Raises:
        UsageError: if no such films are written, or the folder is not there.
    """
    if out.suffix.lower() not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise UsageError(f"cannot write {out}: a film ends in one of {known}")
    if not out.parent.is_dir():
        raise UsageError(f"cannot write {out}: there is no folder {out.parent}")
    if out.is_dir():
        raise UsageError(f"cannot write {out}: it is a folder")
    if out.suffix.lower() != ".mp4" or _has_ffmpeg():
        return out
    instead = out.with_suffix(FALLBACK)
    _log.warning("%s needs imageio-ffmpeg: %s; writing %s instead", out.name, INSTALL, instead)
    return instead


def write_film(path: Path, frames: Frames, fps: float) -> int:
    """Write a film, whole or not at all.

    Args:
        path: ends in ``.mp4``, ``.gif``, ``.png`` or ``.apng``, as `film_path` gives it.
        frames: uint8, [H, W, 3], all of one size, at least one; sides multiples of 16 for ``.mp4``.
        fps: frames a second; a GIF keeps it to the nearest hundredth of a second a frame.

    Returns:
        How many frames were written.

    Raises:
        UsageError: if the file cannot be written.
        FailedError: if writing fails on the way.
    """
    count = 0

    def counted() -> Iterator[NDArray[np.uint8]]:
        nonlocal count
        for frame in frames:
            count += 1
            yield frame

    with _whole(path) as part:
        _WRITERS[path.suffix.lower()](part, counted(), fps)
    return count


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a file to write, which takes the place of `path` in the end or is removed."""
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        part.touch()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield part
        part.replace(path)
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise FailedError(f"the film {path} could not be finished: {reason}") from error
    finally:
        part.unlink(missing_ok=True)


def _write_mp4(path: Path, frames: Frames, fps: float) -> None:
    import imageio_ffmpeg

    first, frames = _peek(frames)
    height, width, _ = first.shape
    written = 0
    stream = imageio_ffmpeg.write_frames(path, (width, height), fps=fps, **_H264)
    with closing(stream):
        stream.send(None)
        for written, frame in enumerate(frames, 1):  # noqa: B007 (used below)
            stream.send(frame.tobytes())
    if _frames_in(path) != written:
        raise FailedError(f"ffmpeg lost frames of {path.name}; is the disk full?")


def _frames_in(path: Path) -> int:
    """How many frames a video holds; 0 if it cannot be read."""
    import imageio_ffmpeg

    try:
        frames, _ = imageio_ffmpeg.count_frames_and_secs(path)
    except RuntimeError:
        return 0
    return int(frames)


def _write_gif(path: Path, frames: Frames, fps: float) -> None:
    duration = max(round(100 / fps) * 10, SHORTEST_MS)
    first, *rest = _indexed(frames)
    first.save(path, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0)


def _write_apng(path: Path, frames: Frames, fps: float) -> None:
    first, *rest = _indexed(frames)
    first.save(path, format="PNG", save_all=True, append_images=rest, duration=1000 / fps, loop=0)


def _indexed(frames: Frames) -> Iterator[Image.Image]:
    """The frames in the colours of the first, those of spike rates, and a few of every kind."""
    first, frames = _peek(frames)
    shades = glow()[np.linspace(0, 255, len(first), dtype=np.intp)]
    sample = np.concatenate([first, shades[:, None].repeat(SWATCH, 1)], axis=1)
    palette = Image.fromarray(sample).quantize(255 - len(_CUBE), Image.Quantize.MEDIANCUT)
    palette.putpalette((palette.getpalette() or []) + _CUBE.ravel().tolist())
    for frame in frames:
        yield Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)


def _peek(frames: Frames) -> tuple[NDArray[np.uint8], Iterator[NDArray[np.uint8]]]:
    """Return the first frame, and all of them."""
    rest = iter(frames)
    first = next(rest)
    return first, chain([first], rest)


def _has_ffmpeg() -> bool:
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return False
    return True


_WRITERS: Final[dict[str, Writer]] = {
    ".mp4": _write_mp4,
    ".gif": _write_gif,
    ".png": _write_apng,
    ".apng": _write_apng,
}
_H264: Final[dict[str, Any]] = {
    "codec": "libx264",
    "quality": None,  # said below, in ffmpeg's own terms
    "output_params": [
        *("-crf", "29"),
        *("-preset", "slow"),
        *("-tune", "animation"),
        *("-movflags", "+faststart"),
    ],
    "ffmpeg_log_level": "error",
}
_CUBE: Final = np.stack(np.meshgrid(*[range(0, 256, 85)] * 3), -1).reshape(-1, 3)
