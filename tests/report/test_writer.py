"""Films on disk: whole or not there, and what they hold."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from rivc.errors import FailedError, UsageError
from rivc.report.writer import film_path, write_film

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    PlayVideo = Callable[[Path], Any]

SUFFIXES = (".mp4", ".gif", ".png", ".apng")


def moving(count: int) -> Iterator[NDArray[np.uint8]]:
    """A red square on its way to the right."""
    for i in range(count):
        frame = np.full((48, 64, 3), 20, np.uint8)
        frame[16:32, 4 * i : 4 * i + 16] = (200, 30, 30)
        yield frame


def breaking() -> Iterator[NDArray[np.uint8]]:
    yield from moving(3)
    raise OSError(5, "the camera came off")


@pytest.mark.parametrize("suffix", [".gif", ".png", ".apng"])
def test_animations_hold_every_frame_and_their_rate(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    assert write_film(path, moving(7), fps=25) == 7
    with Image.open(path) as film:
        assert film.n_frames == 7
        assert film.size == (64, 48)
        film.seek(6)
        film.load()
        assert film.info["duration"] == 40
        last = film.convert("RGB")
    np.testing.assert_allclose(last.getpixel((32, 24)), (200, 30, 30), atol=4)
    np.testing.assert_allclose(last.getpixel((20, 24)), (20, 20, 20), atol=4)


def test_videos_hold_every_frame_and_their_rate(tmp_path: Path, play_video: PlayVideo) -> None:
    path = tmp_path / "film.mp4"
    assert write_film(path, moving(7), fps=10) == 7
    video = play_video(path)
    assert "h264" in video.stream
    assert "yuv420p" in video.stream
    assert " 10 fps" in video.stream
    assert video.frames.shape == (7, 48, 64, 3)
    np.testing.assert_allclose(video.frames[6][24, 32], (200, 30, 30), atol=25)


def test_a_gif_has_the_colours_that_come_later(tmp_path: Path) -> None:
    first = np.full((48, 64, 3), 20, np.uint8)
    second = first.copy()
    second[:, 32:] = (0, 160, 160)
    write_film(tmp_path / "film.gif", [first, second], fps=10)
    with Image.open(tmp_path / "film.gif") as film:
        film.seek(1)
        np.testing.assert_allclose(film.convert("RGB").getpixel((50, 20)), (0, 170, 170), atol=20)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_film_that_fails_midway_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    if suffix == ".mp4":
        pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / f"film{suffix}"
    path.write_bytes(b"an older film")
    with pytest.raises(FailedError, match="the camera came off"):
        write_film(path, breaking(), fps=10)
    assert path.read_bytes() == b"an older film"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["film.avi", "film", "film.mp4.txt"])
def test_an_unknown_ending_names_those_there_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.mp4, \.gif, \.png, \.apng"):
        film_path(tmp_path / name)


def test_endings_may_be_in_capitals(tmp_path: Path) -> None:
    assert write_film(film_path(tmp_path / "FILM.GIF"), moving(2), fps=10) == 2


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere"):
        film_path(tmp_path / "nowhere" / "film.gif")


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "film.gif").mkdir()
    with pytest.raises(UsageError, match="it is a folder"):
        film_path(tmp_path / "film.gif")


def test_without_ffmpeg_a_gif_is_written_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with caplog.at_level(logging.WARNING):
        path = film_path(tmp_path / "film.mp4")
    assert path == tmp_path / "film.gif"
    (line,) = caplog.messages
    assert str(path) in line
    assert "pip install 'rivc[video]'" in line
