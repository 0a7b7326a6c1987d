"""Jobs side by side: what is started, told, collected and let go; the jobs are stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from rivc.compare import pool
from rivc.compare.job import LOG_FILE, RESULT_FILE
from rivc.compare.pool import JOBS_FOLDER, ONE_THREAD, State, run_jobs
from rivc.compare.suite import load_suite
from rivc.compare.table import TABLE_FILE, Table, dump_row
from rivc.compare.work import STOPPED
from rivc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rivc.compare.job import Job

    Make = Callable[..., dict[str, Any]]

WAITS = "import sys; sys.stdin.read(); sys.exit(130)"


@pytest.fixture
def jobs(tiny_file: Path) -> list[Job]:
    tiny_file.write_text(tiny_file.read_text().replace("seeds: 1", "seeds: 3"))
    return load_suite(tiny_file).jobs()


def stand_in(
    monkeypatch: pytest.MonkeyPatch, code: Callable[[Job], str]
) -> list[subprocess.Popen[bytes]]:
    """Let the process of each job be a script in the job's folder; return them as they come."""
    started: list[subprocess.Popen[bytes]] = []

    def start(job: Job, folder: Path) -> subprocess.Popen[bytes]:
        place = job.folder(folder / JOBS_FOLDER)
        job.save(place)
        with (place / LOG_FILE).open("wb") as log:
            command = [sys.executable, "-c", code(job)]
            started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log, cwd=place))
        return started[-1]

    monkeypatch.setattr(pool, "_start", start)
    return started


def leaves(row: dict[str, Any]) -> str:
    """A script that leaves a result."""
    return f"open({RESULT_FILE!r}, 'wb').write({dump_row(row)!r})"


def nothing(_: State) -> None:
    pass


def test_every_job_is_done_once(
    monkeypatch: pytest.MonkeyPatch, jobs: list[Job], row: Make, tmp_path: Path
) -> None:
    slow = "import time; time.sleep(0.5); "  # so that the second begins before the first ends
    stand_in(monkeypatch, lambda job: slow + leaves(row(job, job.config.seed)))
    running: list[int] = []
    table = run_jobs(jobs, tmp_path, 2, lambda state: running.append(len(state.started)))
    assert max(running) == 2
    assert sorted(r["hash"] for r in table.rows) == sorted(job.hash for job in jobs)
    stand_in(monkeypatch, lambda job: pytest.fail(f"{job.name} was started again"))
    assert run_jobs(jobs, tmp_path, 2, nothing).rows == table.rows


def test_a_job_that_fails_is_told_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, jobs: list[Job], row: Make, tmp_path: Path
) -> None:
    bad, killed = jobs[1].hash, jobs[2].hash
    scripts = {
        bad: "import sys; sys.exit('the chip is gone')",
        killed: "import os; os.kill(os.getpid(), 9)",
    }
    stand_in(monkeypatch, lambda job: scripts.get(job.hash, leaves(row(job, 1.0))))
    table = run_jobs(jobs, tmp_path, 1, nothing)
    told = {r["hash"]: r["error"] for r in table.of(jobs) if r["status"] == "failed"}
    assert told == {bad: "the chip is gone", killed: "killed by signal 9"}
    assert len(table.done(jobs)) == len(jobs) - 2
    stand_in(monkeypatch, lambda job: leaves(row(job, 1.0)))
    assert len(run_jobs(jobs, tmp_path, 1, nothing).done(jobs)) == len(jobs)


def test_a_result_that_a_killed_suite_left_is_collected(
    monkeypatch: pytest.MonkeyPatch, jobs: list[Job], row: Make, tmp_path: Path
) -> None:
    place = jobs[0].folder(tmp_path / JOBS_FOLDER)
    place.mkdir(parents=True)
    (place / RESULT_FILE).write_bytes(dump_row(row(jobs[0], 42.0)))
    stand_in(monkeypatch, lambda job: leaves(row(job, 1.0)))
    table = run_jobs(jobs, tmp_path, 1, nothing)
    assert table.done(jobs)[0]["results"][0]["return_mean"] == 42.0


