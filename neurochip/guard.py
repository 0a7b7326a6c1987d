"""Chips that fail: every failure becomes a `BackendError`, and the emulator can take over.

`Guarded` turns whatever a driver raises, and an inference that takes too long, into the one error
that callers expect. `StandIn` answers in the emulator from the first such error on; programs are
the same and so are the integers, so nothing that follows can tell the difference.
"""

from __future__ import annotations

from concurrent.futures import Future, wait
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from rivc.errors import BackendError, RivcError, in_one_line
from rivc.neurochip.backend import is_exact, spikes_are_counts
from rivc.neurochip.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from rivc.neurochip.backend import Backend, Inference, Violation
    from rivc.snn_convert import SpikingProgram

T = TypeVar("T")


class Guarded:
    """A chip whose every failure is a `BackendError`.

    With a time limit, the chip is loaded and run in one thread of its own. Python cannot stop a
    thread, so after a time-out this one is left behind, a daemon that ends with the process; the
    chip is given up and not even closed, because its driver may hold a lock.

    Args:
        chip: the chip.
        timeout_s: seconds that an inference may take; None: any time. Loading is not limited.

    Example:
        >>> from rivc.neurochip import load_backend
        >>> Guarded(load_backend("emulator"), timeout_s=2.0).name
        'emulator'
    """

    def __init__(self, chip: Backend, timeout_s: float | None = None) -> None:
        self.name, self.profile, self.is_exact = chip.name, chip.profile, is_exact(chip)
        self.spikes_are_counts = spikes_are_counts(chip)
        self._chip, self._timeout_s = chip, timeout_s
        self._worker = None if timeout_s is None else _Worker()
        self._failed, self._lost = False, False

    def check(self, program: SpikingProgram) -> list[Violation]:
        """Return every limit that the program exceeds."""
        return self._ask(lambda: self._chip.check(program), None)

    def load(self, program: SpikingProgram) -> None:
        """Put a program on the chip."""
        self._ask(lambda: self._chip.load(program), None)

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        """Run the loaded program on unsigned counts, uint8, [B, *shape]."""
        return self._ask(lambda: self._chip.infer(counts), self._timeout_s)

    def close(self) -> None:
        """Let go of the chip; one that failed before may fail at this too, and nobody is told."""
        if not self._lost:
            with suppress(*([Exception] if self._failed else [])):
                self._ask(self._chip.close, self._timeout_s)
            if self._worker is not None:
                self._worker.stop()
            self._worker = None

    def _ask(self, action: Callable[[], T], limit: float | None) -> T:
        if self._lost:
            raise BackendError(f"{self.name} was given up after an inference that took too long")
        try:
            return action() if self._worker is None else self._in_time(self._worker, action, limit)
        except BackendError:
            self._failed = True
            raise
        except RivcError:
            raise
        except Exception as error:  # whatever a driver may raise
            self._failed = True
            raise BackendError(f"{self.name} failed: {in_one_line(error)}") from error

    def _in_time(self, worker: _Worker, action: Callable[[], T], limit: float | None) -> T:
        future = worker.start(action)
        if not wait([future], limit).done:
            self._lost = True
            worker.stop()  # once the driver answers after all
            raise BackendError(
                f"{self.name} did not answer within {limit:g} s; see backend.timeout_s"
            )
        return future.result()


class StandIn:
    """A chip for which the emulator stands in as soon as it fails.

    Args:
        chip: raises `BackendError` when it fails, as `Guarded` does.
        on_failure: told once, with the error.

    Attributes:
        name: of the one that answers.
        is_emulated: True from the first failure on.
    """

    def __init__(self, chip: Backend, on_failure: Callable[[BackendError], None]) -> None:
        self.name, self.profile = chip.name, chip.profile
        self._chip, self._on_failure = chip, on_failure
        self._program: SpikingProgram | None = None
        self.is_emulated, self.is_exact = False, is_exact(chip)
        self.spikes_are_counts = spikes_are_counts(chip)

    def check(self, program: SpikingProgram) -> list[Violation]:
        """Return every limit of the chip that the program exceeds."""
        return self._chip.check(program)

    def load(self, program: SpikingProgram) -> None:
        """Put a program on the chip, or into the emulator; one that is refused is not kept."""
        try:
            self._chip.load(program)
        except BackendError as error:
            self._stand_in(program, error)
        self._program = program

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        """Run the loaded program on unsigned counts, uint8, [B, *shape]."""
        try:
            return self._chip.infer(counts)
        except BackendError as error:
            self._stand_in(self._program, error)
        return self._chip.infer(counts)

    def close(self) -> None:
        """Let go of the chip that answers."""
        self._chip.close()

    def _stand_in(self, program: SpikingProgram | None, error: BackendError) -> None:
        if self.is_emulated or program is None:
            raise error
        emulator = Emulator()
        emulator.load(program)
        self._chip.close()
        self._chip, self.name, self.is_emulated = emulator, emulator.name, True
        self.is_exact, self.spikes_are_counts = True, True
        self._on_failure(error)


class _Worker:
    """One thread that does what it is told, one thing after the other."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        Thread(target=self._work, name="rivc chip", daemon=True).start()

    def start(self, action: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._jobs.put((action, future))
        return future

    def stop(self) -> None:
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            action, future = job
            try:
                future.set_result(action())
            except BaseException as error:  # it belongs to whoever waits
                future.set_exception(error)
