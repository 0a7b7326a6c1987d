r"""What a decision costs an event-driven chip: operations, bytes, sparsity; counted, not modelled.

Definitions, for a layer with counts x and weights w:

- event: a count that is not 0, whatever its size;
- effective synaptic operation: an event that meets a weight that is not 0; an accumulate (AC) if
  all counts that the layer receives are 0 or 1, else a multiply-accumulate (MAC);
- dense operations: as many as there would be without any zero; zero padding is none;
- spike operations: what is left if every spike is sent by itself, one accumulate a spike and
  synapse; the input is still one operation an event, as a chip takes it in once;
- membrane update: one a spiking neuron;
- footprint: weights at their width, packed as `rivc.quant.pack` does; biases (signed) and
  thresholds at the least width that holds them all;
- traffic: weights that events touch, zeros among them; each membrane read and written once, at the
  width that it needs; each count read and written once.

Reference:
    Yik et al. (2025), The NeuroBench framework for benchmarking neuromorphic computing algorithms
    and systems, for events, operations, updates and both sparsities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.errors import QuantError
from rivc.neurochip.compare import batches
from rivc.snn_convert import reference
from rivc.snn_convert.synapses import Synapses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from rivc.snn_convert import Layer, SpikingProgram

    Reals = NDArray[np.float64]
    Counts = NDArray[np.int64]

# what is added up over states; all of them whole, so that no batch of them rounds another way
ADDED: Final = ("events", "macs", "acs", "spike_operations", "spikes", "active", "touched")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one layer, or of all; what depends on the state is a mean over states.

    Attributes:
        kind: of the layer, or "total".
        events: counts received that are not 0.
        spikes: counts emitted by spiking neurons, added up.
        macs: effective multiply-accumulates.
        acs: effective accumulates.
        dense: operations without any zero.
        spike_operations: accumulates if every spike is sent by itself.
        membrane_updates: spiking neurons.
        active: spiking neurons that emit anything.
        weights: stored weights.
        zero_weights: those of them that are 0.
        weight_bytes: footprint of the weights.
        bias_bytes: footprint of the biases.
        threshold_bytes: footprint of the thresholds.
        weight_traffic: bytes of weights that events touch.
        membrane_traffic: bytes of membranes.
        count_traffic: bytes of counts.
    """

    kind: str
    events: float = 0.0
    spikes: float = 0.0
    macs: float = 0.0
    acs: float = 0.0
    dense: int = 0
    spike_operations: float = 0.0
    membrane_updates: int = 0
    active: float = 0.0
    weights: int = 0
    zero_weights: int = 0
    weight_bytes: int = 0
    bias_bytes: int = 0
    threshold_bytes: int = 0
    weight_traffic: float = 0.0
    membrane_traffic: float = 0.0
    count_traffic: float = 0.0

    @property
    def synops(self) -> float:
        """Effective synaptic operations of both kinds."""
        return self.macs + self.acs

    @property
    def footprint(self) -> int:
        """Bytes of all parameters."""
        return self.weight_bytes + self.bias_bytes + self.threshold_bytes

    @property
    def traffic(self) -> float:
        """Bytes moved in a decision."""
        return self.weight_traffic + self.membrane_traffic + self.count_traffic

    @property
    def connection_sparsity(self) -> float | None:
        """Share of weights that are 0; None where there are none."""
        return self.zero_weights / self.weights if self.weights else None

    @property
    def activation_sparsity(self) -> float | None:
        """Share of spiking neurons that stay silent; None where there are none."""
        return 1 - self.active / self.membrane_updates if self.membrane_updates else None


@dataclass(frozen=True, slots=True)
class ProgramCost:
    """Of a program.

    Attributes:
        layers: one cost a layer.
        states: over which the means were taken.
    """

    layers: tuple[Cost, ...]
    states: int

    @property
    def total(self) -> Cost:
        """All layers together."""
        return total_cost(self.layers)


