"""A network that the chip cannot hold is refused before a step is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivc.neurochip.chips import CHIPS
from rivc.neurochip.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from click.testing import Result


def test_every_limit_that_is_exceeded_is_told_in_one_line_and_nothing_is_written(
    rivc: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Emulator, "limits", CHIPS["akd1000"])
    kernels = "[[16, 8, 4], [32, 4, 2]]"
    options = ["--net.conv", kernels, "--quant.profile", "ideal", "--run", tmp_path / "run"]
    result = rivc("train", "tracker", *options)
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    for told in ("8x8 with stride 4", "4x4 with stride 2", "layer 4: 8-bit weights", " | "):
        assert told in lines[0]
    assert not (tmp_path / "run").exists()
