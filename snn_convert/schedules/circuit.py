r"""A program as neurons and synapses: the constants of every layer, in whole numbers.

Membranes are counted in 2u-ths of the program's membrane unit, where u = 1 on an exact chip: the
doubling makes the half step whole, and u the fractions of a lossy chip. A neuron then starts from
an odd number and has an even threshold, so that no membrane ever equals a multiple of it, and chips
that compare with > and with >= agree.

.. math:: v = 2u (2^F z + B) + 2 \lfloor u\,th' / 2 \rfloor + 1, \quad th' = th\,L/T

with T the spikes that a neuron can emit: T = L on an exact chip. The readout starts from u and is
read as floor(v / 2u).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import QuantError
from rivc.quant.exact import SIGNIFICAND
from rivc.snn_convert.lossy import EXACT
from rivc.snn_convert.windows import padded, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from rivc.snn_convert.lossy import Lossy
    from rivc.snn_convert.program import Layer, SpikingProgram

    Plumbing = tuple[Layer, ...]  # what has no weights: maxpool2d and flatten

REGISTER_BITS: Final = 64


@dataclass(frozen=True, eq=False)
class Stage:
    """A layer with weights, and the plumbing between it and the next one.

    Attributes:
        layer: dense or conv2d.
        index: of the layer in the program.
        shape: of its neurons.
        pools: the maxpool2d layers that follow.
        flatten: the flatten layer that follows these, or nothing.
        matrix: weights, [inputs of a neuron, outputs], exact in the float type that they have.
        gain: membrane units that one unit of a weighted sum stands for.
        bias: of one injection, in membrane units, int64, [out].
        start: membrane before anything arrives, int64, [out].
        threshold: in membrane units, int64, [out]; empty in a readout.
        levels: T, the most spikes that a neuron keeps emitted; 0 in a readout.
        unit: u.
        reach: largest magnitude of a membrane before any spike.
        spent: the most that spikes take from it.
    """

    layer: Layer
    index: int
    shape: tuple[int, ...]
    pools: Plumbing
    flatten: Plumbing
    matrix: NDArray[Any]
    gain: int
    bias: NDArray[np.int64]
    start: NDArray[np.int64]
    threshold: NDArray[np.int64]
    levels: int
    unit: int
    reach: int
    spent: int

    @property
    def bits(self) -> int:
        """Width, sign included, of a register for every membrane under every schedule."""
        return (2 * self.reach + self.spent).bit_length() + 1

    def current(self, frame: NDArray[Any]) -> NDArray[np.int64]:
        """Return what a frame of counts or spikes, [B, ...], adds to the membranes."""
        rows = frame if self.layer.kind == "dense" else windows(self.layer, frame)
        sums = rows.reshape(-1, len(self.matrix)).astype(self.matrix.dtype) @ self.matrix
        current: NDArray[np.int64] = sums.astype(np.int64) * self.gain
        return current.reshape(len(frame), *self.shape)


@dataclass(frozen=True, eq=False)
class Circuit:
    """A program on a chip with given losses; built once, run many times.

    Attributes:
        program: the program.
        lossy: the losses.
        entry: plumbing before the first layer with weights.
        stages: the readout last.
    """

    program: SpikingProgram
    lossy: Lossy
    entry: Plumbing
    stages: tuple[Stage, ...]


def build_circuit(program: SpikingProgram, lossy: Lossy = EXACT) -> Circuit:
    """Wire a program up.

    Raises:
        QuantError: if a membrane of a lossy chip does not fit 64 bits; a program always does.
    """
    circuit = Circuit(program, lossy, _entry(program), tuple(wire(program, lossy)))
    for stage in circuit.stages:
        if stage.bits > REGISTER_BITS:
            what = f"layer {stage.index}: with these losses a membrane has {stage.bits} bits"
            raise QuantError(f"{what}, more than {REGISTER_BITS}; take smaller losses")
    return circuit


def _entry(program: SpikingProgram) -> Plumbing:
    first = next(i for i, layer in enumerate(program.layers) if layer.has_weights)
    return program.layers[:first]


@dataclass(frozen=True, slots=True)
class _Arrivals:
    """What a layer receives: the worth of one unit in counts, the most at once and in all."""

    worth: Fraction
    largest: int
    total: Fraction | int


def wire(program: SpikingProgram, lossy: Lossy = EXACT) -> Iterator[Stage]:
    """Walk down a program with what arrives at each layer, and yield its stages."""
    arrivals = _Arrivals(lossy.share, program.encoding.levels, program.encoding.levels)
    weighted = [i for i, layer in enumerate(program.layers) if layer.has_weights]
    ticks = 0
    for i, after in zip(weighted, [*weighted[1:], len(program.layers)], strict=True):
        stage = _stage(program, lossy, slice(i, after), arrivals)
        yield stage
        ticks += stage.levels
        # A neuron takes back no more than it gave, unless what it takes back is dropped.
        most = ticks if lossy.dropped_spikes else stage.levels
        worth = Fraction(stage.layer.levels, stage.levels or 1)
        arrivals = _Arrivals(worth, max(stage.levels, 1), worth * most)


def _stage(program: SpikingProgram, lossy: Lossy, span: slice, arrivals: _Arrivals) -> Stage:
    layer, *plumbing = program.layers[span]
    levels = lossy.levels_of(layer.levels) if layer.levels else 0
    worth = Fraction(layer.levels, levels or 1)
    dividers = (x.denominator for x in (arrivals.worth, worth, lossy.share))
    unit = lossy.weight_steps * math.lcm(*dividers)
    weight = lossy.weights(layer.weight, span.start).reshape(len(layer.weight), -1)
    gain = int(2 * unit * arrivals.worth / lossy.weight_steps) << layer.frac_bits
    threshold = layer.threshold.astype(np.int64) * int(2 * unit * worth)
    bias = layer.bias.astype(np.int64) * int(2 * unit * lossy.share)
    heaviest = int(np.abs(weight).sum(1).max())
    drive = heaviest * gain * (arrivals.total / arrivals.worth)
    start = 2 * (threshold // 4) + 1 if levels else np.full(1, unit, np.int64)
    offset = int(np.abs(bias).max()) / lossy.share + int(start.max())
    highest = int(threshold.max(initial=0))
    return Stage(
        layer=layer,
        index=span.start,
        shape=program.shapes[span.start + 1],
        pools=tuple(q for q in plumbing if q.kind == "maxpool2d"),
        flatten=tuple(q for q in plumbing if q.kind == "flatten"),
        matrix=_matrix(weight, heaviest * arrivals.largest),
        gain=gain,
        bias=bias,
        start=start,
        threshold=threshold,
        levels=levels,
        unit=unit,
        reach=math.ceil(drive + offset) + math.ceil(lossy.membrane_noise) * highest,
        spent=levels * highest,
    )


def _matrix(weight: NDArray[np.int64], largest_sum: int) -> NDArray[Any]:
    """Weights, transposed, in the narrowest float type in which every sum is exact."""
    narrow = largest_sum < 1 << SIGNIFICAND["float32"]
    return np.ascontiguousarray(weight.T, np.float32 if narrow else np.float64)


def plumb(layers: Iterable[Layer], x: NDArray[Any]) -> NDArray[Any]:
    """Send counts, spikes or membranes, [B, ...], through pools and flatten.

    Padding is zero in all of them: a membrane of zero fires as little as one below it.
    """
    return reduce(lambda x, layer: _PLUMBING[layer.kind](layer, x), layers, x)


def _maxpool2d(layer: Layer, x: NDArray[Any]) -> NDArray[Any]:
    """The largest of every window: along the columns, then along the rows."""
    x = padded(layer, x)
    high, wide, _ = (side - layer.kernel + 1 for side in x.shape[1:])
    x = reduce(np.maximum, (x[:, i : i + high : layer.stride] for i in range(layer.kernel)))
    return reduce(np.maximum, (x[:, :, j : j + wide : layer.stride] for j in range(layer.kernel)))


def _flatten(_: Layer, x: NDArray[Any]) -> NDArray[Any]:
    return x.reshape(len(x), math.prod(x.shape[1:]))


_PLUMBING: Final[dict[str, Callable[[Layer, NDArray[Any]], NDArray[Any]]]] = {
    "maxpool2d": _maxpool2d,
    "flatten": _flatten,
}
