"""A program as spikes, tick by tick, under a choice of schedules; every one of them is exact.

A schedule is one function: it steps a `Machine` and returns its latency. What all of them share
(neurons, synapses, pools, losses, records) is in `machine`, the constants are in `circuit`.
Spikes act in the tick in which they are emitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rivc.errors import ConfigError, nearest
from rivc.snn_convert.lossy import EXACT, Lossy
from rivc.snn_convert.schedules.circuit import Circuit, build_circuit
from rivc.snn_convert.schedules.gated import gated
from rivc.snn_convert.schedules.machine import Machine, SpikingRun
from rivc.snn_convert.schedules.radix import radix
from rivc.snn_convert.schedules.signed import signed
from rivc.snn_convert.schedules.streaming import streaming
from rivc.snn_convert.schedules.synchronous import synchronous

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from rivc.snn_convert.program import SpikingProgram

    Schedule = Callable[[Machine], NDArray[Any] | int]

__all__ = [
    "SCHEDULES",
    "THERMOMETERS",
    "Lossy",
    "SpikingRun",
    "build_circuit",
    "check_schedule",
    "run",
    "simulate",
]

SCHEDULES: Final[dict[str, Schedule]] = {
    "synchronous": synchronous,
    "signed": signed,
    "radix": radix,
    "gated": gated,
}
THERMOMETERS: Final = ("synchronous", "gated")  # in which a neuron spikes once for every count


def run(
    program: SpikingProgram,
    counts: ArrayLike,
    schedule: str = "synchronous",
    *,
    lossy: Lossy = EXACT,
    raster: bool = False,
) -> SpikingRun:
    """Run a program as spikes.

    Args:
        program: the program.
        counts: unsigned counts, uint8, [B, *shape], as `program.encode` gives them.
        schedule: one of `SCHEDULES`.
        lossy: what the chip gets wrong; nothing, and the readout is that of `reference.run`.
        raster: also record every spike and the readout of every tick.

    Raises:
        ConfigError: if there is no such schedule.
        QuantError: if the program cannot take the counts, or 64 bits the losses.

    Example:
        >>> import numpy as np
        >>> from rivc.quant.encoding import InputEncoding
        >>> from rivc.snn_convert import Layer, SpikingProgram
        >>> weight, bias = np.ones((1, 1), np.int8), np.zeros(1, np.int32)
        >>> hidden = Layer("dense", weight, bias, np.array([4], np.int32), weight_bits=2, levels=7)
        >>> last = Layer("dense", weight, bias, weight_bits=2)
        >>> encoding = InputEncoding("vector", (1,), 8, (0.0,), (1.0,))
        >>> program = SpikingProgram(encoding, (hidden, last), 1.0, (1, 1), "ideal")
        >>> done = run(program, np.array([[20]], np.uint8), "radix", raster=True)
        >>> int(done.readout[0, 0, 0]), done.rasters[0].ravel().tolist(), int(done.ticks[0])
        (5, [1, 0, 1, 0], 4)
    """
    return simulate(build_circuit(program, lossy), counts, schedule, raster=raster)


def simulate(
    circuit: Circuit, counts: ArrayLike, schedule: str = "synchronous", *, raster: bool = False
) -> SpikingRun:
    """Run a circuit that is already built; see `run`. Streaming replaces the schedule.

    Raises:
        ConfigError: if there is no such schedule.
        QuantError: if the program cannot take the counts.
    """
    check_schedule(schedule)
    machine = Machine(circuit, counts, raster=raster)
    step = streaming if circuit.lossy.streaming else SCHEDULES[schedule]
    return machine.finish(step(machine))


def check_schedule(name: str) -> None:
    """Raise ConfigError unless there is a schedule of this name."""
    if name not in SCHEDULES:
        hint = f"known: {', '.join(SCHEDULES)}{nearest(str(name), SCHEDULES)}"
        raise ConfigError(f"unknown schedule {name!r}; {hint}")
