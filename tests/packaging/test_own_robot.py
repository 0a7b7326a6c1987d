"""The robot of docs/robots.md keeps the rules, and its files are what `rivc drive` takes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from rivc.robot import Command, Faults, check_robot
from rivc.robot.faults import parse
from rivc.robot.ros2 import Ros2Options

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "robots.md").read_text()


class Camera:
    """A webcam as OpenCV opens it."""

    def __init__(self, _: int) -> None:
        self.count = 0

    def grab(self) -> bool:
        self.count += 1
        return True

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.full((48, 64, 3), self.count, np.uint8)


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


def test_the_example_robot_conforms_and_speaks_to_its_wheels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, member in (("cv2", {"VideoCapture": Camera}), ("serial", {"Serial": Port})):
        module = ModuleType(name)
        vars(module).update(member)
        monkeypatch.setitem(sys.modules, name, module)
    [code] = blocks("python", "class MyRobot")
    names: dict[str, Any] = {}
    exec(code, names)
    robot = names["MyRobot"]()
    robot.send(Command(robot.actions.command([3]), 0, 0))
    assert robot.wheels.written == b"-4.000 4.000\n"
    found = check_robot(robot)
    assert found.ok, str(found)
    assert not robot.wheels.is_open


def test_the_example_files_are_read() -> None:
    [ros] = blocks("yaml", "image_topic")
    options = parse(Ros2Options, yaml.safe_load(ros), "docs/robots.md")
    assert options.limits(options.table()).high == (0.4, 2.2)
    [faults] = blocks("yaml", "late_ms")
    assert parse(Faults, yaml.safe_load(faults), "docs/robots.md").schedule[0].kind == "hang"
