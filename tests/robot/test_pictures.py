"""Pictures from a wire: every encoding, padded rows, and nothing that is trusted."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.errors import RobotError
from rivc.robot.pictures import CHANNELS, RawPicture, decode, shrink


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    encoding=st.sampled_from(sorted(CHANNELS)),
    padding=st.integers(0, 5),
    rest=st.integers(0, 7),
)
def test_rows_may_be_padded_and_bytes_may_follow(
    size: tuple[int, int], encoding: str, padding: int, rest: int
) -> None:
    channels = len(CHANNELS[encoding])
    sent = np.random.default_rng(padding).integers(0, 256, (*size, channels), np.uint8)
    rows = np.pad(sent.reshape(size[0], -1), ((0, 0), (0, padding)), constant_values=7)
    data = array("B", rows.tobytes() + bytes(rest))
    picture = decode(RawPicture(*size, encoding, rows.shape[1], data))
    wanted = sent[:, :, ::-1] if encoding == "bgr8" else sent
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, wanted)
    data[0] ^= 255
    assert np.array_equal(picture, wanted)  # a picture of its own


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 0},
        {"width": 0},
        {"width": 5},
        {"height": -1},
        {"step": 11},
        {"height": 4},
        {"step": 1 << 40},
        {"height": 1 << 40},
        {"data": b""},
    ],
)
def test_sizes_that_do_not_fit_the_bytes_are_refused(wrong: dict[str, Any]) -> None:
    fields = {"height": 3, "width": 4, "encoding": "rgb8", "step": 12, "data": bytes(36)}
    assert decode(RawPicture(**fields)).shape == (3, 4, 3)
    with pytest.raises(RobotError, match="does not fit"):
        decode(RawPicture(**(fields | wrong)))


def test_another_encoding_is_named_with_those_that_are_known() -> None:
    with pytest.raises(RobotError, match=r"'bgra8'; known: rgb8, bgr8, mono8; did you mean 'bgr8'"):
        decode(RawPicture(1, 1, "bgra8", 4, bytes(4)))


@given(
    size=st.integers(1, 5),
    k=st.integers(1, 4),
    extra=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    channels=st.sampled_from([1, 3]),
)
def test_a_shrunk_pixel_is_the_mean_of_its_block_halves_up(
    size: int, k: int, extra: tuple[int, int], channels: int
) -> None:
    height, width = size * k + min(extra[0], size - 1), size * k + extra[1]
    picture = np.random.default_rng(k).integers(0, 256, (height, width, channels), np.uint8)
    shrunk = shrink(picture, size)
    assert shrunk.shape == (size, size, channels)
    top, left = (height - k * size) // 2, (width - k * size) // 2
    for row, column in np.ndindex(size, size):
        y, x = top + row * k, left + column * k
        block = picture[y : y + k, x : x + k].reshape(-1, channels).astype(int)
        assert shrunk[row, column].tolist() == np.floor(block.mean(0) + 0.5).astype(int).tolist()


def test_a_large_white_picture_stays_white() -> None:
    k = 4105  # 255 k^2 takes more than 32 bits
    assert shrink(np.full((k, k, 1), 255, np.uint8), 1).tolist() == [[[255]]]


def test_a_picture_cannot_be_made_larger() -> None:
    with pytest.raises(RobotError, match="31x64 pixels cannot be shrunk to 32x32"):
        shrink(np.zeros((31, 64, 3), np.uint8), 32)
