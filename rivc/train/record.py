"""Metrics: one JSON object a line, and the same for TensorBoard.

The JSON lines are the record; the TensorBoard file is a projection of them and is written again
from them when a run is resumed.
"""

from __future__ import annotations

import json
import logging
import math
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import DamagedFileError, UsageError
from rivc.snn_convert.storage import read_plain, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

METRICS: Final = "metrics.jsonl"
MAX_BYTES: Final = 1 << 28
EVENTS: Final = "events.out.tfevents.0000000000.rivc"
_log = logging.getLogger(__name__)


class Recorder:
    """Appends records to a run folder.

    Attributes:
        count: records so far.
    """

    def __init__(self, folder: Path, keep: int = 0) -> None:
        """Open the folder's record and cut it to its first `keep` records.

        Raises:
            DamagedFileError: if it holds fewer.
        """
        self.path = folder / METRICS
        kept = _head(self.path, keep)
        if len(kept) < keep:
            what = f"{self.path} holds {len(kept)} records of {keep} before the checkpoint"
            raise DamagedFileError(f"{what}; restore it, or start the run afresh")
        write_atomically(self.path, "".join(line + "\n" for line in kept).encode())
        self.count = len(kept)
        self._file = self.path.open("a", buffering=1)
        self._board = _Board(folder / "tensorboard" / EVENTS)
        for line in kept:
            self._board.write(json.loads(line))

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record; it must hold `env_steps`.

        Raises:
            UsageError: if it cannot be written.
        """
        clean = {key: plain(value) for key, value in record.items()}
        try:
            self._file.write(json.dumps(clean) + "\n")
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}") from error
        self._board.write(clean)
        self.count += 1

    def sync(self) -> None:
        """Have all records on the disk, before a checkpoint that counts them is.

        Raises:
            UsageError: if they cannot be written.
        """
        try:
            os.fsync(self._file.fileno())  # every line has left the process already
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Close; what could not be written was told when it was."""
        with suppress(OSError):
            self._file.close()
        self._board.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run folder; a last line cut off by a crash is left out.

    Raises:
        DamagedFileError: if the file is gone, or larger than any run writes.
    """
    return list(_parsed(read_plain(folder / METRICS, MAX_BYTES).splitlines()))


def known_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run folder; none if it has none, as a saved model."""
    return read_metrics(folder) if (folder / METRICS).exists() else []


def _parsed(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(record, dict):
            return
        yield record


def curve(records: Sequence[dict[str, Any]], every: int) -> list[list[float]]:
    """Return the evaluations of a run, [[env_steps, return], ...].

    Args:
        records: of its metrics; each repeats the last evaluation.
        every: env steps from evaluation to evaluation, for records of old, which do not say when.
    """
    points: dict[int, list[float]] = {}
    seen = 0
    for record in records:
        if record.get("eval_return") is None:
            continue
        at, value = record.get("eval_env_steps"), record["eval_return"]
        if at is None and record["env_steps"] // every > seen:
            at, seen = record["env_steps"], record["env_steps"] // every
        if at is not None:
            points[at] = [at, value]
    return [*points.values()]


def _head(path: Path, keep: int) -> list[str]:
    if not keep or not path.exists():
        return []
    return path.read_text().splitlines()[:keep]


def plain(value: Any) -> Any:
    """Return a value as the record holds it: to six decimals, and None for what is not finite."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


class _Board:
    """A TensorBoard event file of scalars with a name that does not depend on time or host.

    It can be read after every record, but is not synced to the disk as `tensorboardX` does: what is
    lost with the machine, or finds no room, is written again from the record.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._path, self._file = path, path.open("wb", buffering=0)

    def write(self, record: Mapping[str, Any]) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        scalars = [
            Summary.Value(tag=f"rivc/{key}", simple_value=value)
            for key, value in record.items()
            if isinstance(value, int | float) and key != "env_steps"
        ]
        event = Event(step=record["env_steps"], summary=Summary(value=scalars))
        try:
            self._file.write(_framed(event.SerializeToString()))
        except OSError as error:
            _log.warning("cannot write %s: %s", self._path, error.strerror)

    def close(self) -> None:
        self._file.close()


def _framed(event: bytes) -> bytes:
    """An event as its file holds it: length and bytes, a checksum behind each."""
    from tensorboardX.record_writer import masked_crc32c

    parts = struct.pack("<Q", len(event)), event
    return b"".join(part + struct.pack("<I", masked_crc32c(part)) for part in parts)
