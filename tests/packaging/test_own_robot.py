"""The robot of docs/robots.md keeps the rules, and its files are what `rivc drive` takes."""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from rivc.robot import Command, Faults, check_robot
from rivc.robot.faults import parse
from rivc.robot.ros2 import Ros2Options

PAGE = (Path(__file__).parents[2] / "docs" / "robots.md").read_text()


class Camera:
    """A webcam as OpenCV opens it: four pictures wait in its driver, and the oldest comes first."""

    PERIOD_S = 0.05

    def __init__(self, _: int) -> None:
        self.waiting: deque[int] = deque()
        self.start_s, self.taken, self.grabbed = time.monotonic(), 0, 0

    def film(self) -> None:
        """Take the pictures that are due, as far as there is room for them."""
        while self.taken < (time.monotonic() - self.start_s) // self.PERIOD_S:
            self.taken += 1
            if len(self.waiting) < 4:
                self.waiting.append(self.taken)

    def grab(self) -> bool:
        self.film()
        while not self.waiting:
            time.sleep(0.002)
            self.film()
        self.grabbed = self.waiting.popleft()
        return True

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.full((48, 64, 3), self.grabbed, np.uint8)


class Port:
    """A serial port."""

    def __init__(self, _: str) -> None:
        self.is_open, self.written = True, b""

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_open = False


def blocks(language: str, word: str) -> list[str]:
    """The code of the page in which a word stands."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return [code for code in found if word in code]


@pytest.fixture
def my_robot(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The robot of the page, open."""
    for name, member in (("cv2", {"VideoCapture": Camera}), ("serial", {"Serial": Port})):
        module = ModuleType(name)
        vars(module).update(member)
        monkeypatch.setitem(sys.modules, name, module)
    [code] = blocks("python", "class MyRobot")
    names: dict[str, Any] = {}
    exec(code, names)
    return names["MyRobot"]()


def test_the_example_robot_conforms_and_speaks_to_its_wheels(my_robot: Any) -> None:
    robot = my_robot
    robot.send(Command(robot.actions.command([3]), 0, 0))
    assert robot.wheels.written == b"-4.000 4.000\n"
    found = check_robot(robot)
    assert found.ok, str(found)
    assert not robot.wheels.is_open


def test_the_example_robot_sees_what_its_camera_saw_last(my_robot: Any) -> None:
    time.sleep(12 * Camera.PERIOD_S)  # as long as a policy may think
    frame = my_robot.read(1.0)
    assert my_robot.camera.taken - frame.observation.max() <= 2
    assert frame.observation.shape == (32, 32, 3)
    my_robot.close()


def test_the_example_files_are_read() -> None:
    [ros] = blocks("yaml", "image_topic")
    options = parse(Ros2Options, yaml.safe_load(ros), "docs/robots.md")
    assert options.limits(options.table()).high == (0.4, 2.2)
    [faults] = blocks("yaml", "late_ms")
    assert parse(Faults, yaml.safe_load(faults), "docs/robots.md").schedule[0].kind == "hang"
