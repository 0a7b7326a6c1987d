"""The process of one job: ``python -m rivc.compare.work FOLDER``.

It trains, or goes on with, what the folder's ``job.json`` says, judges it and leaves
``result.json``. It runs as long as the one who started it holds its standard input open: when that
ends, whether let go of or killed, training stops with a checkpoint. Killed at any moment, the job
ends in the same result when it is started again.
"""

from __future__ import annotations

import math
import os
import sys
import time
import traceback
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout

from rivc.compare.job import RESULT_FILE, RUN_FOLDER, Job, read_result
from rivc.compare.table import DONE, dump_row
from rivc.errors import FailedError, RivcError
from rivc.snn_convert.storage import read_json, write_atomically
from rivc.train.run import versions

if TYPE_CHECKING:
    from collections.abc import Callable

STOPPED: Final = 130
GRACE_S: Final = 10.0  # for an iteration and its checkpoint
LOCK_S: Final = 3 * GRACE_S  # a process whose starter was killed may still be stopping
CLOCK_FILE: Final = "clock.json"


class Stopped(Exception):  # noqa: N818 (no error: nothing went wrong)
    """Training was stopped; it can be gone on with."""


class Clock:
    """CPU seconds that the training of a folder took, over all its processes.

    Attributes:
        cpu_seconds: that were noted.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / CLOCK_FILE
        before = read_json(self._path)["cpu_seconds"] if self._path.exists() else 0.0
        self.cpu_seconds = float(before)
        self._offset = self.cpu_seconds - time.process_time()

    def note(self, _: object = None) -> None:
        """Write them down, so that a kill loses no more than what came since."""
        self.cpu_seconds = self._offset + time.process_time()
        write_atomically(self._path, dump_row({"cpu_seconds": self.cpu_seconds}))


def perform(folder: Path, watch: Callable[[Callable[[], None]], None]) -> None:
    """Do a job, or what is left of it.

    Args:
        folder: that holds ``job.json``.
        watch: is handed what stops the training.

    Raises:
        Stopped: if it was.
        FailedError: if another process is at it.
        RivcError: whatever training and evaluation raise.
    """
    job = Job.load(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=LOCK_S)
    except Timeout:
        raise FailedError(f"another process is doing {job.name}") from None
    try:
        if read_result(folder, job) is None:
            found = _trained_and_judged(job, folder, watch)
            if not all(math.isfinite(result["return_mean"]) for result in found["results"]):
                raise FailedError(f"{job.name}: a return is not a finite number")
            row = {**job.identity(), "status": DONE, **found, "versions": versions()}
            write_atomically(folder / RESULT_FILE, dump_row(row))
    finally:
        lock.release()


def _trained_and_judged(
    job: Job, folder: Path, watch: Callable[[Callable[[], None]], None]
) -> dict[str, Any]:
    if job.peer is not None:
        from rivc.compare import sb3

        watch(lambda: None)  # its training has no checkpoint: nothing is lost with the process
        return sb3.trained_and_judged(job, folder / RUN_FOLDER)

    from rivc.compare.judge import judge, timed
    from rivc.train.policy import load_policy
    from rivc.train.record import curve, read_metrics
    from rivc.train.trainer import Trainer

    clock = Clock(folder)
    trainer = Trainer.begin_or_resume(job.config, folder / RUN_FOLDER)
    trainer.observers.append(clock.note)
    watch(lambda: setattr(trainer, "stop_requested", True))
    before = clock.cpu_seconds
    trainer.run()
    is_stopped = not trainer.session.progress.finished
    if is_stopped or clock.cpu_seconds > before:  # else it had ended before, and is only judged
        clock.note()
    if is_stopped:
        raise Stopped
    policy = load_policy(trainer.folder, job.evaluation.policy)
    return {
        "env_steps": trainer.session.progress.env_steps,
        "updates": trainer.session.learner.updates,
        "failures": trainer.folder.failures,
        "cpu_seconds": round(clock.cpu_seconds, 2),
        "curve": curve(read_metrics(trainer.folder.path), job.config.eval.every_env_steps),
        **timed(lambda: judge(policy, job.config, job.evaluation, job.bit_width)),
    }


def stop_when_alone(stop: Callable[[], None]) -> None:
    """Stop, gently and then for good, as soon as standard input ends."""

    def wait() -> None:
        while os.read(0, 4096):  # not through sys.stdin, whose lock would be held at the end
            pass
        stop()
        time.sleep(GRACE_S)
        os._exit(STOPPED)

    Thread(target=wait, daemon=True).start()


def main() -> int:
    """Do the job of the folder that was named; return the exit code."""
    from rivc.train.threads import one_thread

    try:
        with one_thread():
            perform(Path(sys.argv[1]), stop_when_alone)
    except Stopped:
        return STOPPED
    except RivcError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return error.exit_code
    except Exception as error:  # the last resort: the line that the table quotes comes last
        traceback.print_exc()
        sys.stderr.write(f"unexpected {type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
