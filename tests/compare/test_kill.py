"""Suites that are killed at random moments end in the table of one that was not."""

from __future__ import annotations

import json
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


def scores_of(out: Path) -> str:
    return (out / "scores.csv").read_text()


def without_watch(_: Callable[[], None]) -> None:
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a suite of two jobs, done side by side, that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "tiny.yaml").write_text(TINY)
    assert start(folder / "tiny.yaml", folder / "out").wait() == 0
    return folder / "out"


def test_a_suite_that_is_stopped_and_killed_ends_in_the_same_table(
    whole: Path, tiny_file: Path, tmp_path: Path
) -> None:
    """Ctrl-C in the first job, a kill in the second, whose process then stops by itself."""
    out = tmp_path / "out"
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


def test_a_job_that_is_stopped_goes_on_to_the_same_result(tiny_file: Path, tmp_path: Path) -> None:
    job, _ = load_suite(tiny_file).jobs()
    results = []
    for name in ("whole", "stopped"):
        folder = tmp_path / name
        job.save(folder)
        if name == "stopped":
            with pytest.raises(Stopped):
                perform(folder, lambda stop: stop())
            assert not (folder / "result.json").exists()
        perform(folder, without_watch)
        row = json.loads((folder / "result.json").read_text())
        results.append({k: v for k, v in row.items() if k not in CLOCKS})
        assert row["cpu_seconds"] > 0
    assert results[0] == results[1]
    assert [r["form"] for r in results[0]["results"]] == ["fpnn", "chip"]
    assert results[0]["env_steps"] >= 240
    assert len(results[0]["curve"]) >= 3


def test_another_evaluation_does_not_train_again(tiny_file: Path, tmp_path: Path) -> None:
    job, _ = load_suite(tiny_file).jobs()
    job.save(tmp_path)
    perform(tmp_path, without_watch)
    before = (
        (tmp_path / "run" / "metrics.jsonl").stat().st_ino,
        sorted((p.name, p.stat().st_mtime_ns) for p in (tmp_path / "run" / "best").iterdir()),
    )
    more = job.evaluation.model_copy(update={"episodes": 5})
    Job.model_validate({**job.model_dump(mode="json"), "evaluation": more.model_dump()}).save(
        tmp_path
    )
    perform(tmp_path, without_watch)
    row = json.loads((tmp_path / "result.json").read_text())
    assert row["hash"] == Job.load(tmp_path).hash != job.hash
    after = (
        (tmp_path / "run" / "metrics.jsonl").stat().st_ino,
        sorted((p.name, p.stat().st_mtime_ns) for p in (tmp_path / "run" / "best").iterdir()),
    )
    assert after == before


def test_jobs_share_nothing(whole: Path, tiny_file: Path, tmp_path: Path) -> None:
    """Done side by side or alone, a job ends in the same result."""
    job = load_suite(tiny_file).jobs()[1]
    job.save(tmp_path)
    perform(tmp_path, without_watch)
    row = json.loads((tmp_path / "result.json").read_text())
    [other] = [r for r in table_of(whole) if r["hash"] == job.hash]
    assert {k: v for k, v in row.items() if k not in CLOCKS} == other


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
def test_forty_jobs_killed_ten_times_end_in_the_same_table(tiny_file: Path, tmp_path: Path) -> None:
    tiny_file.write_text(tiny_file.read_text().replace("seeds: 1", "seeds: 20"))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    before = time.perf_counter()
    assert start(tiny_file, whole).wait() == 0
    seconds = time.perf_counter() - before
    assert len(table_of(whole)) == 40
    rng, kills = np.random.default_rng(0), 0
    while kills < 10:
        process = start(tiny_file, killed)
        try:
            process.wait(timeout=float(rng.uniform(0.03, 0.15)) * seconds)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    assert kills == 10
    assert start(tiny_file, killed).wait() == 0
    assert table_of(killed) == table_of(whole)
    for name in ("scores.csv", "pairs.csv"):
        assert (killed / name).read_text() == (whole / name).read_text()
