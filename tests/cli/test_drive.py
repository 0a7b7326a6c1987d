"""`rivc drive`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rivc.cli import driving
from rivc.cli.drive import _why_stopped
from rivc.cli.driving import ending_gently
from rivc.neurochip.export import load_export
from rivc.robot.clock import SECOND_NS
from rivc.robot.watchdog import Stop
from rivc.train import load_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from rivc.robot import MockRobot

    Call = Callable[..., Result]

STAGES = ["read", "encode", "infer", "send", "capture to command"]
QUICK = ("--robot", "mock", "--simulated", "--seconds", 8)

ROBOT = '''\
"""A robot that writes into a file what it is told."""

import time
from itertools import count

import numpy as np

from rivc.robot import ActionTable, CommandLimits, Frame


class Robot:
    limits = CommandLimits(low=(-1.0,), high=(1.0,), rate=(10.0,))
    actions = ActionTable.rows([[-1.0], [1.0]])

    def __init__(self, path):
        self.log, self.numbers = open(path, "w", buffering=1), count()

    def read(self, timeout_s):
        return Frame(np.zeros(4), time.monotonic_ns(), next(self.numbers))

    def send(self, command):
        print("send", command.values[0], file=self.log)

    def stop(self):
        print("stop", file=self.log)

    def close(self):
        print("close", file=self.log)
'''


def test_a_run_drives_its_own_task_on_a_mock_robot(trained: Path, rivc: Call) -> None:
    result = rivc("drive", trained, *QUICK, "--rate", 50, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["world"] == "CartPole-v1"
    assert facts["slots"] == 400
    assert facts["commands"] == 396
    assert (facts["missed_deadlines"], facts["frameless"], facts["watchdog_stops"]) == (0, 0, 0)
    assert facts["withheld"] == 4
    assert list(facts["latency_ms"]) == STAGES
    assert 5 <= facts["latency_ms"]["read"]["p50"] <= facts["latency_ms"]["read"]["max"] <= 6
    assert facts["latency_ms"]["infer"]["count"] == 400
    assert facts["jitter_ms"]["max"] == 0
    assert facts["watchdog"] == {"frame_ms": 80.0, "decision_ms": 20.0, "recovery": 5}
    assert facts["episodes"] > 0
    assert facts["return_mean"] > 1
    assert facts["unfinished_steps"] >= 0
    assert facts["rest_action"] == [0]
    manifest = json.loads((trained / "manifest.json").read_text())
    assert facts["program_sha256"] == manifest["best_program_sha256"]


def test_equal_seeds_give_equal_drives(trained: Path, rivc: Call) -> None:
    def drive(seed: int) -> dict[str, Any]:
        words = (*QUICK, "--faults", "rough", "--rate", 50, "--seed", seed, "--json")
        facts: dict[str, Any] = json.loads(rivc("drive", trained, *words).stdout)
        del facts["latency_ms"]["encode"], facts["latency_ms"]["infer"]  # this machine's
        return facts

    assert drive(1) == drive(1)
    assert drive(1)["return_mean"] != drive(2)["return_mean"]


def test_a_hung_camera_is_told_with_its_time(trained: Path, rivc: Call) -> None:
    words = ("--robot", "mock", "--simulated", "--seconds", 14, "--rate", 50, "--faults", "hung")
    facts = json.loads(rivc("drive", trained, *words, "--json").stdout)
    [stop] = facts["stops"]
    assert stop["late"] == "frame"
    assert facts["stop_reasons"] == {"frame": 1}
    assert 10 < stop["seconds"] <= 10.08
    assert facts["missed_deadlines"] == 99
    text = rivc("drive", trained, *words).stdout
    assert "watchdog stops    1: 1 late frames; at 10.0" in text
    assert "missed deadlines  99" in text


def test_people_get_a_row_a_stage(trained: Path, rivc: Call) -> None:
    lines = rivc("drive", trained, *QUICK).stdout.splitlines()
    assert lines[0].startswith("mock robot in CartPole-v1, 50 Hz for 8.0 s of simulated time")
    assert lines[2].split() == ["stage", "[ms]", "p50", "p90", "p99", "max", "times"]
    assert [line.split("  ")[0] for line in lines[3:9]] == [*STAGES, "jitter"]
    assert lines[-1].startswith("return ")


def test_an_export_drives_without_torch_or_a_simulator(exported: Path) -> None:
    code = f"""
import sys
for name in ("torch", "snntorch", "gymnasium", "mujoco"):
    sys.modules[name] = None
