"""The script of docs/split.md, run as it stands but for the address and the time."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rivc.neurochip import load_backend
from rivc.robot import ActionTable, Faults, MockParts, MockRobot, MonotonicClock, NoiseWorld
from rivc.split.server import Server
from tests.split.loopback import listening
from tests.split.parts import FOLDER, KEY

if TYPE_CHECKING:
    import pytest

PAGE = Path(__file__).parents[2] / "docs" / "split.md"


class MyRobot(MockRobot):
    """A mock robot that is made without arguments, with the actions of the program."""

    def __init__(self) -> None:
        self.actions = ActionTable.levels([[-1.0, 0.0, 1.0, 2.0]])
        parts = MockParts(self.actions, self.actions.limits(), camera_hz=20.0, faults=Faults())
        super().__init__(NoiseWorld(FOLDER.split.edge.encoding.shape), MonotonicClock(), parts)


def test_the_script_drives_a_robot_over_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [code] = [block for block in blocks if "MyRobot" in block]
    FOLDER.save(tmp_path / "split")
    (tmp_path / "robot.key").write_bytes(KEY + b"\n")
    monkeypatch.chdir(tmp_path)
    module = ModuleType("my_robot")
    module.MyRobot = MyRobot  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_robot", module)
    chip = load_backend("emulator")
    chip.load(FOLDER.split.server)
    server = Server(FOLDER.ladder, lambda counts: chip.infer(counts).readout, FOLDER.identity, KEY)
    names: dict[str, Any] = {}
    with listening(server) as address:
        code = code.replace("udp://SERVER:7447", str(address)).replace("(20, 600,", "(20, 1,")
        exec(compile(code, str(PAGE), "exec"), names)
    assert names["policy"].decisions["present"] > 0
