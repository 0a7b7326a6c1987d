"""What makes a program: every rule that a file from elsewhere could break, checked in one place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import DamagedFileError
from rivc.quant.profile import MAX_FRAC_BITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivc.snn_convert.program import Layer, SpikingProgram

MAX_LAYERS: Final = 256
MAX_LEVELS: Final = 255
MAX_NEURONS: Final = 1 << 24
INT64_BITS: Final = 63
DTYPES: Final = {"weight": np.int8, "bias": np.int32, "threshold": np.int32}


def check_program(program: SpikingProgram) -> None:
    """Raise DamagedFileError unless the parts make a program."""
    for problem in _problems(program):
        raise DamagedFileError(problem)


def _problems(program: SpikingProgram) -> Iterator[str]:
    yield from _head_problems(program)
    if not 1 <= len(program.layers) <= MAX_LAYERS:
        yield f"a program has 1..{MAX_LAYERS} layers, not {len(program.layers)}"
    for i, layer in enumerate(program.layers):
        last = i == len(program.layers) - 1
        yield from (
            f"layer {i} ({layer.kind}): {problem}" for problem in _layer_problems(layer, last)
        )
    yield from _size_problems(program)


def _head_problems(program: SpikingProgram) -> Iterator[str]:
    if not (math.isfinite(program.readout_scale) and program.readout_scale > 0):
        yield f"the readout scale must be positive and finite, not {program.readout_scale}"
    encoding, rank = program.encoding, {"image": 3, "vector": 1}[program.encoding.kind]
    if len(encoding.shape) != rank or min(encoding.shape) < 1 or not 1 <= encoding.bit_width <= 8:
        yield f"an {encoding.kind} input of shape {encoding.shape} and {encoding.bit_width} bits"
    ranges = encoding.shape[0] if encoding.kind == "vector" else 0
    if len(encoding.low) != ranges or len(encoding.step) != ranges:
        yield f"{len(encoding.low)} input ranges for shape {encoding.shape}"
    if not all(map(math.isfinite, encoding.low)) or not all(
        0 < s < math.inf for s in encoding.step
    ):
        yield "an input range is not finite or has no width"


def _layer_problems(layer: Layer, last: bool) -> Iterator[str]:
    if layer.is_readout != last or (last and layer.kind != "dense"):
        yield "the readout, dense and without levels, must be the last layer and the only one"
    if not (0 <= layer.frac_bits <= MAX_FRAC_BITS and 0 <= layer.levels <= MAX_LEVELS):
        yield f"frac_bits {layer.frac_bits} or levels {layer.levels} out of range"
    for name, array in layer.arrays.items():
        if array.dtype != DTYPES[name]:
            yield f"{name} is {array.dtype}, not {np.dtype(DTYPES[name])}"
    yield from _weight_problems(layer) if layer.has_weights else _plain_problems(layer)


def _plain_problems(layer: Layer) -> Iterator[str]:
    if any(array.size for array in layer.arrays.values()) or layer.levels:
        yield "has weights or levels, which only dense and conv2d have"


def _weight_problems(layer: Layer) -> Iterator[str]:
    if layer.weight.size == 0 or not 1 <= layer.weight_bits <= 8:
        yield f"no weights, or {layer.weight_bits} bits a weight"
        return
    limit = max(1, (1 << (layer.weight_bits - 1)) - 1)
    reach = int(np.abs(layer.weight.astype(np.int16)).max())
    if reach > limit or (layer.weight_bits == 1 and np.any(layer.weight == 0)):
        yield f"a weight of magnitude {reach} is not on the {layer.weight_bits}-bit grid"
    outputs = layer.weight.shape[0]
    if layer.bias.shape != (outputs,):
        yield f"{layer.bias.shape} biases for {outputs} outputs"
    if layer.threshold.shape != (() if layer.is_readout else (outputs,)) and not (
        layer.is_readout and layer.threshold.size == 0
    ):
        yield f"{layer.threshold.shape} thresholds for {outputs} outputs"
    if layer.threshold.size and int(layer.threshold.min()) < 2:
        yield f"threshold {int(layer.threshold.min())} is below 2"


def _size_problems(program: SpikingProgram) -> Iterator[str]:
    if any(math.prod(shape) > MAX_NEURONS for shape in program.shapes):
        yield f"a layer has more than {MAX_NEURONS} neurons"
    d, n = program.action_layout
    if d < 1 or n < 1 or program.shapes[-1] != (d * n,):
        yield f"a readout of {program.shapes[-1]} does not hold {d} groups of {n} actions"
    for i, layer in enumerate(program.layers):
        if layer.has_weights and membrane_bits(layer, program.levels_in[i]) > INT64_BITS:
            yield f"layer {i}: its membrane does not fit 64 bits"


def membrane_bits(layer: Layer, levels_in: int) -> int:
    """Return how many bits, sign included, hold every membrane the layer can reach."""
    rows = np.abs(layer.weight.astype(np.int64)).reshape(len(layer.weight), -1).sum(1)
    drive = (int(rows.max()) * levels_in) << layer.frac_bits
    offset = int(np.abs(layer.bias.astype(np.int64)).max())
    threshold = int(layer.threshold.max()) if layer.threshold.size else 0
    return (drive + offset + threshold).bit_length() + 1
