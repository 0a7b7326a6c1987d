"""The conformance kit finds what a robot does wrong; robots by name; faults from files."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.errors import ConfigError, MismatchError, MissingError, RobotError
from rivc.robot import (
    FAULTS,
    Faults,
    Frame,
    MonotonicClock,
    RobotEnv,
    check_robot,
    load_faults,
    load_robot,
)
from tests.robots import ACTIONS, LIMITS

if TYPE_CHECKING:
    from pathlib import Path

EASY: dict[str, Any] = {"frames": 3, "timeout_s": 0.0, "slack_s": 30.0}


class Good:
    """A robot that keeps every rule."""

    def __init__(self) -> None:
        self.limits, self.actions = LIMITS, ACTIONS
        self.numbers, self.closed = itertools.count(), 0

    def read(self, timeout_s: float) -> Frame | None:
        return Frame(np.zeros(4), MonotonicClock().now_ns(), next(self.numbers))

    def send(self, command: Any) -> None:
        assert command.values.tolist() == list(LIMITS.rest)

    def stop(self) -> None: ...

    def close(self) -> None:
        self.closed += 1


class Reuses(Good):
    buffer = np.zeros(4)

    def read(self, timeout_s: float) -> Frame:
        self.buffer += 1
        return Frame(self.buffer, MonotonicClock().now_ns(), next(self.numbers))


class Repeats(Good):
    def read(self, timeout_s: float) -> Frame:
        return Frame(np.zeros(4), MonotonicClock().now_ns(), 3)


class Changes(Good):
    def read(self, timeout_s: float) -> Frame:
        number = next(self.numbers)
        return Frame(np.zeros(4 + number), MonotonicClock().now_ns(), number)


class WallClock(Good):
    def read(self, timeout_s: float) -> Frame:
        return Frame(np.zeros(4), time.time_ns(), next(self.numbers))


class Blind(Good):
    def read(self, timeout_s: float) -> None:
        return None


class ClosesOnce(Good):
    def close(self) -> None:
        super().close()
        if self.closed > 1:
            raise OSError("already closed")


class CannotStop(Good):
    def stop(self) -> None:
        raise RuntimeError("not connected")


class OneLock(Good):
    """A driver whose stop waits for a camera that blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def read(self, timeout_s: float) -> Frame | None:
        with self.lock:
            time.sleep(0.1)
        return super().read(timeout_s)

    def stop(self) -> None:
        with self.lock:
            super().stop()


class WrongSize(Good):
    def __init__(self) -> None:
        super().__init__()
        self.actions = type(ACTIONS).rows([[0.0]])


class NoLimits(Good):
    def __init__(self) -> None:
        super().__init__()
        self.limits = None  # type: ignore[assignment]


def test_a_robot_that_keeps_every_rule_conforms() -> None:
    robot = Good()
    found = check_robot(robot, **EASY)
    assert found.ok
    found.raise_if_failed()
    assert str(found) == "Good conforms (7 rules, 3 frames)"
    assert robot.closed == 2


@pytest.mark.parametrize(
    ("kind", "rule", "told"),
    [
        (Reuses, "frames", "written to after"),
        (Repeats, "frames", "frame 3 came after frame 3"),
        (Changes, "frames", "(5,)"),
        (WallClock, "frames", "of another clock"),
        (Blind, "frames", "0 frames came in 6 reads"),
        (ClosesOnce, "close twice", "already closed"),
        (CannotStop, "stop from another thread", "not connected"),
        (CannotStop, "stop before anything", "not connected"),
        (OneLock, "stop from another thread", "only when a read that waited did"),
        (WrongSize, "parts", "actions of 1 numbers, limits of 2"),
        (NoLimits, "parts", "not CommandLimits"),
    ],
)
def test_each_wrong_robot_is_found_out(kind: type[Good], rule: str, told: str) -> None:
    found = check_robot(kind(), **EASY)
    assert any(b.rule == rule and told in b.what for b in found.breaches), str(found)
    with pytest.raises(MismatchError, match=f"{kind.__name__} breaks"):
        found.raise_if_failed()


def test_a_robot_that_waits_for_its_camera_and_stops_slowly_conforms() -> None:
    class Serial(Good):
        def read(self, timeout_s: float) -> Frame | None:
            time.sleep(0.1)
            return super().read(timeout_s)

        def stop(self) -> None:
            time.sleep(0.02)

    assert check_robot(Serial(), **EASY).ok


