"""What a chip has to offer: one small protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rivc.errors import ChipLimitError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rivc.snn_convert import SpikingProgram


@dataclass(frozen=True, slots=True)
class Violation:
    """One limit that a program exceeds.

    Attributes:
        layer: index in the program; -1 for the program as a whole.
        what: value and limit.
        remedy: what to change.
    """

    layer: int
    what: str
    remedy: str

    def __str__(self) -> str:
        where = "program" if self.layer < 0 else f"layer {self.layer}"
        return f"{where}: {self.what}; {self.remedy}"


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """What a chip gave for a batch.

    Attributes:
        readout: integers, int64, [B, d, n].
        spike_counts: spikes that every spiking layer emitted, int64, [layers, B]; the counts of the
            definition, unless the chip says otherwise; see `spikes_are_counts`.
    """

    readout: NDArray[np.int64]
    spike_counts: NDArray[np.int64]


@runtime_checkable
class Backend(Protocol):
    """A chip that holds one program at a time.

    Two attributes may be left out, for they are True: `is_exact` is False for a chip that errs on
    purpose, `spikes_are_counts` for one whose neurons do not spike once for every count.

    Attributes:
        name: as the command line knows it.
        profile: the arithmetic profile to train in, when the configuration says `auto`.
    """

    name: str
    profile: str

    def check(self, program: SpikingProgram) -> list[Violation]:
        """Return every limit that the program exceeds; an empty list if it fits."""
        ...

    def load(self, program: SpikingProgram) -> None:
        """Put a program on the chip; called at every iteration, so it must be cheap.

        Raises:
            ChipLimitError: if the program does not fit.
            BackendError: if the chip fails.
        """
        ...

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        """Run the loaded program on unsigned counts, uint8, [B, *shape].

        Raises:
            QuantError: if the program cannot take the counts.
            BackendError: if no program is loaded or the chip fails.
        """
        ...

    def close(self) -> None:
        """Let go of the device; harmless when called twice."""
        ...


def is_exact(backend: Backend) -> bool:
    """Tell whether a chip claims the integers of the definition; one that is silent does."""
    return bool(getattr(backend, "is_exact", True))


def spikes_are_counts(backend: Backend) -> bool:
    """Tell whether neurons spike once for every count, as in a thermometer code.

    A code of digits takes fewer spikes for the same counts, a signed one more.
    """
    return bool(getattr(backend, "spikes_are_counts", True))


def require_fit(backend: Backend, program: SpikingProgram) -> None:
    """Raise ChipLimitError, naming every violation, unless the program fits the chip."""
    violations = backend.check(program)
    if violations:
        listed = " | ".join(map(str, violations))
        raise ChipLimitError(f"the program does not fit {backend.name}: {listed}")
