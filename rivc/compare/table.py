"""The one table of a suite: JSON lines, appended to, whole lines or none."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import DamagedFileError, UsageError
from rivc.snn_convert.storage import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rivc.compare.job import Job

    Row = dict[str, Any]

TABLE_FILE: Final = "table.jsonl"
DONE, FAILED = "done", "failed"


class Table:
    """Rows on disk; the last row of a job is the one that holds.

    A line that a crash cut off is dropped when the table is opened for writing.

    Args:
        path: of the file; made when the first row comes.

    Attributes:
        rows: in the order in which they came.

    Raises:
        DamagedFileError: if a whole line is not a row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_bytes() if path.exists() else b""
        self._whole = text.rfind(b"\n") + 1
        self._is_cut = self._whole < len(text)
        self.rows = [self._row(i, line) for i, line in enumerate(text[: self._whole].splitlines())]

    def append(self, row: Row) -> None:
        """Add a row and have it on the disk before this returns.

        Raises:
            UsageError: if it cannot be written.
        """
        try:
            with self.path.open("ab") as file:
                if self._is_cut:
                    file.truncate(self._whole)
                    self._is_cut = False
                file.write(dump_row(row))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}") from error
        self.rows.append(row)

    def of(self, jobs: Iterable[Job]) -> list[Row]:
        """Return the rows that hold of some jobs, in the order of the jobs, and named as they are.

        A name in other letters of the same sound leaves the hash as it is.
        """
        last = {row["hash"]: row for row in self.rows}
        return [last[job.hash] | job.identity() for job in jobs if job.hash in last]

    def done(self, jobs: Iterable[Job]) -> list[Row]:
        """Return the rows of those of the jobs that are done."""
        return [row for row in self.of(jobs) if row["status"] == DONE]

    def _row(self, i: int, line: bytes) -> Row:
        try:
            row = json.loads(line)
            if is_row(row):
                return dict(row)
        except (ValueError, LookupError, TypeError, RecursionError):
            pass
        raise DamagedFileError(
            f"line {i + 1} of {self.path} is not a row of a suite; take it out, and its job is "
            "judged again"
        )


def dump_row(row: Mapping[str, Any]) -> bytes:
    """Return a row as one line of JSON; numbers that JSON does not hold become null."""
    return to_json(row).encode() + b"\n"


def is_row(row: Any) -> bool:
    """Return whether this is a row, of a job that is done or of one that failed.

    Raises:
        LookupError, TypeError, ValueError: if it is not even alike.
    """
    told = all(isinstance(row[key], str) for key in ("hash", "job", "task", "variant"))
    if row["status"] != DONE:
        return told and row["status"] == FAILED and isinstance(row["error"], str)
    numbers = [row[key] for key in ("seed", "bit_width", "env_steps")]
    numbers += [row[key] for key in ("cpu_seconds", "evaluation_cpu_seconds")]
    numbers += [number for place in row["curve"] for number in _two(*place)]
    numbers += [r[key] for r in row["results"] for key in ("bit_width", "return_mean")]
    forms = all(isinstance(r["form"], str) and "success_rate" in r for r in row["results"])
    return told and forms and all(isinstance(number, int | float) for number in numbers)


def _two(env_steps: Any, value: Any) -> tuple[Any, Any]:
    """A place of a curve; a TypeError if it has more or less than two numbers."""
    return env_steps, value
