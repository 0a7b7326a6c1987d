"""Suites that are killed at random moments end in the table of one that was not."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.compare.job import Job
from rivc.compare.suite import load_suite
from rivc.compare.work import Stopped, perform
from rivc.errors import FailedError
from tests.compare.conftest import TINY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLOCKS = ("cpu_seconds", "evaluation_cpu_seconds")


def start(suite: Path, out: Path, workers: int = 2) -> subprocess.Popen[bytes]:
    """Begin a suite, or go on with it."""
    words = ["compare", "--suite", str(suite), "--out", str(out), "--jobs", str(workers)]
    command = [sys.executable, "-m", "rivc.cli.main", *words, "--no-figures"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def table_of(out: Path) -> list[dict[str, Any]]:
    """The rows by job, without what no two runs share: how long they took."""
    rows = [json.loads(line) for line in (out / "table.jsonl").read_text().splitlines()]
    assert len({row["hash"] for row in rows}) == len(rows)
    return sorted(
        ({k: v for k, v in row.items() if k not in CLOCKS} for row in rows),
        key=lambda row: str(row["job"]),
    )


def rows_in(out: Path) -> int:
    path = out / "table.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def scores_of(out: Path) -> str:
    return (out / "scores.csv").read_text()


def without_watch(_: Callable[[], None]) -> None:
    pass


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job that nobody disturbed."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "tiny.yaml").write_text(TINY)
    job, _ = load_suite(folder / "tiny.yaml").jobs()
    job.save(folder)
    perform(folder, without_watch)
    return folder


def row_of(folder: Path) -> dict[str, Any]:
    """The result of a job, without how long it took."""
    row = json.loads((folder / "result.json").read_text())
    assert row["cpu_seconds"] > 0
    return {k: v for k, v in row.items() if k not in CLOCKS}


def test_a_job_that_is_stopped_and_killed_goes_on_to_the_same_result(
    done: Path, tmp_path: Path
) -> None:
    Job.load(done).save(tmp_path)
    with pytest.raises(Stopped):
        perform(tmp_path, lambda stop: stop())
    written_ns = (tmp_path / "clock.json").stat().st_mtime_ns
    process = subprocess.Popen(
        [sys.executable, "-m", "rivc.compare.work", str(tmp_path)], stdin=subprocess.PIPE
    )
    wait_for(lambda: (tmp_path / "clock.json").stat().st_mtime_ns > written_ns)
    process.kill()
    process.communicate()
    assert not (tmp_path / "result.json").exists()
    perform(tmp_path, without_watch)
    row = row_of(tmp_path)
    assert row == row_of(done)
    assert [r["form"] for r in row["results"]] == ["fpnn", "chip"]
    assert row["env_steps"] >= 240
    assert len(row["curve"]) >= 3


def test_another_evaluation_does_not_train_again(done: Path, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    shutil.copytree(done, folder)
    job, before = Job.load(folder), training_of(folder)
    more = job.evaluation.model_copy(update={"episodes": 3})
    Job.model_validate({**job.model_dump(mode="json"), "evaluation": more.model_dump()}).save(
        folder
    )
    perform(folder, without_watch)
    row = json.loads((folder / "result.json").read_text())
    assert row["hash"] == Job.load(folder).hash != job.hash
    assert training_of(folder) == before
    assert row["cpu_seconds"] == json.loads((done / "result.json").read_text())["cpu_seconds"]


def test_a_return_that_is_no_number_fails_the_job(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "job"
    shutil.copytree(done, folder)
    (folder / "result.json").unlink()
    results = [{"form": "chip", "bit_width": 2, "return_mean": float("nan")}]
    monkeypatch.setattr("rivc.compare.judge.judge", lambda *_: results)
    with pytest.raises(FailedError, match="a return is not a finite number"):
        perform(folder, without_watch)
    assert not (folder / "result.json").exists()


def training_of(folder: Path) -> tuple[bytes, list[tuple[str, int]]]:
    """What training wrote down, and when it wrote the best policy."""
    run = folder / "run"
    best = sorted((path.name, path.stat().st_mtime_ns) for path in (run / "best").iterdir())
    return (run / "metrics.jsonl").read_bytes(), best


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
def test_a_suite_that_is_stopped_and_killed_ends_in_the_same_table(
    done: Path, tiny_file: Path, tmp_path: Path
) -> None:
    """Ctrl-C in the first job, a kill in the second, whose process then stops by itself.

    The other suite does its jobs side by side, and one was also done alone: they share nothing.
    """
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert start(tiny_file, whole).wait() == 0
    process = start(tiny_file, out, workers=1)
    wait_for(lambda: any(out.glob("jobs/*/*/*/clock.json")))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process = start(tiny_file, out, workers=1)
    wait_for(lambda: any(out.glob("jobs/cartpole/none-*/*/clock.json")))
    process.kill()
    process.wait()
    assert start(tiny_file, out, workers=1).wait() == 0
    assert table_of(out) == table_of(whole)
    assert scores_of(out) == scores_of(whole)
    assert row_of(done) in table_of(whole)


@pytest.mark.slow
def test_forty_jobs_killed_ten_times_end_in_the_same_table(tiny_file: Path, tmp_path: Path) -> None:
    """Killed by how far it is, not by the clock: how busy the machine is changes nothing."""
    tiny_file.write_text(tiny_file.read_text().replace("seeds: 1", "seeds: 20"))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(tiny_file, whole).wait() == 0
    assert len(table_of(whole)) == 40
    rng = np.random.default_rng(0)
    for _ in range(10):
        wanted = rows_in(killed) + rng.integers(0, 3)
        process = start(tiny_file, killed)
        wait_for(lambda wanted=wanted: rows_in(killed) >= wanted, seconds=600)
        time.sleep(rng.uniform(0, 0.5))  # anywhere in a job, or before the first
        assert process.poll() is None, "ended by itself"
        process.kill()
        process.wait()
    assert rows_in(killed) < 40
    assert start(tiny_file, killed).wait() == 0
    assert table_of(killed) == table_of(whole)
    for name in ("scores.csv", "pairs.csv"):
        assert (killed / name).read_text() == (whole / name).read_text()
