"""A folder is held by one process at a time, and what keeps it from being held is one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rivc.errors import UsageError
from rivc.train.lock import alone

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_is_made_held_and_let_go(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        with (
            alone(folder, "doing the suite in"),
            pytest.raises(UsageError, match=f"another process is doing the suite in {folder}"),
            alone(folder, "doing the suite in"),
        ):
            pass


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / ".lock").mkdir(parents=True)
    for name in ("file", "folder"):
        with pytest.raises(UsageError, match="cannot write to"), alone(tmp_path / name, "writing"):
            pass
