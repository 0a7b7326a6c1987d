"""What options may be, and what is said when they are not."""

from __future__ import annotations

import pytest

from rivc.envs.options import TaskOptions, check_options
from rivc.errors import ConfigError, MissingError

GOOD: TaskOptions = {
    "obs_mode": "rgb",
    "camera": "ray",
    "size": 32,
    "render_mode": None,
    "video_size": (640, 480),
}


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "obs_mode",
            "gray",
            "obs_mode='gray' is not one of 'rgb', 'grey', 'depth', 'segmentation', 'state'; "
            "did you mean 'grey'?",
        ),
        ("camera", "raw", "camera='raw' is not one of 'auto', 'gl', 'ray'; did you mean 'ray'?"),
        (
            "render_mode",
            "rgb",
            "render_mode='rgb' is not one of None, 'rgb_array'; did you mean 'rgb_array'?",
        ),
        ("size", 7, "size: 7 is not a whole number from 8 to 1024 pixels"),
        ("size", 32.0, "size: 32.0 is not a whole number from 8 to 1024 pixels"),
        ("size", True, "size: True is not a whole number from 8 to 1024 pixels"),
        (
            "video_size",
            (640, 470),
            "video_size: 470 is not a multiple of 16 from 64 to 4096 pixels",
        ),
        ("video_size", (640,), "video_size=(640,) is not (width, height)"),
        ("video_size", 640, "video_size=640 is not (width, height)"),
    ],
)
def test_a_wrong_value_is_named_with_the_way_out(option: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_options({**GOOD, option: value})  # type: ignore[misc]
    assert str(caught.value) == message


def test_good_values_pass() -> None:
    check_options(GOOD)


@pytest.mark.usefixtures("without_gl")
def test_asking_for_opengl_without_it_names_the_packages_and_the_way_out() -> None:
    with pytest.raises(MissingError) as caught:
        check_options({**GOOD, "camera": "gl"})
    message = str(caught.value)
    assert "\n" not in message
    assert "apt-get install libegl1 libgl1 libgl1-mesa-dri" in message
    assert "camera='ray'" in message
