"""Every chip that runs on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rivc.neurochip import load_backend

if TYPE_CHECKING:
    from rivc.neurochip import Backend


@pytest.fixture(params=["emulator", "snntorch"])
def chip(request: pytest.FixtureRequest) -> Backend:
    """A chip without a program."""
    return load_backend(request.param)
