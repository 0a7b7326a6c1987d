"""Every chip that runs on this machine, the spiking one under every schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rivc.neurochip import load_backend
from rivc.snn_convert.schedules import SCHEDULES

if TYPE_CHECKING:
    from rivc.neurochip import Backend


CHIPS: dict[str, tuple[str, dict[str, Any]]] = {
    "emulator": ("emulator", {"compiled": True}),
    "emulator-numpy": ("emulator", {"compiled": False}),
    "snntorch": ("snntorch", {}),
    **{f"spiking-{name}": ("spiking", {"schedule": name}) for name in SCHEDULES},
}


@pytest.fixture(params=CHIPS)
def chip(request: pytest.FixtureRequest) -> Backend:
    """A chip without a program."""
    name, options = CHIPS[request.param]
    return load_backend(name, **options)
