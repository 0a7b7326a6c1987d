"""A small run that nobody disturbed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rivc.train import Trainer
from tests.train.runs import small

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "full"
    Trainer(small(), run).run()
    return run
