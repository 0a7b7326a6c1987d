"""A chip that fails: one kind of error, nobody waits for ever, the emulator takes over."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.errors import BackendError, ChipLimitError, QuantError
from rivc.neurochip import Backend, Inference, Violation
from rivc.neurochip.emulator import Emulator
from rivc.neurochip.guard import Guarded, StandIn
from rivc.neurochip.testing import check_backend
from rivc.snn_convert import SpikingProgram, reference
from tests.programs import conv_program, dense_program, random_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

PROGRAM = dense_program()
COUNTS = random_counts(PROGRAM, np.random.default_rng(0), 5)


class Breaks(Emulator):
    """Raises something in one of its methods."""

    def __init__(self, method: str, error: Exception) -> None:
        super().__init__()
        self.method, self.error, self.closed = method, error, 0

    def check(self, program: SpikingProgram) -> list[Violation]:
        self._raise("check")
        return super().check(program)

    def load(self, program: SpikingProgram) -> None:
        self._raise("load")
        super().load(program)

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        self._raise("infer")
        return super().infer(counts)

    def close(self) -> None:
        self.closed += 1
        self._raise("close")
        super().close()

    def _raise(self, method: str) -> None:
        if method == self.method:
            raise self.error


class Hangs(Emulator):
    """Does not come back until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.closed = threading.Event(), 0

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        self.free.wait()
        return super().infer(counts)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def hanging() -> Iterator[Hangs]:
    chip = Hangs()
    yield chip
    chip.free.set()


@pytest.mark.parametrize("timeout_s", [None, 60.0])
def test_a_guarded_chip_is_the_chip(timeout_s: float | None) -> None:
    chip = Guarded(Emulator(), timeout_s)
    assert isinstance(chip, Backend)
    found = check_backend(chip, programs=3, states=8)
    assert found.ok, str(found)
    assert found.backend == "emulator"


@pytest.mark.parametrize("timeout_s", [None, 60.0])
@pytest.mark.parametrize("method", ["check", "load", "infer", "close"])
def test_whatever_a_driver_raises_is_a_backend_error(method: str, timeout_s: float | None) -> None:
    chip = Guarded(Breaks(method, OSError("no such device")), timeout_s)
    if method not in {"check", "load"}:
        chip.load(PROGRAM)
    call: dict[str, Callable[[], object]] = {
        "check": lambda: chip.check(PROGRAM),
        "load": lambda: chip.load(PROGRAM),
        "infer": lambda: chip.infer(COUNTS),
    }
    with pytest.raises(BackendError, match="emulator failed: OSError: no such device"):
        call.get(method, chip.close)()


@pytest.mark.parametrize("error", [QuantError("a count"), ChipLimitError("too big")])
def test_errors_that_are_not_failures_pass(error: Exception) -> None:
    chip = Guarded(Breaks("infer", error))
    chip.load(PROGRAM)
    with pytest.raises(type(error)):
        chip.infer(COUNTS)


def test_closing_a_chip_that_failed_does_not_fail_again() -> None:
    inner = Breaks("infer", OSError("gone"))
    chip = Guarded(inner)
    chip.load(PROGRAM)
    with pytest.raises(BackendError):
        chip.infer(COUNTS)
    inner.method = "close"
    chip.close()
    assert inner.closed == 1


def test_an_inference_that_takes_too_long_is_a_backend_error(hanging: Hangs) -> None:
    chip = Guarded(hanging, timeout_s=0.05)
    chip.load(PROGRAM)
    before = time.monotonic()
    with pytest.raises(BackendError, match=r"emulator did not answer within 0\.05 s"):
        chip.infer(COUNTS)
    assert time.monotonic() - before < 5


def test_a_chip_that_took_too_long_is_not_touched_again(hanging: Hangs) -> None:
    chip = Guarded(hanging, timeout_s=0.05)
    chip.load(PROGRAM)
    with pytest.raises(BackendError):
        chip.infer(COUNTS)
    with pytest.raises(BackendError, match="was given up"):
        chip.load(PROGRAM)
    chip.close()
    assert hanging.closed == 0


