"""One layer in C99: its constants, and a function from counts to counts or to the readout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from textwrap import fill as wrap
from textwrap import indent
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import ChipLimitError
from rivc.neurochip.export.c99.packing import Stripes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert import Layer

_WIDTHS: Final = (16, 32, 64)
_LINE: Final = 98
_INT32_MIN: Final = -(1 << 31)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer stands in its program.

    Attributes:
        index: of the layer.
        shape: of the counts that it receives.
        levels_in: the largest of them.
    """

    index: int
    shape: tuple[int, ...]
    levels_in: int


@dataclass(frozen=True, slots=True)
class LayerSource:
    """A layer in C.

    Attributes:
        text: constants and functions; empty for a flatten, which does nothing to counts in HWC.
        weight_bytes: of its packed weights.
        stack_bytes: of the arrays that it holds while it runs.
    """

    text: str = ""
    weight_bytes: int = 0
    stack_bytes: int = 0


def layer_source(layer: Layer, place: Place) -> LayerSource:
    """Return a layer in C.

    Raises:
        ChipLimitError: if a readout does not fit the int32 of the interface.
    """
    if layer.kind == "flatten":
        return LayerSource()
    if layer.kind == "maxpool2d":
        return LayerSource(fill("maxpool2d.c", index=place.index, **_geometry(layer, place)))
    return _weighted(layer, place)


def _weighted(layer: Layer, place: Place) -> LayerSource:
    rows = _rows(layer)
    inputs, outputs = rows.shape
    stripes = Stripes(layer.weight_bits, outputs)
    packed = stripes.pack(rows)
    sums = sum_range(layer, place.levels_in)
    sum_bits = width_of(sums, least=16)
    convolves = layer.kind == "conv2d"
    names = {
        "index": place.index,
        "levels_in": place.levels_in,
        "inputs": inputs,
        "outputs": outputs,
        "lanes": stripes.lanes,
        "row_bytes": stripes.row_bytes,
        "sum_type": f"int{sum_bits}_t",
        "out_type": "int32_t" if layer.is_readout else "uint8_t",
        "emitted": "integers" if layer.is_readout else f"counts of at most {layer.levels}",
        "unpack": indent("\n".join(stripes.unpacking()), " " * 8),
        **(_geometry(layer, place) if convolves else {}),
    }
    emission = _readout if layer.is_readout else _spikes
    text = [
        constant(f"uint8_t weight{place.index}", packed),
        *emission(layer, sums, names),
        fill(f"{layer.kind}.c", **names),
    ]
    window = 2 * inputs * stripes.lanes + 6 * (inputs + 1) if convolves else 2 * stripes.lanes
    return LayerSource("\n".join(text), packed.size, window + outputs * sum_bits // 8)


def _readout(layer: Layer, sums: NDArray[np.int64], names: dict[str, Any]) -> list[str]:
    reached = sums + layer.bias
    if width_of(reached, least=32) > 32:
        limit = f"readouts of {reached.min()}..{reached.max()}, the C interface gives int32"
        raise ChipLimitError(f"{limit}; use fewer inputs or a smaller bias in the last layer")
    return [constant(f"int32_t bias{names['index']}", layer.bias), fill("readout.c", **names)]


def _spikes(layer: Layer, sums: NDArray[np.int64], names: dict[str, Any]) -> list[str]:
    threshold = layer.threshold.astype(np.int64)
    offset, drive = layer.bias + threshold // 2, sums << layer.frac_bits
    bits = layer.levels.bit_length()
    v_bits = width_of(drive, drive + offset, offset, threshold << bits - 1, least=32)
    taken = [1 << b for b in reversed(range(bits))]
    division = [f"if (v >= th * {n}) {{ v -= th * {n}; count += {n}; }}" for n in taken]
    clipped = f"(count < {layer.levels} ? count : {layer.levels})"
    return [
        constant(f"int{v_bits}_t offset{names['index']}", offset),
        constant(f"int32_t threshold{names['index']}", threshold),
        fill(
            "spikes.c",
            v_type=f"int{v_bits}_t",
            one=1 << layer.frac_bits,
            division=indent("\n".join(division), " " * 8),
            count="count" if sum(taken) == layer.levels else clipped,
            **names,
        ),
    ]


def sum_range(layer: Layer, levels_in: int) -> NDArray[np.int64]:
    """Return the least and the greatest weighted sum of each output, int64, [2, out].

    Partial sums lie in the same range, because no count is negative.
    """
    weight = layer.weight.astype(np.int64).reshape(len(layer.weight), -1)
    return np.stack([weight.clip(max=0).sum(1), weight.clip(min=0).sum(1)]) * levels_in


def width_of(*values: NDArray[np.int64], least: int) -> int:
    """Return the width of the narrowest signed C type, of at least `least` bits, for all values."""
    ends = [int(end) for array in values for end in (array.min(), array.max())]
    bits = 1 + max((end if end >= 0 else ~end).bit_length() for end in ends)
    return next(width for width in _WIDTHS if width >= max(least, bits))


def _rows(layer: Layer) -> NDArray[np.int8]:
    """The weights of each input in the order in which C meets them, [inputs, outputs]."""
    weight = layer.weight.transpose(2, 3, 1, 0) if layer.kind == "conv2d" else layer.weight.T
    return weight.reshape(-1, len(layer.weight))


def _geometry(layer: Layer, place: Place) -> dict[str, int]:
    (height, width, channels), kernel = place.shape, layer.window
    height_out, width_out, _ = layer.output_shape(place.shape)
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "height_out": height_out,
        "width_out": width_out,
        "kernel_h": kernel[0],
        "kernel_w": kernel[1],
        "stride": layer.stride,
        "pad_top": layer.padding[0],
        "pad_left": layer.padding[1],
    }


def constant(name: str, values: NDArray[Any]) -> str:
    """Return an array of constants in C.

    Example:
        >>> print(constant("int32_t bias0", np.array([1, -2])))
        static const int32_t bias0[2] = {
        1, -2
        };
        <BLANKLINE>
    """
    numbers = wrap(", ".join(map(_literal, values.ravel().tolist())), _LINE)
    return f"static const {name}[{values.size}] = {{\n{numbers}\n}};\n"


def _literal(value: int) -> str:
    """C has no literal for the least int32: its minus is an operator on a number beyond int32."""
    return str(value) if value != _INT32_MIN else f"({_INT32_MIN + 1}-1)"


def fill(template: str, **names: Any) -> str:
    """Return a template of this package with its names filled in."""
    return _template(template).substitute(names)


@cache
def _template(name: str) -> Template:
    return Template((files(__package__) / "templates" / name).read_text("utf-8"))
