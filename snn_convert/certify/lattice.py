r"""How far the counts of a program can move when its chip errs: sound intervals on the lattice.

On a chip that errs within the bounds of a `Disturbance`, the membrane of a spiking neuron is

.. math:: v = 2^F \sum_j w_j c_j + B + \lfloor th / 2 \rfloor + \tfrac12 + e, \qquad
          |e| \le noise \cdot th + 2^F \cdot weight\_error \sum_j |w_j| c_j

All but e and the half is whole, so e acts as the whole number nearest to it, and what stays between
two thresholds changes no count at all: that is what makes bounds on the lattice tight. A staircase
is monotone, so an interval of membranes gives, exactly, an interval of counts.

Soundness: intervals are whole numbers below 2^53, carried in float64 and so never rounded; the two
real bounds are rounded outwards, once, when they become whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import ConfigError, QuantError
from rivc.snn_convert.reference import check_counts
from rivc.snn_convert.synapses import Synapses, flat, unfold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from rivc.snn_convert.program import Layer, SpikingProgram

    Reals = NDArray[np.float64]

MAX_NOISE: Final = 1000.0
MAX_MEMBRANE_BITS: Final = 48  # leaves float64 room for twice the drive, and for the noise
_CHUNK: Final = 1 << 18  # coefficients in work at a time
_OUTWARDS: Final = 1 + 2.0**-50  # more than the roundings of two products can take away


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What a chip may do wrong, as bounds; biases, thresholds and the readout's sums stay exact.

    Attributes:
        noise: in thresholds: whenever a spiking neuron compares, its membrane may be off by up to
            so many of its thresholds; it bounds `Lossy.membrane_noise`.
        weight_error: relative: every synapse, the readout's too, may weigh up to
            ``weight_error * |w|`` more or less; absent synapses stay absent. `Lossy.weight_noise`
            is absolute instead, in weight steps.
        membrane_bits: width, sign included, of membranes that saturate; None: wide enough. What
            arrives must be final counts, in any order: a schedule whose neurons take spikes back,
            `signed`, or that sends more than counts, `gated`, drives a membrane farther.

    Raises:
        ConfigError: if a bound is out of range.

    Example:
        >>> Disturbance(noise=0.1).weight_error
        0.0
    """

    noise: float = 0.0
    weight_error: float = 0.0
    membrane_bits: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= MAX_NOISE:
            raise ConfigError(f"noise {self.noise} is outside 0..{MAX_NOISE:g} thresholds")
        if not 0 <= self.weight_error <= 1:
            raise ConfigError(f"weight error {self.weight_error} is outside 0..1 of a weight")
        if self.membrane_bits is not None and not 2 <= self.membrane_bits <= 64:
            raise ConfigError(f"a membrane of {self.membrane_bits} bits is outside 2..64")


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """Intervals of counts, [B, *shape]; one and the same array where every count is known."""

    low: Reals
    high: Reals

    @property
    def is_point(self) -> bool:
        """True if every count is known."""
        return self.low is self.high


@dataclass(frozen=True, slots=True, eq=False)
class Wiring:
    """A layer with weights and its operators.

    Attributes:
        layer: the layer.
        signed: its synapses.
        unsigned: their magnitudes.
        unit: membrane units of one weighted sum, 2^F.
        offset: what the membrane starts from, bias and half a threshold, [out].
        fan_out: bound on the magnitudes of all that one input drives, in membrane units.
    """

    layer: Layer
    signed: Synapses
    unsigned: Synapses
    unit: float
    offset: Reals
    fan_out: float

    @classmethod
    def of(cls, layer: Layer, shape: tuple[int, ...]) -> Wiring:
        """Return the wiring of a layer that receives inputs of a shape."""
        signed = Synapses.of(layer, shape)
        offset = layer.bias.astype(np.float64)
        if not layer.is_readout:
            offset += layer.threshold // 2
        unit = float(1 << layer.frac_bits)
        fan_out = unit * signed.widest_fan_out()
        return cls(layer, signed, signed.magnitudes(), unit, offset, fan_out)


