"""Integer against integer: every form of a program on the same states.

A form is a function from counts, uint8 [B, *shape], to a readout, int64 [B, d, n]. The definition
is one, each chip is one, and so is the network that the program came from.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import MismatchError
from rivc.neurochip.registry import backend_infos, load_backend
from rivc.snn_convert import reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from rivc.neurochip.backend import Backend
    from rivc.snn_convert import SpikingProgram

Form = Callable[["NDArray[np.uint8]"], "NDArray[np.int64]"]

BATCH: Final = 64
WITNESSES: Final = ("emulator", "snntorch")


@dataclass(frozen=True, slots=True)
class Difference:
    """One integer that is not what it should be.

    Attributes:
        state: index of the state.
        readout: group and action.
        got: what the form gave.
        expected: what the definition gives.
    """

    state: int
    readout: tuple[int, int]
    got: int
    expected: int

    def __str__(self) -> str:
        group, action = self.readout
        where = f"state {self.state}, readout [{group}, {action}]"
        return f"{where}: got {self.got}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class FormResult:
    """How one form compares with the definition.

    Attributes:
        states: compared.
        mismatches: states with at least one different integer.
        first: the first different integer, None if there is none.
    """

    states: int
    mismatches: int
    first: Difference | None = field(default=None, compare=False)


def compare(readout: NDArray[np.int64], expected: NDArray[np.int64]) -> FormResult:
    """Count the states in which two readouts, [B, d, n], differ."""
    differs = readout != expected
    mismatches = int(differs.any(axis=(1, 2)).sum())
    if not mismatches:
        return FormResult(len(expected), 0)
    state, group, action = (int(i) for i in np.argwhere(differs)[0])
    got, wanted = int(readout[state, group, action]), int(expected[state, group, action])
    return FormResult(len(expected), mismatches, Difference(state, (group, action), got, wanted))


def batches(counts: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Cut states into parts that fit any memory; no states are one part without any."""
    return (counts[i : i + BATCH] for i in range(0, max(len(counts), 1), BATCH))


def run_in_batches(form: Form, counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return a form's readout of any number of states, in bounded memory."""
    return np.concatenate([form(part) for part in batches(counts)])


def compare_all(
    forms: Mapping[str, Form], counts: NDArray[np.uint8], expected: NDArray[np.int64]
) -> dict[str, FormResult]:
    """Run every form on the same states, and compare each readout with the expected one.

    Raises:
        MismatchError: if a form gives a readout of another shape.
    """
    results = {}
    for name, form in forms.items():
        readout = run_in_batches(form, counts)
        if readout.shape != expected.shape:
            shapes = f"{readout.shape}, expected {expected.shape}"
            raise MismatchError(f"{name} gives a readout of shape {shapes}")
        results[name] = compare(readout, expected)
    return results


@contextmanager
def program_forms(program: SpikingProgram, backend: str | None = None) -> Iterator[dict[str, Form]]:
    """Give the forms in which a program can be run here, by name; their chips are closed after it.

    The int64 reference; the emulator and, if it is installed, snnTorch, where the program fits
    them; and the back end that was named.

    Raises:
        ConfigError, MissingError: if the named back end is unknown or not installed.
        ChipLimitError: if the program does not fit it.
    """
    installed = {info.name for info in backend_infos() if info.is_installed}
    names = [name for name in WITNESSES if name in installed and name != backend]
    forms: dict[str, Form] = {"reference": lambda counts: reference.run(program, counts)}
    with ExitStack() as stack:
        for name in [*names, *([backend] if backend else [])]:
            chip = load_backend(name)
            stack.callback(chip.close)
            if name == backend or not chip.check(program):
                chip.load(program)
                forms[chip.name] = chip_form(chip)
        yield forms


def chip_form(chip: Backend) -> Form:
    """Return the form of a chip that has its program loaded."""
    return lambda counts: chip.infer(counts).readout