from rivc.cli.main import cli
cli(["drive", {str(exported)!r}, "--robot", "mock", "--simulated", "--seconds", "2", "--json"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["world"] == "random observations"
    assert facts["rate_hz"] == 50  # CartPole's, as its export tells
    assert "return_mean" not in facts
    assert facts["program_sha256"] == load_export(exported).program.sha256


def test_an_export_that_does_not_tell_its_rate_is_driven_at_10_hz_with_a_word(
    export: Path, rivc: Call
) -> None:
    manifest = json.loads((export / "manifest.json").read_text())
    del manifest["origin"]["rate_hz"]
    (export / "manifest.json").write_text(json.dumps(manifest))
    result = rivc("drive", export, *QUICK, "--json")
    assert json.loads(result.stdout)["rate_hz"] == 10
    assert "does not tell its task's rate: 10 Hz; --rate gives another" in result.stderr


def test_a_robot_of_ones_own_is_driven_at_the_rate_of_the_runs_task(
    trained: Path, rivc: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = ROBOT.replace('print("close", file=self.log)', "self.log.close()")
    (tmp_path / "robot_at_a_rate.py").write_text(code)
    (tmp_path / "options.yaml").write_text(f"path: {tmp_path / 'log.txt'}\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = ("--robot", "robot_at_a_rate:Robot", "--options", tmp_path / "options.yaml")
    result = rivc("drive", trained, *words, "--seconds", 0.1, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["rate_hz"] == 50


def test_reasons_are_those_of_all_stops_also_where_the_first_are_forgotten() -> None:
    stops = tuple(Stop(time_ns=(10 + i) * SECOND_NS, reason="frame") for i in range(1000))
    drive = SimpleNamespace(
        stops=stops, start_ns=0, stop_count=1700, reasons={"frame": 1200, "decision": 500}
    )
    driven: Any = SimpleNamespace(report=drive)
    told = "1,200 late frames; the latest 1,000 at 10.00 s, 11.00 s, 12.00 s, 13.00 s, 14.00 s, ..."
    assert _why_stopped(driven) == f": 500 late decisions, {told}"


def test_what_was_ignored_is_ignored_on() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with ending_gently():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_handler_that_is_not_pythons_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda _: None)
    was_set = []
    monkeypatch.setattr(signal, "signal", lambda *words: was_set.append(words))
    with ending_gently():
        pass
    assert was_set == []


def test_a_second_ending_does_not_interrupt_what_the_first_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ending_gently():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    monkeypatch.setattr(driving, "GRACE_S", 0.0)
    with ending_gently():
        for _ in range(2):  # one that was lost does not keep others away for ever
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_a_robot_is_closed_before_endings_end_the_process_again(
    exported: Path, rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = []
    close = driving.MockRobot.close

    def watched(robot: MockRobot) -> None:
        handlers.append(signal.getsignal(signal.SIGTERM))
        close(robot)

    monkeypatch.setattr(driving.MockRobot, "close", watched)
    assert rivc("drive", exported, *QUICK).exit_code == 0
    assert len(handlers) == 1
    assert handlers[0] is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_short_drive_in_real_time(exported: Path, rivc: Call) -> None:
    words = ("--robot", "mock", "--rate", 50, "--seconds", 0.5, "--watchdog-ms", 10_000)
    facts = json.loads(rivc("drive", exported, *words, "--json").stdout)
    assert facts["slots"] + facts["missed_deadlines"] == 25
    assert facts["simulated"] is False


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path, dict[str, str]]:
    """A robot of one's own: its options, its log and where it is found."""
    (tmp_path / "my_robot.py").write_text(ROBOT)
    log, options = tmp_path / "log.txt", tmp_path / "options.yaml"
    options.write_text(f"path: {log}\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return options, log, {**os.environ, "PYTHONPATH": path}


def test_a_robot_of_ones_own_is_driven_within_its_limits(
    own: tuple[Path, Path, dict[str, str]], exported: Path
) -> None:
    options, log, environment = own
    command = [sys.executable, "-m", "rivc.cli.main", "drive", str(exported)]
    words = ["--robot", "my_robot:Robot", "--options", str(options), "--rate", "100"]
    more = [
        "--seconds",
        "0.4",
        "--watchdog-ms",
        "10000",
        "--decision-ms",
        "10000",
        "--recovery",
        "1",
    ]
    done = subprocess.run(
        [*command, *words, *more, "--json"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = log.read_text().split("\n")[:-1]
    values = [float(line.split()[1]) for line in told if line.startswith("send")]
    assert len(values) == json.loads(done.stdout)["commands"]
    assert all(abs(b - a) <= 0.1 + 1e-9 for a, b in zip([0.0, *values], values, strict=False))
    assert told[-2:] == ["stop", "close"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_the_process_stops_the_robot_first(
    own: tuple[Path, Path, dict[str, str]], exported: Path, ending: signal.Signals
) -> None:
    options, log, environment = own
    code = f"import signal; signal.signal({ending:d}, signal.SIG_DFL)"  # nohup may ignore it
    code += "; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code += "; from rivc.cli.main import main; main()"
    command = [sys.executable, "-c", code, "drive", str(exported), "--rate", "10"]
    words = ["--robot", "my_robot:Robot", "--options", str(options), "--seconds", "600", "--json"]
    process = subprocess.Popen(
        [*command, *words], env=environment, stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (log.exists() and "send" in log.read_text()):
        time.sleep(0.02)
    process.send_signal(ending)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert log.read_text().split("\n")[-3:] == ["stop", "close", ""]
    assert json.loads(out)["interrupted"] is True


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--robot", "mock", "--options", "x.yaml"), "--options is for"),
        (("--robot", "ros2", "--simulated"), "--simulated is for --robot mock"),
        (("--robot", "ros2", "--faults", "hung"), "--faults is for --robot mock"),
        (("--robot", "moc"), "no robot 'moc'"),
        (("--robot", "mock", "--faults", "hang"), "did you mean 'hung'"),
        (("--robot", "mock", "--rate", "0"), "rate"),
        (("--robot", "mock", "--rate", "1e9"), "a rate of 1000000000.0 Hz is not in"),
        (("--robot", "mock", "--rate", "1e-300"), "a rate of 1e-300 Hz is not in"),
        (("--robot", "mock", "--simulated", "--watchdog-ms", "1e-9"), "0.05 or more"),
        (("--robot", "mock", "--backend", "emulatr"), "did you mean 'emulator'"),
        (("--robot", "mock", "--faults", "x" * 300), "no faults"),
        (("--robot", "mock", "--backend-options", "none.yaml"), "none.yaml"),
        ((), "robot"),
    ],
)
def test_words_that_do_not_go_together_are_told_of(
    words: tuple[str, ...], told: str, exported: Path, rivc: Call
) -> None:
    result = rivc("drive", exported, *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_chip_of_a_run_has_the_runs_options(run: Path, rivc: Call, tmp_path: Path) -> None:
    options = {"dropped_spikes": 0.9}
    config = load_config(
        run / "config.yaml", {"backend.name": "spiking", "backend.options": options}
    )
    (run / "config.yaml").write_text(config.to_yaml())
    (tmp_path / "chip.yaml").write_text("dropped_spikes: 0.9\n")
    (tmp_path / "exact.yaml").write_text("{}\n")

    def returned(*words: object) -> float:
        how = ("--robot", "mock", "--simulated", "--seconds", 20, "--json")
        return float(json.loads(rivc("drive", run, *how, *words).stdout)["return_mean"])

    own, given = returned("--backend", "spiking"), ("--backend-options", tmp_path / "chip.yaml")
    assert own == returned("--backend", "spiking", *given)
    exact = returned("--backend", "spiking", "--backend-options", tmp_path / "exact.yaml")
    assert exact == returned() != own


@pytest.mark.parametrize("rate", [10**400, True, -1.0, "20"])
def test_a_rate_that_is_none_is_told_of(export: Path, rivc: Call, rate: object) -> None:
    manifest = json.loads((export / "manifest.json").read_text())
    manifest["origin"]["rate_hz"] = rate
    (export / "manifest.json").write_text(json.dumps(manifest))
    words = ("--robot", "mock", "--simulated", "--seconds", 1)
    assert "does not tell its task's rate" in rivc("drive", export, *words).stderr


def test_a_folder_that_is_neither_is_told_of(tmp_path: Path, rivc: Call) -> None:
    result = rivc("drive", tmp_path, "--robot", "mock")
    assert result.exit_code == 2
    assert "neither an export nor a run" in result.stderr


def test_an_export_with_another_program_is_not_driven(export: Path, rivc: Call) -> None:
    manifest = json.loads((export / "manifest.json").read_text())
    manifest["program_sha256"] = "0" * 64
    (export / "manifest.json").write_text(json.dumps(manifest))
    result = rivc("drive", export, *QUICK)
    assert result.exit_code == 1
    assert "is not the program of the manifest" in result.stderr
