"""Jobs side by side: one process each, one thread each, and nothing shared but the table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rivc.compare.job import LOG_FILE, read_result
from rivc.compare.table import FAILED, TABLE_FILE, Table
from rivc.compare.work import GRACE_S, STOPPED
from rivc.train.lock import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rivc.compare.job import Job

    Observe = Callable[["State"], None]

POLL_S: Final = 0.05
JOBS_FOLDER: Final = "jobs"
ONE_THREAD: Final = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")
}


@dataclass
class State:
    """How far a suite is.

    Attributes:
        jobs: all of them.
        table: what is known.
        workers: jobs side by side.
        started: when each running job was, by hash, in seconds of the monotonic clock.
    """

    jobs: Sequence[Job]
    table: Table
    workers: int
    started: dict[str, float] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Jobs that are done."""
        return len(self.table.done(self.jobs))

    @property
    def failed(self) -> int:
        """Jobs that failed, when they were last tried."""
        return len(self.table.of(self.jobs)) - self.done

    def cpu_seconds_left(self) -> float | None:
        """Return what is left, by what jobs of the same task and trainer took for an env step.

        None as long as no job is done.
        """
        rows = {row["hash"]: row for row in self.table.done(self.jobs)}
        known: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for job in self.jobs:
            if job.hash in rows:
                row = rows[job.hash]
                rate = row["cpu_seconds"] + row["evaluation_cpu_seconds"]
                rate /= job.config.train.env_steps
                for kind in _kinds(job):
                    known[kind].append(rate)
        if not known:
            return None
        return sum(
            max(0.0, self._expected(job, known) - self._spent(job))
            for job in self.jobs
            if job.hash not in rows
        )

    def seconds_left(self) -> float | None:
        """Return the time that is left, if one job takes no time from another."""
        cpu_seconds = self.cpu_seconds_left()
        return None if cpu_seconds is None else cpu_seconds / self.workers

    def _expected(self, job: Job, known: dict[tuple[str, ...], list[float]]) -> float:
        rates = next(known[kind] for kind in _kinds(job) if kind in known)
        return job.config.train.env_steps * sum(rates) / len(rates)

    def _spent(self, job: Job) -> float:
        return time.monotonic() - self.started[job.hash] if job.hash in self.started else 0.0


def _kinds(job: Job) -> list[tuple[str, ...]]:
    """What a job is like, the most alike first; all are alike in the last."""
    return [(job.task, job.peer or "", job.variant), (job.task, job.peer or ""), (job.task,), ()]


def run_jobs(jobs: Sequence[Job], folder: Path, workers: int, observe: Observe) -> Table:
    """Do all jobs that are not done, some side by side, and return the table.

    A job that fails is told in the table, and the others go on; it is tried again the next time.

    Args:
        jobs: of a suite.
        folder: of its results.
        workers: jobs side by side; 0 does nothing.
        observe: told how far it is whenever a job starts or ends.

    Raises:
        UsageError: if another process is doing the suite, or the folder cannot be written.
    """
    with alone(folder, "doing the suite in"):
        table = Table(folder / TABLE_FILE)
        state = State(jobs, table, max(workers, 1))
        finished = {row["hash"] for row in table.done(jobs)}
        waiting = [job for job in reversed(jobs) if job.hash not in finished]
        running: dict[str, tuple[Job, subprocess.Popen[bytes]]] = {}
        try:
            while workers and (waiting or running):
                while waiting and len(running) < workers:
                    job = waiting.pop()
                    if not _collect(job, folder, table):
                        running[job.hash] = job, _start(job, folder)
                        state.started[job.hash] = time.monotonic()
                    observe(state)
                for key, (job, process) in [*running.items()]:
                    if process.poll() is None:
                        continue
                    del running[key], state.started[key]
                    _let_go([process])
                    if not _collect(job, folder, table):
                        table.append(_failure(job, folder, process.returncode))
                    observe(state)
                time.sleep(POLL_S)
        finally:
            _let_go([process for _, process in running.values()])
        return table


def _collect(job: Job, folder: Path, table: Table) -> bool:
    """Take the result that a job left over into the table; tell whether there is one."""
    row = read_result(job.folder(folder / JOBS_FOLDER), job)
    if row is not None:
        table.append(row)
    return row is not None


def _start(job: Job, folder: Path) -> subprocess.Popen[bytes]:
    """Start the process of a job, in a session of its own: Ctrl-C is for the one who started it."""
    place = job.folder(folder / JOBS_FOLDER)
    job.save(place)
    with (place / LOG_FILE).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "rivc.compare.work", str(place)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,
        )


def _let_go(processes: list[subprocess.Popen[bytes]]) -> None:
    """Tell processes to stop, and wait until they have."""
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
    for process in processes:
        try:
            process.wait(2 * GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # a session of its own, with all that it started
            process.wait()


def _failure(job: Job, folder: Path, code: int) -> dict[str, Any]:
    """Return the row of a job that left no result."""
    log = job.folder(folder / JOBS_FOLDER) / LOG_FILE
    lines = log.read_text(errors="replace").splitlines()
    ends = {STOPPED: "stopped"} | ({code: f"killed by signal {-code}"} if code < 0 else {})
    reason = ends.get(code, lines[-1] if lines else f"exit code {code}")
    return {**job.identity(), "status": FAILED, "error": reason[:400]}
