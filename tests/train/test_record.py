"""Records as they are read back."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from rivc.errors import DamagedFileError, UsageError
from rivc.train import record
from rivc.train.record import EVENTS, METRICS, Recorder, curve, read_metrics

FULL = Path("/dev/full")


def test_a_curve_has_every_evaluation_where_it_was_made() -> None:
    made = [(140, 112, 1.0), (280, 208, 2.0), (420, 400, 3.0), (420, 400, 3.0), (430, 430, 4.0)]
    records = [
        {"env_steps": at, "eval_env_steps": then, "eval_return": value} for at, then, value in made
    ]
    found = curve([{"env_steps": 10}, *records], every=100)
    assert found == [[112, 1.0], [208, 2.0], [400, 3.0], [430, 4.0]]


def test_a_curve_has_a_point_an_evaluation() -> None:
    records = [
        {"env_steps": 90, "eval_return": None},
        {"env_steps": 104, "eval_return": 1.0},
        {"env_steps": 152, "eval_return": 1.0},
        {"env_steps": 200, "eval_return": 2.0},
        {"env_steps": 304},
        {"env_steps": 400, "eval_return": 3.0},
        {"env_steps": 400, "eval_return": 4.0},
    ]
    assert curve(records, 100) == [[104, 1.0], [200, 2.0], [400, 3.0]]


def events(folder: Path) -> list[dict[str, float]]:
    """What TensorBoard reads of every event: scalars by name, and the step; checksums must hold."""
    data, found = (folder / "tensorboard" / EVENTS).read_bytes(), []
    while data:
        size, checksum = struct.unpack("<QI", data[:12])
        event, rest = data[12 : 12 + size], data[12 + size :]
        assert checksum == masked_crc32c(data[:8])
        assert struct.unpack("<I", rest[:4])[0] == masked_crc32c(event)
        read, data = Event.FromString(event), rest[4:]
        found.append({v.tag: v.simple_value for v in read.summary.value} | {"step": read.step})
    return found


def test_tensorboard_sees_every_number_at_once(tmp_path: Path) -> None:
    """While the recorder is open; what has no value is left out, as is what is no number."""
    recorder = Recorder(tmp_path)
    recorder.write({"env_steps": 500, "episode_return": 12.5, "updates": 7, "td_loss": math.nan})
    recorder.write({"env_steps": 1000, "episode_return": 0.25, "note": "slow"})
    expected = [
        {"rivc/episode_return": 12.5, "rivc/updates": 7, "step": 500},
        {"rivc/episode_return": 0.25, "step": 1000},
    ]
    assert events(tmp_path) == expected
    recorder.close()
    Recorder(tmp_path, keep=1).close()  # as after a resume: written again from the lines
    assert events(tmp_path) == expected[:1]


@pytest.mark.parametrize("bad", [b'{"env_steps": 2', b"[1]", b"7", b"\xff", b"[" * 100_000])
def test_records_end_where_a_line_is_none(tmp_path: Path, bad: bytes) -> None:
    (tmp_path / METRICS).write_bytes(b'{"env_steps": 1}\n' + bad + b'\n{"env_steps": 3}\n')
    assert read_metrics(tmp_path) == [{"env_steps": 1}]


def test_a_record_larger_than_any_run_writes_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MAX_BYTES", 10)
    (tmp_path / METRICS).write_text('{"env_steps": 1}\n')
    with pytest.raises(DamagedFileError, match="more than 10 bytes"):
        read_metrics(tmp_path)


def test_records_that_are_gone_are_told(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.write({"env_steps": 1})
    recorder.close()
    with pytest.raises(DamagedFileError, match="holds 1 records of 2"):
        Recorder(tmp_path, keep=2)
    assert len(read_metrics(tmp_path)) == 1  # as before


def test_a_disk_that_is_full_is_told_in_one_line(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder._file.close()
    recorder._file = FULL.open("a", buffering=1)
    with pytest.raises(UsageError, match=r"cannot write .*metrics\.jsonl: No space left"):
        recorder.write({"env_steps": 1})
    recorder.close()


def test_tensorboard_is_no_reason_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path)
    recorder._board._file.close()
    recorder._board._file = FULL.open("wb", buffering=0)
    recorder.write({"env_steps": 1, "loss": 2.0})
    recorder.close()
    assert read_metrics(tmp_path) == [{"env_steps": 1, "loss": 2.0}]
    assert "No space left" in caplog.text