def total_cost(layers: Iterable[Cost]) -> Cost:
    """Return the sum of some costs."""
    layers = tuple(layers)
    names = [f.name for f in fields(Cost) if f.name != "kind"]
    sums: dict[str, Any] = {name: sum(getattr(cost, name) for cost in layers) for name in names}
    return Cost("total", **sums)


def measure_cost(program: SpikingProgram, counts: NDArray[np.uint8]) -> ProgramCost:
    """Count what a program does for some states.

    Args:
        program: the program.
        counts: at least one state, uint8, [B, *shape].

    Raises:
        QuantError: if the program cannot take the counts, or there are none.

    Example:
        >>> from rivc.quant.encoding import InputEncoding
        >>> from rivc.snn_convert import Layer, SpikingProgram
        >>> readout = Layer("dense", np.array([[1, 0, 2], [1, 1, 1]], np.int8),
        ...                 np.zeros(2, np.int32), weight_bits=3)
        >>> encoding = InputEncoding.over_range([0.0] * 3, [1.0] * 3, bit_width=4)
        >>> program = SpikingProgram(encoding, (readout,), 1.0, (1, 2), "ideal")
        >>> total = measure_cost(program, np.array([[9, 1, 0]], np.uint8)).total
        >>> total.events, total.macs, total.acs, total.dense, total.weight_bytes
        (2.0, 3.0, 0.0, 6, 3)
    """
    counts = reference.check_counts(program, counts)
    if not len(counts):
        raise QuantError("a cost is a mean over states, and there are none")
    fans = [Fans.of(*pair) for pair in zip(program.layers, program.shapes, strict=False)]
    sums = np.zeros((len(fans), len(ADDED)))
    for part in batches(counts):
        sums += _sums(program, fans, part)
    layers = [_layer_cost(program, i, fans[i], sums[i] / len(counts)) for i in range(len(fans))]
    return ProgramCost(tuple(layers), len(counts))