@pytest.mark.parametrize("kind", [NoLimits, WrongSize])
def test_a_robot_that_lacks_parts_is_not_left_open(kind: type[Good]) -> None:
    robot = kind()
    found = check_robot(robot, **EASY)
    assert (found.rules, robot.closed) == (("parts", "close twice"), 2)
    assert {breach.rule for breach in found.breaches} == {"parts"}


def test_a_robot_that_cannot_even_be_closed_is_found_out() -> None:
    found = check_robot(object(), **EASY)  # type: ignore[arg-type]
    assert "no method read, send, stop, close" in str(found)


def test_what_was_found_before_a_robot_raised_is_told_too() -> None:
    class Fails(Repeats):
        def read(self, timeout_s: float) -> Frame:
            if next(self.numbers) == 2:
                raise OSError("the cable is out")
            return super().read(timeout_s)

    told = [breach.what for breach in check_robot(Fails(), **EASY).breaches]
    assert "frame 3 came after frame 3" in told
    assert any("the cable is out" in what for what in told)


def test_a_read_that_does_not_return_in_time_is_found_out() -> None:
    class Slow(Good):
        def read(self, timeout_s: float) -> Frame | None:
            time.sleep(0.02)
            return super().read(timeout_s)

    found = check_robot(Slow(), frames=3, timeout_s=0.0, slack_s=0.01)
    assert {"frames", "read without waiting"} <= {breach.rule for breach in found.breaches}


def make_good(**options: Any) -> Good:
    assert not options
    return Good()


def make_nothing() -> object:
    return object()


def has_no_port() -> Good:
    raise FileNotFoundError("no such device: /dev/ttyUSB9")


def takes_nothing() -> Good:
    return Good()


opened: list[Good] = []


def make_wrong_size(name: str) -> Good:
    """A factory with an option of a common name."""
    opened.append(WrongSize())
    return opened[-1]


def test_a_robot_with_a_wrong_part_is_refused_and_closed() -> None:
    with pytest.raises(ConfigError, match="actions of 1 numbers, limits of 2"):
        load_robot(f"{__name__}:make_wrong_size", name="left")
    assert opened.pop().closed == 1


def test_a_robot_of_ones_own_is_found_by_module_and_factory() -> None:
    assert isinstance(load_robot(f"{__name__}:make_good"), RobotEnv)


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("rsos2", MissingError, "known: mock, ros2, or module:factory"),
        ("no_such_module:make", MissingError, "no_such_module"),
        (f"{__name__}:nothing", MissingError, "nothing"),
        (
            f"{__name__}:make_nothing",
            ConfigError,
            "no method read, send, stop, close; limits is NoneType",
        ),
        (f"{__name__}:has_no_port", RobotError, "does not open: .* /dev/ttyUSB9"),
    ],
)
def test_a_robot_that_cannot_be_opened_is_told_of(
    name: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        load_robot(name)


def test_a_module_that_breaks_on_import_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "robot_with_a_typo.py").write_text("def make(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingError, match="cannot be loaded: invalid syntax"):
        load_robot("robot_with_a_typo:make")


def test_options_that_a_factory_does_not_take_are_told_of() -> None:
    with pytest.raises(ConfigError, match=r"does not take \['port'\]"):
        load_robot(f"{__name__}:takes_nothing", port=3)


def test_faults_have_names_or_come_from_a_file(tmp_path: Path) -> None:
    assert load_faults("rough") is FAULTS["rough"]
    path = tmp_path / "faults.yaml"
    path.write_text("lost: 0.5\nschedule: [{kind: hang, start_s: 1, seconds: 2}]\n")
    found = load_faults(str(path))
    assert (found.lost, found.schedule[0].kind) == (0.5, "hang")
    path.write_text("{}")
    assert load_faults(str(path)) == Faults()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lots: 0.5", "unknown key 'lots'; did you mean 'lost'"),
        ("lost: 1.5", "lost: Input should be less than or equal to 1, got 1.5"),
        ("lost: .nan", "lost"),
        ("schedule: [{kind: sleep, start_s: 1, seconds: 2}]", r"schedule\.0\.kind"),
        ("[1, 2]", "must hold keys and values"),
        ("a: [", "is not YAML"),
        ("[" * 5000, "is not YAML"),
    ],
)
def test_wrong_faults_are_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told) as caught:
        load_faults(str(path))
    assert "\n" not in str(caught.value)


def test_faults_that_are_nowhere_name_the_nearest() -> None:
    with pytest.raises(MissingError, match="did you mean 'rough'"):
        load_faults("rogh")
