"""The hard states of a program are sought once for all tests: they take most of a check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rivc.neurochip.states import hard_states
from rivc.neurochip.testing import generate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rivc.snn_convert import SpikingProgram

_FOUND: dict[tuple[str, str], dict[str, NDArray[np.uint8]]] = {}


def _hard_states_once(
    program: SpikingProgram, rng: np.random.Generator
) -> dict[str, NDArray[np.uint8]]:
    key = program.sha256, str(rng.bit_generator.state)
    if key not in _FOUND:
        _FOUND[key] = hard_states(program, rng)
    return _FOUND[key]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "hard_states", _hard_states_once)
