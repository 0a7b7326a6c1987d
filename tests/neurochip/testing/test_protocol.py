"""Every rule of the protocol: kept by our chips, and caught where it is broken."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.errors import BackendError
from rivc.neurochip import Inference
from rivc.neurochip.emulator import Emulator
from rivc.neurochip.testing import check_backend
from rivc.neurochip.testing.protocol import AFTER, BEFORE, LOADED

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.snn_convert import SpikingProgram


class NoProgramNoMatter(Emulator):
    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        try:
            return super().infer(counts)
        except BackendError:
            return Inference(np.zeros((0, 1, 1), np.int64), np.zeros((0, 0), np.int64))


class ListsTexts(Emulator):
    def check(self, program: SpikingProgram) -> Any:
        return [str(violation) for violation in super().check(program)]


class LoadsAnything(Emulator):
    def load(self, program: SpikingProgram) -> None:
        if not self.check(program):
            super().load(program)


class WritesIntoCounts(Emulator):
    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        result = super().infer(counts)
        if counts.flags.writeable:
            counts[:] = 0
        return result


class NeedsWritable(Emulator):
    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        counts += 0
        return super().infer(counts)


class ReadsMemoryAsItLies(Emulator):
    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        in_memory = counts.ravel(order="K").reshape(counts.shape)
        return super().infer(in_memory)


class ReusesItsArrays(Emulator):
    """Returns the same buffer as long as the batch has the same size."""

    buffer: Inference | None = None

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        result = super().infer(counts)
        if self.buffer is None or self.buffer.readout.shape != result.readout.shape:
            self.buffer = result
        self.buffer.readout[:] = result.readout
        return replace(self.buffer, spike_counts=result.spike_counts)


class TakesFloats(Emulator):
    def infer(self, counts: Any) -> Inference:
        return super().infer(counts.astype(np.uint8))


class TakesAnyShape(Emulator):
    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        if self._program is not None and counts.dtype == np.uint8:
            counts = np.resize(counts, (len(counts), *self._program.encoding.shape))
        return super().infer(counts)


class Wraps(Emulator):
    """Takes the lower bits of a count that is too large."""

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        if self._program is not None and counts.dtype == np.uint8:
            counts = counts & self._program.encoding.levels
        return super().infer(counts)


class ClosesOnce(Emulator):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise OSError("the device is gone")
        self.closed = True
        super().close()


class StaysOpen(Emulator):
    def close(self) -> None:
        pass


class AnswersInt32(Emulator):
    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        result = super().infer(counts)
        return replace(result, readout=result.readout.astype(np.int32))  # type: ignore[arg-type]


class AnswersFlat(Emulator):
    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        result = super().infer(counts)
        return replace(result, readout=result.readout.reshape(len(counts), -1))


class AnswersBatchFirst(Emulator):
    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        result = super().infer(counts)
        return replace(result, spike_counts=np.ascontiguousarray(result.spike_counts.T))


class AnswersLists(Emulator):
    def infer(self, counts: NDArray[np.uint8]) -> Any:
        result = super().infer(counts)
        return SimpleNamespace(readout=result.readout.tolist(), spike_counts=result.spike_counts)


class Nameless(Emulator):
    name = ""


class InNoArithmetic(Emulator):
    profile = "no-such-profile"


class CannotBeClosed(Emulator):
    close = None  # type: ignore[assignment]


BREACHES: list[tuple[str, Callable[[], Emulator]]] = [
    ("infer before load", NoProgramNoMatter),
    ("violations", ListsTexts),
    ("load beyond the limits", LoadsAnything),
    ("counts untouched", WritesIntoCounts),
    ("counts read-only", NeedsWritable),
    ("counts in any memory order", ReadsMemoryAsItLies),
    ("results kept", ReusesItsArrays),
    ("counts of another type", TakesFloats),
    ("counts of another shape", TakesAnyShape),
    ("counts out of range", Wraps),
    ("close twice", ClosesOnce),
    ("infer after close", StaysOpen),
    ("results", AnswersInt32),
    ("results", AnswersFlat),
    ("results", AnswersBatchFirst),
    ("results", AnswersLists),
    ("attributes", Nameless),
    ("attributes", InNoArithmetic),
    ("attributes", CannotBeClosed),
]


@pytest.mark.parametrize(("rule", "chip"), BREACHES, ids=lambda x: getattr(x, "__name__", x))
def test_a_breach_is_caught_by_the_rule_it_breaks(rule: str, chip: Callable[[], Emulator]) -> None:
    found = check_backend(chip(), programs=3, states=8)
    assert rule in {breach.rule for breach in found.breaches}, str(found)
    assert not found.ok


def test_every_rule_has_a_chip_that_breaks_it() -> None:
    assert {*BEFORE, *LOADED, *AFTER} <= {rule for rule, _ in BREACHES}


def test_a_right_chip_keeps_every_rule() -> None:
    found = check_backend(Emulator(), programs=3, states=8)
    assert found.breaches == ()
    assert {*BEFORE, *LOADED, *AFTER} <= set(found.rules)


def test_anything_may_be_checked() -> None:
    found = check_backend(object(), programs=3)  # type: ignore[arg-type]
    assert str(found.breaches[0]) == "attributes: no method check, load, infer, close"
