"""What makes a program: every rule that a file from elsewhere could break, checked in one place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import DamagedFileError
from rivc.quant.grid import Grid
from rivc.quant.profile import MAX_BITS, MAX_FRAC_BITS
from rivc.snn_convert.program import FORMAT_VERSION, Layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from rivc.snn_convert.program import LayerArrays, SpikingProgram

MAX_LAYERS: Final = 256
MAX_LEVELS: Final = 255
MAX_NAME: Final = 200
MAX_NEURONS: Final = 1 << 24  # of a layer, padding included; with the rest it keeps int64 exact
_RANKS: Final = {"image": 3, "vector": 1, "conv2d": 4, "dense": 2}
_PLAIN: Final = Layer("flatten")
_MEANINGLESS: Final = {  # fields that a kind does not have; they keep the value they are born with
    "dense": ("kernel", "stride", "padding"),
    "conv2d": ("kernel",),
    "maxpool2d": ("weight_bits", "frac_bits", "levels"),
    "flatten": ("weight_bits", "frac_bits", "levels", "kernel", "stride", "padding"),
}
DTYPES: Final = {"weight": np.int8, "bias": np.int32, "threshold": np.int32}


def check_program(program: SpikingProgram) -> None:
    """Raise DamagedFileError unless the parts make a program."""
    for problem in _problems(program):
        raise DamagedFileError(problem)


def check_recast(
    program: SpikingProgram, integers: Sequence[LayerArrays], readout_scale: float
) -> None:
    """Raise DamagedFileError unless other integers make a program of the same layers."""
    for problem in _recast_problems(program, integers, readout_scale):
        raise DamagedFileError(problem)


def _recast_problems(
    program: SpikingProgram, integers: Sequence[LayerArrays], readout_scale: float
) -> Iterator[str]:
    yield from _scale_problems(readout_scale)
    weighted = [layer for layer in program.layers if layer.has_weights]
    if len(integers) != len(weighted):
        yield f"integers of {len(integers)} layers for {len(weighted)}"
        return
    for layer, arrays in zip(weighted, integers, strict=True):
        for (name, held), array in zip(layer.arrays.items(), arrays, strict=True):
            if array.shape != held.shape or array.dtype != held.dtype:
                yield f"{name} {array.dtype} {array.shape}, not {held.dtype} {held.shape}"
        weight, _, threshold = arrays
        yield from _grid_problems(weight, layer.weight_bits)
        yield from _threshold_problems(threshold)


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
    if program.format_version != FORMAT_VERSION:
        yield f"format version {program.format_version}; this rivc has {FORMAT_VERSION}"
    yield from _scale_problems(program.readout_scale)
    yield from _name_problems(program.profile)
    encoding = program.encoding
    if len(encoding.shape) != _RANKS.get(encoding.kind) or min(encoding.shape) < 1:
        yield f"an {encoding.kind} input of shape {encoding.shape}"
    ranges = encoding.shape[0] if encoding.kind == "vector" else 0
    if len(encoding.low) != ranges or len(encoding.step) != ranges:
        yield f"{len(encoding.low)} input ranges for shape {encoding.shape}"
    if not all(map(math.isfinite, encoding.low)) or not all(
        0 < s < math.inf for s in encoding.step
    ):
        yield "an input range is not finite or has no width"


def _name_problems(profile: str) -> Iterator[str]:
    if len(profile) > MAX_NAME or not profile.isprintable():
        yield f"the profile is no name of at most {MAX_NAME} letters"


def _scale_problems(scale: float) -> Iterator[str]:
    if not (math.isfinite(scale) and scale > 0):
        yield f"the readout scale must be positive and finite, not {scale}"


def _layer_problems(layer: Layer, last: bool) -> Iterator[str]:
    if layer.kind not in _MEANINGLESS:
        yield f"the kinds are {', '.join(_MEANINGLESS)}"
        return
    if layer.is_readout != last or (last and layer.kind != "dense"):
        yield "the readout, dense and without levels, must be the last layer and the only one"
    for name in _MEANINGLESS[layer.kind]:
        if getattr(layer, name) != getattr(_PLAIN, name):
            yield f"{name} {getattr(layer, name)} has no meaning there"
    for name, array in layer.arrays.items():
        if array.dtype != DTYPES[name]:
            yield f"{name} is {array.dtype}, not {np.dtype(DTYPES[name])}"
    yield from _weight_problems(layer) if layer.has_weights else _plain_problems(layer)
    if layer.kind in {"conv2d", "maxpool2d"}:
        yield from _window_problems(layer)


def _plain_problems(layer: Layer) -> Iterator[str]:
    if any(array.size for array in layer.arrays.values()):
        yield "has weights, which only dense and conv2d have"


def _weight_problems(layer: Layer) -> Iterator[str]:
    if layer.weight.ndim != _RANKS[layer.kind] or layer.weight.size == 0:
        yield f"no weights, or of shape {layer.weight.shape}"
        return
    yield from _width_problems(layer)
    outputs = layer.weight.shape[0]
    if layer.bias.shape != (outputs,):
        yield f"{layer.bias.shape} biases for {outputs} outputs"
    if layer.threshold.shape != ((0,) if layer.is_readout else (outputs,)):
        yield f"{layer.threshold.shape} thresholds for {outputs} outputs"
    yield from _threshold_problems(layer.threshold)


def _threshold_problems(threshold: NDArray[np.int32]) -> Iterator[str]:
    if threshold.size and (least := int(threshold.min())) < 2:
        yield f"threshold {least} is below 2"


def _width_problems(layer: Layer) -> Iterator[str]:
    if not 1 <= layer.weight_bits <= MAX_BITS:
        yield f"{layer.weight_bits} bits a weight"
        return
    if not 0 <= layer.levels <= MAX_LEVELS:
        yield f"levels {layer.levels} out of 0..{MAX_LEVELS}"
    if not 0 <= layer.frac_bits <= (0 if layer.is_readout else MAX_FRAC_BITS):
        yield f"frac_bits {layer.frac_bits} out of 0..{MAX_FRAC_BITS}, or of a readout, not 0"
    yield from _grid_problems(layer.weight, layer.weight_bits)


def _grid_problems(weight: NDArray[np.int8], bits: int) -> Iterator[str]:
    reach, grid = max(int(weight.max()), -int(weight.min())), Grid(bits)
    if reach > grid.q_max or (grid.is_binary and not weight.all()):
        yield f"a weight of magnitude {reach} is not on the {bits}-bit grid"


def _window_problems(layer: Layer) -> Iterator[str]:
    sides = (*layer.window, *layer.window)  # of top, left, bottom, right
    if len(layer.padding) != len(sides) or not all(
        0 <= zeros < side for zeros, side in zip(layer.padding, sides, strict=True)
    ):
        yield f"padding {layer.padding} must be smaller than the window {layer.window}"
    if layer.stride > MAX_NEURONS:
        yield f"stride {layer.stride} is above {MAX_NEURONS}"


def _size_problems(program: SpikingProgram) -> Iterator[str]:
    sizes = [math.prod(shape) for shape in program.shapes]
    sizes += [
        (shape[0] + layer.padding[0] + layer.padding[2])
        * (shape[1] + layer.padding[1] + layer.padding[3])
        * shape[2]
        for layer, shape in zip(program.layers, program.shapes, strict=False)
        if layer.kind in {"conv2d", "maxpool2d"}
    ]
    if max(sizes) > MAX_NEURONS:
        yield f"a layer has more than {MAX_NEURONS} neurons"
    layout = program.action_layout
    if len(layout) != 2 or min(layout) < 1 or program.shapes[-1] != (math.prod(layout),):
        yield f"a readout of {program.shapes[-1]} is not groups and actions {layout}"


def membrane_bits(layer: Layer, levels_in: int) -> int:
    """Return how many bits, sign included, hold every membrane the layer can reach.

    Args:
        layer: dense or conv2d, its weights on their grid.
        levels_in: largest count that it receives.
    """
    drive = (layer.weight_norm * levels_in) << layer.frac_bits
    offset = int(np.abs(layer.bias.astype(np.int64)).max())
    threshold = int(layer.threshold.max()) if layer.threshold.size else 0
    return (drive + offset + threshold).bit_length() + 1
