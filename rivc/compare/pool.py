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
TELL_S: Final = 1.0
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
        workers: jobs side by side; 0 only looks, also while another process does the suite.
        observe: told how far it is whenever a job starts or ends, and once a second.

    Raises:
        UsageError: if another process is doing the suite, or the folder cannot be written.
    """
    if not workers:
        return known(jobs, folder)
    with alone(folder, "doing the suite in"):
        crew = _Crew(folder, State(jobs, Table(folder / TABLE_FILE), workers))
        told_at = time.monotonic()
        try:
            while crew.is_busy:
                if crew.take_turn() or time.monotonic() >= told_at + TELL_S:
                    told_at = time.monotonic()
                    observe(crew.state)
                time.sleep(POLL_S)
        finally:
            crew.let_go()
        return crew.state.table


class _Crew:
    """The processes of a suite.

    Attributes:
        state: of the suite.
    """

    def __init__(self, folder: Path, state: State) -> None:
        self.state, self._folder = state, folder
        self._waiting = [*reversed(_unfinished(state.jobs, state.table))]
        self._running: dict[str, tuple[Job, subprocess.Popen[bytes]]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether anything is left."""
        return bool(self._waiting or self._running)

    def take_turn(self) -> bool:
        """Start what there is room for, take in what ended; tell whether there was any of it."""
        before = len(self.state.table.rows), len(self.state.started)
        while self._waiting and len(self._running) < self.state.workers:
            self._begin(self._waiting.pop())
        for job, process in [*self._running.values()]:
            if process.poll() is not None:
                self._end(job, process)
        return before != (len(self.state.table.rows), len(self.state.started))

    def let_go(self) -> None:
        """Stop what runs."""
        _let_go([process for _, process in self._running.values()])

    def _begin(self, job: Job) -> None:
        if not _collect(job, self._folder, self.state.table):
            self._running[job.hash] = job, _start(job, self._folder)
            self.state.started[job.hash] = time.monotonic()

    def _end(self, job: Job, process: subprocess.Popen[bytes]) -> None:
        del self._running[job.hash], self.state.started[job.hash]
        _let_go([process])
        if not _collect(job, self._folder, self.state.table):
            self.state.table.append(_failure(job, self._folder, process.returncode))


def known(jobs: Sequence[Job], folder: Path) -> Table:
    """Return the table, with results that nobody put there yet; nothing is written."""
    table = Table(folder / TABLE_FILE)
    left = (read_result(job.folder(folder / JOBS_FOLDER), job) for job in _unfinished(jobs, table))
    table.rows += [row for row in left if row is not None]
    return table


def _unfinished(jobs: Sequence[Job], table: Table) -> list[Job]:
    finished = {row["hash"] for row in table.done(jobs)}
    return [job for job in jobs if job.hash not in finished]


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
