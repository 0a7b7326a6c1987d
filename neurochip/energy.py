r"""Energy and time of a decision, each with a label that says where it comes from.

An `Estimate` is "modelled" (operation counts times published or assumed constants, all of them
attached) or "measured" (by a clock or a meter, with the spread). Modelled chips are arithmetic and
memory alone: static power, control, routing and the host come on top. So a modelled ratio is no
measurement, and only means something between two estimates that cover the same.

.. math:: E = N_{mac} e_{mac} + N_{ac} e_{ac} + N_{update} e_{update} + bytes \cdot e_{byte}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from rivc.neurochip.cost import ProgramCost
    from rivc.snn_convert import SpikingProgram

Kind = Literal["modelled", "measured"]
Basis = Literal["published", "quoted", "scaled by us", "assumed by us"]
_PREFIXES: Final = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that a model is made of.

    Attributes:
        name: what it is.
        value: in `unit`.
        unit: "pJ", "W", "Hz" or "1".
        source: who says so.
        basis: "published" (read in the source, or in a table that cites it), "quoted" (as it is
            commonly cited; the original was not looked up), "scaled by us" or "assumed by us".
    """

    name: str
    value: float
    unit: str
    source: str
    basis: Basis


@dataclass(frozen=True, slots=True)
class Estimate:
    """Energy and time of one decision.

    Attributes:
        name: of what computes it.
        kind: "modelled" or "measured".
        node: of the silicon, or the machine.
        energy: in joules; None: not known.
        latency: in seconds; None: not known. A measured one is a median.
        spread: of a measured latency, the quartiles, in seconds.
        constants: of a model.
        covers: what is in it, and so what is not.
    """

    name: str
    kind: Kind
    node: str
    energy: float | None
    latency: float | None = None
    spread: tuple[float, float] | None = None
    constants: tuple[Constant, ...] = ()
    covers: str = ""


_HOROWITZ: Final = "Horowitz, ISSCC 2014, 45 nm, 0.9 V"
_DAVIES: Final = "Davies et al., IEEE Micro 38(1), 2018, 14 nm"
_PI4: Final = "MagPi 88, Raspberry Pi 4, whole board"
_SCALED: Final = f"int8 multiply of {_HOROWITZ}, with the product of both widths"
_A72: Final = "Raspberry Pi 4, Cortex-A72"
CHIP: Final = "arithmetic and memory"

INTEGERS: Final = "event-driven integers"
FLOATS: Final = "the same network in fp32"

CONSTANTS: Final = {
    row.name: row
    for row in (
        Constant("fp32 add", 0.9, "pJ", _HOROWITZ, "published"),
        Constant("fp32 multiply", 3.7, "pJ", _HOROWITZ, "published"),
        Constant("int32 add", 0.1, "pJ", _HOROWITZ, "published"),
        Constant("int8 multiply", 0.2, "pJ", _HOROWITZ, "quoted"),
        Constant("multiply, a bit of weight and of count", 0.2 / 64, "pJ", _SCALED, "scaled by us"),
        Constant("8 kB memory, a byte", 10 / 8, "pJ", f"{_HOROWITZ}, 64 bits", "published"),
        Constant("synaptic operation", 23.6, "pJ", _DAVIES, "quoted"),
        Constant("neuron update, active", 81.0, "pJ", _DAVIES, "quoted"),
        Constant("neuron update, inactive", 52.0, "pJ", _DAVIES, "quoted"),
        Constant("clock", 1.5e9, "Hz", _A72, "quoted"),
        Constant("fp32 MACs a cycle", 4, "1", "one 128-bit FMLA", "assumed by us"),
        Constant("share of that at batch 1", 0.25, "1", "waits for memory", "assumed by us"),
        Constant("full load, four cores", 6.4, "W", _PI4, "quoted"),
        Constant("idle", 2.1, "W", _PI4, "quoted"),
    )
}


def modelled(program: SpikingProgram, cost: ProgramCost) -> list[Estimate]:
    """Return every modelled estimate of a decision: three of chips, two of processors.

    Args:
        program: whose widths and levels count.
        cost: what it does, as `measure_cost` found.
    """
    return [
        _integers_45nm(program, cost),
        _loihi(program, cost),
        _floats_45nm(cost),
        *_cortex_a72(cost),
    ]