def count_synops(program: SpikingProgram, counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    r"""Return the effective synaptic operations of each state, int64, [B].

    .. math:: \sum_{layers} \#\{(i, j) : x_i \ne 0, w_{ij} \ne 0\}

    A multi-bit count is one event and one operation a synapse; biases are left out.

    Args:
        program: the program.
        counts: unsigned counts, [B, *shape].

    Raises:
        QuantError: if the program cannot take the counts.
    """
    received = _received(program, counts)
    total = np.zeros(len(counts))
    for layer, shape, x in zip(program.layers, program.shapes, received, strict=False):
        if layer.has_weights:
            total += _active(x) @ _fan_out(layer, shape, present=True)
    return total.astype(np.int64)


def _received(program: SpikingProgram, counts: NDArray[np.uint8]) -> list[Counts]:
    """What each layer receives, and at last the readout."""
    x = reference.check_counts(program, counts)
    return [x.astype(np.int64), *reference.trace(program, x)]


def _active(x: Counts) -> Reals:
    return np.asarray(x != 0, np.float64).reshape(len(x), math.prod(x.shape[1:]))


def _fan_out(layer: Layer, shape: tuple[int, ...], *, present: bool) -> Reals:
    """How many synapses each input drives, [inputs]; with `present`, only those that are not 0."""
    weight = layer.weight != 0 if present else np.ones_like(layer.weight)
    synapses = Synapses.of(replace(layer, weight=weight.astype(np.int8)), shape)
    driven = synapses.backwards(np.ones((1, *layer.output_shape(shape))))
    return driven.reshape(math.prod(shape))


class Fans(NamedTuple):
    """How many synapses each input of a layer drives, [inputs].

    Attributes:
        present: those that are not 0.
        every: all.
    """

    present: Reals
    every: Reals

    @classmethod
    def of(cls, layer: Layer, shape: tuple[int, ...]) -> Fans | None:
        """Return those of a layer that receives inputs of a shape; None where it has no weights."""
        if not layer.has_weights:
            return None
        return cls(*(_fan_out(layer, shape, present=present) for present in (True, False)))


def _sums(program: SpikingProgram, fans: list[Fans | None], counts: NDArray[np.uint8]) -> Reals:
    """What happens in each layer, added up over states, [layers, ADDED]."""
    received, sums = _received(program, counts), np.zeros((len(fans), len(ADDED)))
    comes_in_spikes = False
    for i, (layer, fan) in enumerate(zip(program.layers, fans, strict=True)):
        if fan is not None:  # what passes elsewhere is counted where it meets synapses
            x = received[i].reshape(len(counts), -1)
            sums[i, :4] = _received_sums(x, fan.present, comes_in_spikes=comes_in_spikes)
            sums[i, 4:] = *_emitted_sums(layer, received[i + 1]), (_active(x) @ fan.every).sum()
        comes_in_spikes |= layer.levels > 0
    return sums


def _received_sums(x: Counts, fan_out: Reals, *, comes_in_spikes: bool) -> list[float]:
    """Events, multiply-accumulates, accumulates and spike operations."""
    active, is_binary = _active(x), x.max(1) <= 1
    operations = active @ fan_out
    spikes = x if comes_in_spikes else active
    return [
        np.count_nonzero(x),
        operations[~is_binary].sum(),
        operations[is_binary].sum(),
        (spikes @ fan_out).sum(),
    ]


def _emitted_sums(layer: Layer, emitted: Counts) -> list[float]:
    """Spikes, and neurons that emit any; a readout has none."""
    fired = emitted if layer.levels else np.zeros(0)
    return [float(fired.sum()), int(np.count_nonzero(fired))]


def _layer_cost(program: SpikingProgram, i: int, fans: Fans | None, means: Reals) -> Cost:
    layer = program.layers[i]
    if fans is None:
        moved = 0.0 if layer.kind == "flatten" else _count_bytes(program, i)
        return Cost(layer.kind, count_traffic=moved)
    found = dict(zip(ADDED, means.tolist(), strict=True))
    return replace(
        _static_cost(program, i),
        dense=int(fans.every.sum()),
        weight_traffic=found.pop("touched") * layer.weight_bits / 8,
        count_traffic=_count_bytes(program, i),
        **found,
    )


def _static_cost(program: SpikingProgram, i: int) -> Cost:
    """What does not depend on the state."""
    layer, neurons = program.layers[i], math.prod(program.shapes[i + 1])
    low, high = int(layer.bias.min()), int(layer.bias.max())
    bias_bits = max(high, -low - 1).bit_length() + 1
    threshold_bits = int(layer.threshold.max()).bit_length() if layer.levels else 0
    return Cost(
        layer.kind,
        membrane_updates=neurons if layer.levels else 0,
        weights=layer.weight.size,
        zero_weights=int(np.count_nonzero(layer.weight == 0)),
        weight_bytes=_packed(layer.weight.size, layer.weight_bits),
        bias_bytes=_packed(layer.bias.size, bias_bits) if layer.bias.any() else 0,
        threshold_bytes=_packed(layer.threshold.size, threshold_bits),
        membrane_traffic=2 * neurons * program.membrane_bits[i] / 8 if layer.levels else 0.0,
    )


def _packed(count: int, bits: int) -> int:
    """Bytes of so many codes, one after the other."""
    return -(-count * bits // 8)


def _count_bytes(program: SpikingProgram, i: int) -> float:
    """Bytes of the counts that a layer receives and emits; a readout emits its integers."""
    layer = program.layers[i]
    wide = program.levels_in[i].bit_length()
    emitted = (layer.levels or program.levels_in[i]).bit_length()
    out = program.membrane_bits[i] if layer.is_readout else emitted
    return (math.prod(program.shapes[i]) * wide + math.prod(program.shapes[i + 1]) * out) / 8
