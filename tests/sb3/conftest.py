"""A model that has learnt a little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rivc.sb3 import RIVC


@pytest.fixture(scope="module")
def trained() -> RIVC:
    from tests.sb3_models import model  # where Stable-Baselines3 is missing, nobody asks

    return model().learn(160)
