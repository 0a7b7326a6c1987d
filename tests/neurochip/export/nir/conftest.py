"""The files of the tiny programs, written once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rivc.neurochip.export import nir

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.snn_convert import SpikingProgram


@pytest.fixture
def folder(program: SpikingProgram, tmp_path: Path) -> Path:
    """A folder with the files of a tiny program."""
    nir.write(program, tmp_path)
    return tmp_path