@dataclass(frozen=True, slots=True, eq=False)
class Membranes:
    """Where the membranes of a layer can be; of the readout, its integers.

    Attributes:
        wiring: of the layer.
        error: bound on the error of each membrane, in its own units, [B, *out] or [out].
        low: at the least, without the half, [B, *out].
        high: at the most.
        clipped: neurons whose membrane may saturate, bool, [B, *out]; None: none can.
    """

    wiring: Wiring
    error: Reals
    low: Reals
    high: Reals
    clipped: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One layer on the way.

    Attributes:
        layer: the layer.
        received: counts that come in.
        emitted: counts that go out; of the readout, nothing new.
        membranes: of layers with weights.
    """

    layer: Layer
    received: Box
    emitted: Box
    membranes: Membranes | None = None


def membranes_of(stage: Stage) -> Membranes:
    """Return the membranes of a stage that is known to have some."""
    if stage.membranes is None:
        raise TypeError(f"a {stage.layer.kind} layer has no membranes")
    return stage.membranes


class Lattice:
    """The operators of a program, made once for any number of passes.

    Attributes:
        program: any program.
        wirings: one a layer; None for layers without weights.

    Raises:
        QuantError: if its membranes are too wide to be bounded exactly.
    """

    def __init__(self, program: SpikingProgram) -> None:
        widest = max(program.membrane_bits)
        if widest > MAX_MEMBRANE_BITS:
            raise QuantError(
                f"membranes of {widest} bits cannot be bounded exactly, {MAX_MEMBRANE_BITS} can; "
                "use narrower weights or fewer fraction bits"
            )
        self.program = program
        self.wirings = [
            Wiring.of(layer, shape) if layer.has_weights else None
            for layer, shape in zip(program.layers, program.shapes, strict=False)
        ]

    def chunks(self, states: int) -> Iterator[slice]:
        """Cut so many states into parts whose functionals, one a rival, stay near the processor."""
        widest = max(math.prod(shape) for shape in self.program.shapes)
        size = max(1, _CHUNK // (widest * math.prod(self.program.action_layout)))
        return (slice(start, start + size) for start in range(0, max(states, 1), size))

    def reach(self, counts: NDArray[np.uint8], disturbance: Disturbance) -> list[Stage]:
        """Return how far each layer can move around the given inputs, [B, *shape].

        Raises:
            QuantError: if the program cannot take the counts.
        """
        x = check_counts(self.program, counts).astype(np.float64)
        box, stages = Box(x, x), []
        for layer, wiring in zip(self.program.layers, self.wirings, strict=True):
            stages.append(_stage(layer, wiring, box, disturbance))
            box = stages[-1].emitted
        return stages


def _stage(layer: Layer, wiring: Wiring | None, box: Box, disturbance: Disturbance) -> Stage:
    if wiring is None:
        plain = PLAIN[layer.kind]
        low = plain(layer, box.low)
        return Stage(layer, box, Box(low, low if box.is_point else plain(layer, box.high)))
    membranes = _membranes(wiring, box, disturbance)
    emitted = box if layer.is_readout else _fire(membranes)
    return Stage(layer, box, emitted, membranes)


def _flatten(_: Layer, x: Reals) -> Reals:
    return flat(x)


def _maxpool2d(layer: Layer, x: Reals) -> Reals:
    return np.asarray(unfold(layer, x).max(axis=(3, 4)))


PLAIN: Final[dict[str, Callable[[Layer, Reals], Reals]]] = {
    "flatten": _flatten,
    "maxpool2d": _maxpool2d,
}


def _membranes(wiring: Wiring, box: Box, disturbance: Disturbance) -> Membranes:
    low, high = _drive(wiring, box)
    error = _noise(wiring, disturbance) + _weight_error(wiring, box, disturbance)
    clipped = _may_saturate(wiring, box, error, disturbance)
    v_low, v_high = low + wiring.offset - error, high + wiring.offset + error
    return Membranes(wiring, error, v_low, v_high, clipped)


def _drive(wiring: Wiring, box: Box) -> tuple[Reals, Reals]:
    """The weighted sums of an interval: its middle, and how far the magnitudes reach from there."""
    if box.is_point:
        z = wiring.signed.forwards(box.low) * wiring.unit
        return z, z
    middle = wiring.signed.forwards(box.low + box.high) * wiring.unit
    width = wiring.unsigned.forwards(box.high - box.low) * wiring.unit
    return (middle - width) / 2, (middle + width) / 2


def _noise(wiring: Wiring, disturbance: Disturbance) -> Reals:
    """The whole number nearest to the largest noise; the half in the membrane makes it enough."""
    bound = disturbance.noise * wiring.layer.threshold.astype(np.float64) * _OUTWARDS
    return np.floor(bound + 0.5) if len(bound) else np.zeros(1)


def _weight_error(wiring: Wiring, box: Box, disturbance: Disturbance) -> Reals:
    if not disturbance.weight_error:
        return np.zeros(1)
    driven = wiring.unsigned.forwards(box.high) * wiring.unit
    return np.asarray(np.ceil(disturbance.weight_error * driven * _OUTWARDS))


def _may_saturate(
    wiring: Wiring, box: Box, error: Reals, disturbance: Disturbance
) -> NDArray[np.bool_] | None:
    """Tell where some order of arrival could drive a membrane out of its width.

    While inputs arrive, a membrane is never above what its positive synapses add up to, nor below
    the negative ones.
    """
    if disturbance.membrane_bits is None:
        return None
    z, total = wiring.signed.forwards(box.high), wiring.unsigned.forwards(box.high)
    highest = (z + total) / 2 * wiring.unit + wiring.offset + error
    lowest = (z - total) / 2 * wiring.unit + wiring.offset - error
    top = 2.0 ** (disturbance.membrane_bits - 1)
    clipped: NDArray[np.bool_] = (highest >= top) | (lowest < -top)
    return clipped


def _fire(membranes: Membranes) -> Box:
    """The counts of an interval of membranes; a neuron that may saturate can emit any."""
    layer, clipped = membranes.wiring.layer, membranes.clipped
    low = counts_at(layer, membranes.low)
    high = counts_at(layer, membranes.high)
    if clipped is None:
        return Box(low, low if np.array_equal(low, high) else high)
    return Box(np.where(clipped, 0.0, low), np.where(clipped, float(layer.levels), high))


def counts_at(layer: Layer, v_mem: Reals) -> Reals:
    """Return the counts of membranes, offset included; exact below 2^53."""
    steps: NDArray[Any] = np.floor(v_mem / layer.threshold)
    return np.asarray(np.clip(steps, 0.0, float(layer.levels)))
