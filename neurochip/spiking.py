"""Real spikes, tick by tick, under any schedule, on a chip as lossy as one likes.

Without losses it gives the integers of the definition under every schedule. With them it is a chip
that errs, for training on it and for seeing what a policy withstands:
``--backend spiking --backend.options.schedule radix --backend.options.dropped_spikes 0.01``.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import BackendError, ConfigError, nearest
from rivc.neurochip.backend import Inference, Violation, require_fit
from rivc.neurochip.limits import ChipLimits
from rivc.snn_convert.lossy import Lossy
from rivc.snn_convert.schedules import THERMOMETERS, check_schedule, simulate
from rivc.snn_convert.schedules.circuit import REGISTER_BITS, build_circuit, wire

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rivc.snn_convert import SpikingProgram
    from rivc.snn_convert.schedules.circuit import Circuit

LIMITS: Final = ChipLimits(membrane_bits=REGISTER_BITS)
_LOSSES: Final = tuple(field.name for field in fields(Lossy))


class Spiking:
    """A chip of spiking neurons; see the module.

    Its neurons spike as often as the definition counts under the schedules that fire a thermometer
    code (synchronous, gated); once a digit under radix; under signed also for what they take back.

    Attributes:
        schedule: one of `rivc.snn_convert.schedules.SCHEDULES`.
        lossy: what it gets wrong.

    Raises:
        ConfigError: if an option is unknown or out of its range.

    Example:
        >>> Spiking("radix", dropped_spikes=0.01).is_exact
        False
    """

    name = "spiking"
    profile = "ideal"
    limits = LIMITS

    def __init__(self, schedule: str = "synchronous", **losses: Any) -> None:
        for option in losses:
            if option not in _LOSSES:
                known = ("schedule", *_LOSSES)
                what = f"spiking has no option {option!r}; known: {', '.join(known)}"
                raise ConfigError(f"{what}{nearest(option, known)}")
        check_schedule(schedule)
        self.schedule, self.lossy = schedule, Lossy(**losses)
        self._circuit: Circuit | None = None

    @property
    def is_exact(self) -> bool:
        """True if it gives the integers of the definition."""
        return self.lossy.is_exact

    @property
    def spikes_are_counts(self) -> bool:
        """True under the schedules in which a neuron spikes once for every count."""
        return self.schedule in THERMOMETERS

    def check(self, program: SpikingProgram) -> list[Violation]:
        """Return every limit that the program exceeds: with losses, a membrane's width."""
        too_wide = [
            Violation(
                stage.index,
                f"with these losses a membrane of {stage.bits} bits, it holds {REGISTER_BITS}",
                "use fewer ticks, narrower weights or no weight noise",
            )
            for stage in wire(program, self.lossy)
            if stage.bits > REGISTER_BITS
        ]
        return self.limits.violations(program) + too_wide

    def load(self, program: SpikingProgram) -> None:
        """Wire up the neurons of a program."""
        require_fit(self, program)
        self._circuit = build_circuit(program, self.lossy)

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        """Run the loaded program on unsigned counts, uint8, [B, *shape]."""
        if self._circuit is None:
            raise BackendError("no program is loaded on spiking; call load(program) first")
        run = simulate(self._circuit, counts, self.schedule)
        return Inference(run.readout, run.spike_counts)

    def close(self) -> None:
        """Forget the program."""
        self._circuit = None