def _integers_45nm(program: SpikingProgram, cost: ProgramCost) -> Estimate:
    """Event-driven integers with packed weights in small memories."""
    names = ("multiply, a bit of weight and of count", "int32 add", "8 kB memory, a byte")
    a_bit, add, byte = _values(*names)
    picojoules = cost.total.traffic * byte
    for layer, levels_in, part in zip(program.layers, program.levels_in, cost.layers, strict=True):
        multiply = a_bit * layer.weight_bits * levels_in.bit_length()
        picojoules += part.macs * (multiply + add) + part.acs * add
        picojoules += part.membrane_updates * 2 * add  # bias or threshold added, and compared
    return _model(INTEGERS, "45 nm", picojoules, names)


def _loihi(program: SpikingProgram, cost: ProgramCost) -> Estimate:
    """Every spike by itself; layers one after the other, each neuron updated in every tick."""
    names = ("synaptic operation", "neuron update, active", "neuron update, inactive")
    synop, active, inactive = _values(*names)
    ticks = sum(layer.levels for layer in program.layers) + 1
    total = cost.total
    updates = total.membrane_updates * ticks * inactive + total.spikes * (active - inactive)
    picojoules = total.spike_operations * synop + updates
    return _model(f"Loihi, per operation, {ticks} ticks", "14 nm", picojoules, names)


def _floats_45nm(cost: ProgramCost) -> Estimate:
    """The same shapes in fp32, nothing skipped, in the silicon of the first row."""
    names = ("fp32 multiply", "fp32 add", "8 kB memory, a byte")
    multiply, add, byte = _values(*names)
    picojoules = cost.total.dense * (multiply + add + 4 * byte)
    return _model(FLOATS, "45 nm", picojoules, names)


def _cortex_a72(cost: ProgramCost) -> list[Estimate]:
    """The same shapes in fp32 on one core of a Raspberry Pi 4: its share above idle, and all."""
    rate = ("clock", "fp32 MACs a cycle", "share of that at batch 1")
    clock, macs, share = _values(*rate)
    load, idle = _values("full load, four cores", "idle")
    seconds = cost.total.dense / (clock * macs * share)
    constants = tuple(CONSTANTS[name] for name in (*rate, "full load, four cores", "idle"))
    core = (load - idle) / 4
    return [
        Estimate(
            "the same network in fp32, Cortex-A72",
            "modelled",
            "28 nm",
            watts * seconds,
            seconds,
            constants=constants,
            covers=covers,
        )
        for covers, watts in (("one core above idle", core), ("board, one core busy", idle + core))
    ]


def _values(*names: str) -> list[float]:
    return [CONSTANTS[name].value for name in names]


def _model(name: str, node: str, picojoules: float, constants: tuple[str, ...]) -> Estimate:
    rows = tuple(CONSTANTS[constant] for constant in constants)
    return Estimate(name, "modelled", node, picojoules * 1e-12, constants=rows, covers=CHIP)


@dataclass(frozen=True, slots=True)
class Reported:
    """What others measured on their own chip, network and task; not comparable with any row here.

    Attributes:
        name: what was compared.
        power_ratio: of the compared powers.
        speed_ratio: of the compared speeds.
        source: who measured it.
    """

    name: str
    power_ratio: float
    speed_ratio: float
    source: str


PAPER: Final = Reported(
    "neurochip against a quad-core Cortex-A72",
    1 / 15,
    5.0,
    "Kadokawa et al. 2024, abstract: measured by its authors, on their chip, network and task",
)


def scaled(value: float | None, unit: str) -> str:
    """Return a value with the prefix that leaves one to three digits in front.

    >>> scaled(3.5e-7, "J"), scaled(None, "J"), scaled(0.0, "s")
    ('350 nJ', '', '0 ps')
    """
    if value is None:
        return ""
    factor, prefix = next((p for p in _PREFIXES if value >= p[0]), _PREFIXES[-1])
    return f"{value / factor:.3g} {prefix}{unit}"
