"""What a picture is, and its grey form."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from rivc.envs.picture import depth_levels, picture_shape, to_grey


def test_grey_stays_grey() -> None:
    levels = np.arange(256, dtype=np.uint8)
    picture = np.repeat(levels, 3).reshape(16, 16, 3)
    np.testing.assert_array_equal(to_grey(picture)[..., 0].ravel(), levels)


def test_green_is_brighter_than_red_and_red_than_blue() -> None:
    red, green, blue = to_grey(255 * np.eye(3, dtype=np.uint8)[None]).ravel()
    assert green > red > blue


@pytest.mark.parametrize(
    ("space", "shape"),
    [
        (spaces.Box(0, 255, (32, 24, 3), np.uint8), (32, 24, 3)),
        (spaces.Box(0, 255, (8, 8, 1), np.uint8), (8, 8, 1)),
        (spaces.Box(0, 255, (3, 32, 32), np.uint8), None),
        (spaces.Box(0, 255, (32, 32), np.uint8), None),
        (spaces.Box(0, 1, (32, 32, 3), np.float32), None),
        (spaces.Discrete(3), None),
    ],
)
def test_pictures_are_bytes_with_one_or_three_channels_last(
    space: spaces.Space[object], shape: tuple[int, int, int] | None
) -> None:
    assert picture_shape(space) == shape


def test_depth_is_bright_where_near_and_zero_where_far_or_nothing() -> None:
    depth_m = np.array([[0.5, 1.0, 1.5, 3.0, 5.0, 9.0, np.inf]])
    assert depth_levels(depth_m, (1.0, 5.0))[0, :, 0].tolist() == [255, 255, 223, 128, 0, 0, 0]


def test_depth_is_the_same_picture_by_picture_and_in_a_batch() -> None:
    depth_m = np.random.default_rng(0).uniform(0, 6, (3, 4, 5))
    singly = [depth_levels(one, (0.0, 4.0)) for one in depth_m]
    np.testing.assert_array_equal(depth_levels(depth_m, (0.0, 4.0)), singly)
