"""A program as flat arrays: where those of each layer lie, and the shapes it meets, is data.

Every layer reads windows of pictures (`rivc.quant.windows`). To flatten moves nothing, for pictures
lie in the order that it asks for.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.compiled import compiled
from rivc.neurochip.floats import CACHE_BYTES
from rivc.neurochip.kernels.stairs import reach, stairs
from rivc.quant import weighing
from rivc.quant.views import matrix
from rivc.quant.windows import WINDOWS, windows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert import Layer, SpikingProgram

LAYER: Final = np.dtype(
    [
        ("geometry", WINDOWS),
        ("is_pool", np.bool_),
        ("is_copied", np.bool_),  # pictures do not end where windows do, or lack SLACK
        ("planes", np.int64),  # counts of a pixel
        ("units", np.int64),
        ("weight", np.int64),  # first place among all weights
        ("packed", np.int64),  # and among packed ones
        ("words", np.int64),  # their shape, see `rivc.quant.weighing`
        ("width", np.int64),
        ("neurons", np.int64),  # first place among all units
        ("frac_bits", np.int64),
    ]
)
SUM_LIMIT: Final = 1 << 31


class Form(NamedTuple):
    """What a layer does to pictures.

    Attributes:
        units: of the windows, or planes that pass through a pool.
        received: shape.
        window: lines and columns.
        stride: in both directions.
        padding: zeros at top, left, bottom, right.
        frac_bits: F.
        is_pool: a maximum instead of a weighted sum.
    """

    units: int
    received: tuple[int, ...]
    window: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    frac_bits: int = 0
    is_pool: bool = False


class Layout(NamedTuple):
    """What shapes alone decide.

    Attributes:
        layers: `LAYER` records.
        words: packed weights of all layers.
        block: states that are passed on together.
        room: bytes of the widest padded input of a state, of its widest output, and its most sums.
    """

    layers: Any
    words: int
    block: int
    room: tuple[int, int, int]


class Packed(NamedTuple):
    """The layers of a program.

    Attributes:
        layers: `LAYER` records, the readout last.
        words: weights of all layers as `rivc.quant.weighing` takes them.
        stairs: of all units, [3, units] of each spiking layer.
        bias: of the readout, int64.
        block: see `Layout`.
        room: the same.
    """

    layers: Any
    words: NDArray[np.int32]
    stairs: NDArray[Any]
    bias: NDArray[np.int64]
    block: int
    room: tuple[int, int, int]


def pack(program: SpikingProgram) -> Packed | None:
    """Return the flat arrays of a program; None unless int32 holds all of its weighted sums."""
    layers, shapes = program.layers, program.shapes
    weighted = [layer for layer in layers if layer.has_weights]
    pairs = zip(layers, program.levels_in, strict=True)
    farthest = max(reach(layer, levels) for layer, levels in pairs if layer.has_weights)
    if farthest >= SUM_LIMIT:
        return None
    moving = zip(layers, shapes, shapes[1:], strict=False)
    layout = _layout(tuple(_form(*one) for one in moving if one[0].kind != "flatten"))
    words = np.zeros(layout.words, np.int32)
    lay_out(layout.layers, np.concatenate([_by_window(layer) for layer in weighted]), words)
    *hidden, last = weighted
    bias = last.bias.astype(np.int64)
    return Packed(layout.layers, words, stairs(hidden, farthest), bias, layout.block, layout.room)


@compiled
def lay_out(layers: Any, weights: NDArray[np.int8], words: NDArray[np.int32]) -> None:
    """Pack weights, [C, kh * kw * planes] of each layer."""
    for i in range(len(layers)):
        layer = layers[i]
        if layer.is_pool:
            continue
        size = layer.geometry.kernel * layer.geometry.line
        given = matrix(weights, layer.weight, layer.units, size)
        packed = matrix(words, layer.packed, layer.words, layer.width)
        weighing.pack(given, layer.geometry.kernel, packed)


def _by_window(layer: Layer) -> NDArray[np.int8]:
    """Weights in the order of what a window holds, flat."""
    weight = layer.weight
    return (weight if layer.kind == "dense" else weight.transpose(0, 2, 3, 1)).ravel()


def _form(layer: Layer, received: tuple[int, ...], emitted: tuple[int, ...]) -> Form:
    if layer.kind == "dense":
        return Form(emitted[-1], received, frac_bits=layer.frac_bits)
    how = layer.window, layer.stride, layer.padding, layer.frac_bits
    return Form(emitted[-1], received, *how, layer.kind == "maxpool2d")


@lru_cache(maxsize=64)
def _layout(forms: tuple[Form, ...]) -> Layout:
    """Lay out layers, once for all programs of these shapes."""
    layers = np.zeros(len(forms), LAYER)
    weight = packed = neurons = 0
    for record, form in zip(layers, forms, strict=True):
        places = {"weight": weight, "packed": packed, "neurons": neurons}
        for name, value in (_facts(form) | places).items():
            record[name] = value
        if not form.is_pool:
            geometry = record["geometry"]
            weight += form.units * int(geometry["kernel"] * geometry["line"])
            packed += int(record["words"] * record["width"])
            neurons += form.units
    geometry = layers["geometry"]
    padded = geometry["padded_lines"] * geometry["padded_length"] * layers["is_copied"]
    emitted = geometry["down"] * geometry["across"] * layers["units"]
    sums = emitted * ~layers["is_pool"]
    room = int(padded.max()), int(emitted.max()), int(sums.max())
    few = CACHE_BYTES // (room[0] + 2 * room[1] + 4 * room[2])
    return Layout(layers, packed, max(1, few - few % 4), room)


def _facts(form: Form) -> dict[str, Any]:
    """What `LAYER` says of a layer alone."""
    windows = windows_of(form.received, form.window, form.stride, form.padding)
    kernel, line = int(windows["kernel"]), int(windows["line"])
    words, width = (0, 0) if form.is_pool else weighing.packed_shape(kernel, line, form.units, 4)
    return {
        "geometry": windows,
        "is_pool": form.is_pool,
        "is_copied": not form.is_pool and (line < 4 or not windows["is_whole"]),
        "planes": form.received[-1],
        "units": form.units,
        "words": words,
        "width": width,
        "frac_bits": form.frac_bits,
    }
