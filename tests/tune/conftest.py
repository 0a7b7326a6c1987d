"""A tiny configuration and a space around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rivc.train import Config, load_config
from tests.tune.pretend import TINY, Pretender, stand_in

if TYPE_CHECKING:
    from pathlib import Path

SPACE = """\
train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
train.batch_size: {low: 8, high: 16, step: 8}
net.hidden: [[8], [4, 4]]
"""


@pytest.fixture
def config() -> Config:
    return load_config("quickstart", TINY)


@pytest.fixture
def space_file(tmp_path: Path) -> str:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return str(path)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> type[Pretender]:
    stand_in(monkeypatch, lambda _, run: Pretender(run))
    return Pretender
