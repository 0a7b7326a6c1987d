"""What a chip gave, what it should have given, and which wrong arithmetic gives the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.neurochip.testing.generate import describe
from rivc.neurochip.testing.report import Cause, Mismatch
from rivc.neurochip.testing.variants import VARIANTS
from rivc.snn_convert import reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.snn_convert import SpikingProgram

STALE: Final = (
    "the program loaded before still runs",
    "load must replace every integer also where no shape changes",
)


@dataclass(frozen=True, eq=False)
class Subject:
    """A program with states and the integers that it must give for them.

    Attributes:
        text: an expression that makes the program.
        program: itself.
        inputs: counts, uint8, [N, *shape].
        kinds: of each input: its kind, and its index in the kind.
        readout: by definition, int64, [N, d, n].
        spike_counts: by definition, int64, [layers, N].
    """

    text: str
    program: SpikingProgram
    inputs: NDArray[np.uint8]
    kinds: list[tuple[str, int]]
    readout: NDArray[np.int64]
    spike_counts: NDArray[np.int64]


def make_subject(
    text: str, program: SpikingProgram, states: dict[str, NDArray[np.uint8]]
) -> Subject:
    """Ask the definition what a program must give for some kinds of states."""
    inputs = np.concatenate(list(states.values()))
    emitted = reference.trace(program, inputs)
    spikes = [
        x.reshape(len(x), -1).sum(1)
        for x, layer in zip(emitted, program.layers, strict=True)
        if layer.levels
    ]
    return Subject(
        text,
        program,
        inputs,
        [(kind, i) for kind, x in states.items() for i in range(len(x))],
        emitted[-1].reshape(-1, *program.action_layout),
        np.array(spikes, np.int64).reshape(len(spikes), len(inputs)),
    )


def first_mismatch(
    subject: Subject,
    circumstances: tuple[str, int, str],
    got: NDArray[np.int64],
    expected: NDArray[np.int64],
) -> Mismatch:
    """Tell of the first different integer.

    Args:
        subject: what was run.
        circumstances: what had been done before, largest batch size, how to name a place.
        got: [B, ...].
        expected: the same shape.
    """
    when, size, where = circumstances
    differs = got != expected
    first = tuple(int(i) for i in np.argwhere(differs)[0])
    kind, state = subject.kinds[first[0]]
    batch_start = first[0] // size * size
    return Mismatch(
        program=subject.text,
        layers=describe(subject.program),
        when=when,
        batch_size=min(size, len(got) - batch_start),
        differing=int(differs.reshape(len(differs), -1).any(1).sum()),
        states=len(differs),
        kind=kind,
        state=state,
        where=where.format(*first[1:]),
        got=int(got[first]),
        expected=int(expected[first]),
    )


@dataclass(frozen=True, eq=False)
class Evidence:
    """A readout that differs, and the program that was on the chip before."""

    subject: Subject
    readout: NDArray[np.int64]
    before: SpikingProgram | None

    def is_given_by(
        self, form: Callable[[SpikingProgram, NDArray[np.uint8]], NDArray[np.int64]]
    ) -> bool:
        """Tell whether a way of running programs gives every integer of the chip."""
        return np.array_equal(form(self.subject.program, self.subject.inputs), self.readout)

    def is_stale(self) -> bool:
        """Tell whether the integers are those of the program that was loaded before."""
        before = self.before
        return before is not None and self.is_given_by(lambda _, x: reference.run(before, x))


def explain(evidence: list[Evidence]) -> tuple[Cause, ...]:
    """Return the wrong arithmetic that gives every integer of the chip; else what comes closest."""
    explained = {
        (variant.name, variant.look_at): sum(e.is_given_by(variant.run) for e in evidence)
        for variant in VARIANTS
    }
    explained[STALE] = sum(e.is_stale() for e in evidence)
    most = max(explained.values())
    return tuple(
        Cause(*words, count, len(evidence))
        for words, count in explained.items()
        if most and count == most
    )