def test_the_ruins_of_a_result_are_done_again(
    monkeypatch: pytest.MonkeyPatch, jobs: list[Job], row: Make, tmp_path: Path
) -> None:
    place = jobs[0].folder(tmp_path / JOBS_FOLDER)
    place.mkdir(parents=True)
    (place / RESULT_FILE).write_bytes(b'{"hash": ')
    stand_in(monkeypatch, lambda job: leaves(row(job, 1.0)))
    assert len(run_jobs(jobs, tmp_path, 1, nothing).done(jobs)) == len(jobs)


def test_ctrl_c_lets_go_of_every_process(
    monkeypatch: pytest.MonkeyPatch, jobs: list[Job], tmp_path: Path
) -> None:
    processes = stand_in(monkeypatch, lambda _: WAITS)
    started: list[float] = []

    def interrupt(state: State) -> None:
        if len(state.started) == 2:
            started.append(time.monotonic())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, tmp_path, 2, interrupt)
    assert time.monotonic() - started[0] < 5
    assert [process.poll() for process in processes] == [STOPPED] * 2
    assert Table(tmp_path / TABLE_FILE).rows == []


def test_no_worker_only_looks(jobs: list[Job], row: Make, tmp_path: Path) -> None:
    assert run_jobs(jobs, tmp_path, 0, nothing).rows == []
    place = jobs[0].folder(tmp_path / JOBS_FOLDER)
    place.mkdir(parents=True)
    (place / RESULT_FILE).write_bytes(dump_row(row(jobs[0], 3.0)))  # nobody put it in the table
    [found] = run_jobs(jobs, tmp_path, 0, nothing).done(jobs)
    assert found["results"][0]["return_mean"] == 3.0
    assert not (tmp_path / TABLE_FILE).exists()


def test_it_is_told_once_a_second_how_far_a_suite_is(
    monkeypatch: pytest.MonkeyPatch, jobs: list[Job], tmp_path: Path
) -> None:
    stand_in(monkeypatch, lambda _: WAITS)
    monkeypatch.setattr(pool, "TELL_S", 0.1)
    told = []

    def look(state: State) -> None:
        told.append(state.done)
        if len(told) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, tmp_path, 1, look)


def test_two_processes_do_not_do_one_suite(
    monkeypatch: pytest.MonkeyPatch, jobs: list[Job], tmp_path: Path
) -> None:
    stand_in(monkeypatch, lambda _: WAITS)

    def again(_: State) -> None:
        with pytest.raises(UsageError, match="another process is doing the suite"):
            run_jobs(jobs, tmp_path, 1, nothing)
        assert run_jobs(jobs, tmp_path, 0, nothing).rows == []  # to look is allowed
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, tmp_path, 1, again)


def test_time_left_follows_what_the_most_alike_jobs_took(
    jobs: list[Job], row: Make, tmp_path: Path
) -> None:
    table = Table(tmp_path / TABLE_FILE)
    state = State(jobs, table, workers=2)
    assert state.cpu_seconds_left() is None
    table.append(row(jobs[0], 1.0, cpu_seconds=9.0))  # 10 s with its evaluation, of variant `all`
    assert state.cpu_seconds_left() == pytest.approx(50.0)
    table.append(row(jobs[1], 1.0, cpu_seconds=1.0))  # 2 s, of variant `none`
    assert state.cpu_seconds_left() == pytest.approx(2 * 10 + 2 * 2)
    assert state.seconds_left() == pytest.approx(12.0)
    assert (state.done, state.failed) == (2, 0)


def test_a_real_job_has_one_thread_and_a_session_of_its_own(
    monkeypatch: pytest.MonkeyPatch, jobs: list[Job], tmp_path: Path
) -> None:
    code = (
        "import json, os, sys; print(json.dumps([os.getsid(0) == os.getpid(), "
        "{k: v for k, v in os.environ.items() if k.endswith('_NUM_THREADS')}]))"
    )
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "$CODE"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CODE", code)
    monkeypatch.setattr(sys, "executable", os.fspath(script))
    process = pool._start(jobs[0], tmp_path)
    assert process.wait(20) == 0
    pool._let_go([process])
    log = jobs[0].folder(tmp_path / JOBS_FOLDER) / LOG_FILE
    is_leader, threads = json.loads(log.read_text())
    assert is_leader
    assert threads.items() >= ONE_THREAD.items()
