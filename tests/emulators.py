"""Every way in which the emulator runs a program, whatever the processor of this machine is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from rivc.neurochip import Actor
from rivc.neurochip.emulator import Emulator
from rivc.quant import weighing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivc.snn_convert import SpikingProgram

WAYS: Final = ("bytes", "rows", "numpy")  # compiled for fast bytes, for slow ones, not compiled


@contextmanager
def chosen(way: str) -> Iterator[bool]:
    """Take programs this way; the value says whether loops are compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighing, "BYTES_ARE_FAST", way == "bytes")
        yield way != "numpy"


class Chip(Emulator):
    """The emulator, one way."""

    def __init__(self, way: str) -> None:
        super().__init__(compiled=way != "numpy")
        self._way = way

    def load(self, program: SpikingProgram) -> None:
        """Prepare a program."""
        with chosen(self._way):
            super().load(program)


def actor(program: SpikingProgram, way: str) -> Actor:
    """Return the greedy policy of a program, one way."""
    with chosen(way) as compiled:
        return Actor(program, compiled=compiled)