def test_a_thread_that_hangs_does_not_keep_the_process_alive() -> None:
    code = (
        "import threading, numpy as np\n"
        "from rivc.neurochip.emulator import Emulator\n"
        "from rivc.neurochip.guard import Guarded\n"
        "class Hangs(Emulator):\n"
        "    def infer(self, counts): threading.Event().wait()\n"
        "try: Guarded(Hangs(), 0.05).infer(np.zeros((1, 1), np.uint8))\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("emulator did not answer")


def test_the_worker_of_a_closed_chip_ends() -> None:
    before = threading.active_count()
    for _ in range(3):
        chip = Guarded(Emulator(), timeout_s=60)
        chip.load(PROGRAM)
        chip.close()
        chip.close()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_the_emulator_stands_in_with_the_same_integers() -> None:
    told: list[BackendError] = []
    inner = Breaks("", BackendError("unplugged"))
    chip = StandIn(inner, told.append)
    assert isinstance(chip, Backend)
    chip.load(PROGRAM)
    expected = chip.infer(COUNTS)
    assert not chip.is_emulated
    inner.method = "infer"
    for _ in range(2):
        result = chip.infer(COUNTS)
        np.testing.assert_array_equal(result.readout, expected.readout)
        np.testing.assert_array_equal(result.spike_counts, expected.spike_counts)
    assert chip.is_emulated
    assert chip.name == "emulator"
    assert [str(error) for error in told] == ["unplugged"]
    assert inner.closed == 1
    other = conv_program()
    chip.load(other)
    counts = random_counts(other, np.random.default_rng(0), 5)
    np.testing.assert_array_equal(chip.infer(counts).readout, reference.run(other, counts))


def test_the_emulator_stands_in_where_a_load_fails() -> None:
    told: list[Any] = []
    chip = StandIn(Breaks("load", BackendError("unplugged")), told.append)
    chip.load(PROGRAM)
    np.testing.assert_array_equal(chip.infer(COUNTS).readout, reference.run(PROGRAM, COUNTS))
    assert len(told) == 1


def test_nothing_stands_in_for_a_chip_without_a_program() -> None:
    chip = StandIn(Emulator(), lambda _: pytest.fail("it did not fail"))
    with pytest.raises(BackendError, match="no program is loaded"):
        chip.infer(COUNTS)
    assert not chip.is_emulated


class Digits(Breaks):
    """Takes fewer spikes for its counts."""

    spikes_are_counts = False


def test_what_spikes_mean_is_said_by_whoever_answers() -> None:
    assert Guarded(Emulator()).spikes_are_counts
    inner = Digits("", BackendError("unplugged"))
    assert not Guarded(inner).spikes_are_counts
    chip = StandIn(inner, lambda _: None)
    assert not chip.spikes_are_counts
    chip.load(PROGRAM)
    inner.method = "infer"
    chip.infer(COUNTS)
    assert chip.spikes_are_counts


def test_a_program_that_was_refused_is_never_run() -> None:
    inner = Breaks("", BackendError("unplugged"))
    chip = StandIn(inner, lambda _: None)
    chip.load(PROGRAM)
    inner.method, inner.error = "load", ChipLimitError("too wide")
    with pytest.raises(ChipLimitError):
        chip.load(dense_program(1))
    inner.method, inner.error = "infer", BackendError("unplugged")
    np.testing.assert_array_equal(chip.infer(COUNTS).readout, reference.run(PROGRAM, COUNTS))
    assert chip.is_emulated


class Narrow(Emulator):
    def check(self, program: SpikingProgram) -> list[Violation]:
        return [Violation(0, "too wide", "narrow it")]


def test_limits_and_wrong_counts_are_no_reason_to_stand_in() -> None:
    chip = StandIn(Narrow(), lambda _: pytest.fail("it did not fail"))
    assert chip.check(PROGRAM)
    with pytest.raises(ChipLimitError):
        chip.load(PROGRAM)
    chip = StandIn(Emulator(), lambda _: pytest.fail("it did not fail"))
    chip.load(PROGRAM)
    with pytest.raises(QuantError):
        chip.infer(COUNTS[:, :2])
