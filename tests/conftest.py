"""One torch thread, one hypothesis profile, and the small programs that many tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from rivc.snn_convert import SpikingProgram
from tests.programs import conv_program, dense_program

if TYPE_CHECKING:
    from pathlib import Path

torch.set_num_threads(1)

# No deadline: two cores are shared with other work. Derandomized: a red suite is red for everybody.
settings.register_profile(
    "rivc", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("rivc")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(params=[dense_program, conv_program], ids=["dense", "conv"])
def program(request: pytest.FixtureRequest) -> SpikingProgram:
    """A tiny vector program, then a tiny image program with every kind of layer."""
    built = request.param()
    assert isinstance(built, SpikingProgram)
    return built


@pytest.fixture
def program_file(tmp_path: Path) -> Path:
    """A saved program with every kind of layer."""
    path = tmp_path / "program.npz"
    conv_program().save(path)
    return path
