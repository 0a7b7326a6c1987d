"""Records as they are read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rivc.errors import DamagedFileError
from rivc.train import record
from rivc.train.record import METRICS, curve, read_metrics

if TYPE_CHECKING:
    from pathlib import Path


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
