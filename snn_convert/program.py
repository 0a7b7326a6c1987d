r"""The `SpikingProgram`: everything a chip needs to act, frozen, hashed and free of torch.

Invariants:

1. A program is made of integers; its only reals are the input ranges and the readout scale, and
   neither can change an action once the counts are there.
2. `reference.run` in int64 is the definition; every other form equals it, integer for integer.
3. Equal programs have equal canonical bytes and so equal SHA-256: little-endian arrays in layer
   order after one JSON text with sorted keys and reals as hexadecimal floats.
4. A file is one ``.npz`` whose members are plain arrays. Loading bounds its work by the sizes that
   the archive declares, checks the hash, and never unpickles.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from operator import index
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from rivc.errors import DamagedFileError
from rivc.quant.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from rivc.quant.encoding import InputEncoding

    LayerArrays = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]  # weight, bias, threshold

FORMAT_VERSION: Final = 1
Kind = Literal["dense", "conv2d", "maxpool2d", "flatten"]
Padding = tuple[int, int, int, int]
_NO_PADDING: Final[Padding] = (0, 0, 0, 0)


def _nothing() -> NDArray[Any]:
    return np.zeros(0, np.int32)


@dataclass(frozen=True, eq=False)
class Layer:
    r"""One layer of a program.

    A spiking layer (dense or conv2d with levels L > 0) receives counts x and emits

    .. math:: clip(\lfloor (2^F z + B + \lfloor th / 2 \rfloor) / th \rfloor, 0, L), \quad z = w * x

    the readout (the last dense layer, L = 0) gives z + B. Pooling takes the largest count in each
    window; flatten orders counts by height, width, channel. The arrays are copied and cannot be
    written.

    Attributes:
        kind: "dense", "conv2d", "maxpool2d" or "flatten".
        weight: int8; dense [out, in], conv2d [out, in, kh, kw]; empty otherwise.
        bias: int32, [out].
        threshold: int32, [out], >= 2; empty in a readout.
        weight_bits: width of the weights.
        frac_bits: F.
        levels: L, the largest count emitted; 0 for what emits none.
        kernel: window of a maxpool2d, in pixels.
        stride: of conv2d and maxpool2d, in both directions.
        padding: zeros at top, left, bottom, right.
    """

    kind: Kind
    weight: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    bias: NDArray[np.int32] = field(default_factory=_nothing)
    threshold: NDArray[np.int32] = field(default_factory=_nothing)
    weight_bits: int = 0
    frac_bits: int = 0
    levels: int = 0
    kernel: int = 0
    stride: int = 1
    padding: Padding = _NO_PADDING

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            object.__setattr__(self, name, _frozen(array))

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The three arrays by name, in canonical order."""
        return {"weight": self.weight, "bias": self.bias, "threshold": self.threshold}

    @property
    def scalars(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON takes it."""
        return {
            "kind": self.kind,
            "weight_bits": self.weight_bits,
            "frac_bits": self.frac_bits,
            "levels": self.levels,
            "kernel": self.kernel,
            "stride": self.stride,
            "padding": list(self.padding),
        }

    @property
    def has_weights(self) -> bool:
        """True for dense and conv2d."""
        return self.kind in {"dense", "conv2d"}

    @property
    def is_readout(self) -> bool:
        """True for the layer that ends a program."""
        return self.has_weights and self.levels == 0

    @cached_property
    def weight_norm(self) -> int:
        """Largest sum of weight magnitudes of an output, of dense and conv2d.

        Times the largest count that is received, no weighted sum exceeds it.
        """
        rows = np.abs(self.weight, dtype=np.int64).reshape(len(self.weight), -1)
        return int(rows.sum(1).max())

    @property
    def weight_bound(self) -> int:
        """What `weight_norm` never exceeds, whatever the weights are: their width says it."""
        return Grid(self.weight_bits).q_max * math.prod(self.weight.shape[1:])

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of the window of a conv2d or maxpool2d."""
        if self.kind == "maxpool2d":
            return self.kernel, self.kernel
        return self.weight.shape[2], self.weight.shape[3]

    def _with(self, integers: LayerArrays) -> Layer:
        """This layer with other arrays."""
        other = object.__new__(Layer)
        vars(other).update({name: getattr(self, name) for name in _SCALARS})
        vars(other).update(zip(self.arrays, map(_frozen, integers), strict=True))
        return other

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of what the layer emits, HWC or (units,), for what it receives.

        Raises:
            DamagedFileError: if the layer cannot receive this shape.
        """
        return _SHAPES[self.kind](self, shape)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only copy in the byte order of this machine."""
    array = np.asarray(array)
    copy = np.array(array, array.dtype.newbyteorder("="), order="C")
    copy.flags.writeable = False
    return copy


_SCALARS: Final = tuple(Layer("flatten").scalars)


def _dense_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 1 or layer.weight.ndim != 2 or layer.weight.shape[1] != shape[0]:
        raise _misfit(layer, shape)
    return (layer.weight.shape[0],)


def _conv_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3 or layer.weight.ndim != 4 or layer.weight.shape[1] != shape[2]:
        raise _misfit(layer, shape)
    return (*_windows(layer, shape), layer.weight.shape[0])


def _pool_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise _misfit(layer, shape)
    return (*_windows(layer, shape), shape[2])


def _flat_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise _misfit(layer, shape)
    return (shape[0] * shape[1] * shape[2],)


def _windows(layer: Layer, shape: tuple[int, ...]) -> tuple[int, int]:
    (top, left, bottom, right), kernel = layer.padding, layer.window
    high = shape[0] + top + bottom - kernel[0]
    wide = shape[1] + left + right - kernel[1]
    if min(kernel) < 1 or layer.stride < 1 or min(layer.padding) < 0 or min(high, wide) < 0:
        raise _misfit(layer, shape)
    return high // layer.stride + 1, wide // layer.stride + 1


def _misfit(layer: Layer, shape: tuple[int, ...]) -> DamagedFileError:
    weight = f" with weights {layer.weight.shape}" if layer.has_weights else ""
    return DamagedFileError(f"a {layer.kind} layer{weight} cannot receive {shape}")


_SHAPES: Final = {
    "dense": _dense_shape,
    "conv2d": _conv_shape,
    "maxpool2d": _pool_shape,
    "flatten": _flat_shape,
}


@dataclass(frozen=True, eq=False)
class SpikingProgram:
    """A policy as a chip runs it; equal to every program with the same hash.

    Attributes:
        encoding: how an observation becomes counts, on the host.
        layers: in order; the last one is the readout.
        readout_scale: real value of one readout integer, > 0.
        action_layout: (d, n): d groups of n actions.
        profile: name of the arithmetic it was trained in.
        format_version: of the canonical form.

    Raises:
        DamagedFileError: if the parts do not make a program.
    """

    encoding: InputEncoding
    layers: tuple[Layer, ...]
    readout_scale: float
    action_layout: tuple[int, int]
    profile: str
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        from rivc.snn_convert.validate import check_program

        check_program(self)

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of the input and of what each layer emits: HWC or (units,)."""
        shapes = [self.encoding.shape]
        for layer in self.layers:
            shapes.append(layer.output_shape(shapes[-1]))
        return tuple(shapes)

    @cached_property
    def levels_in(self) -> tuple[int, ...]:
        """Largest count that each layer receives."""
        levels = [self.encoding.levels]
        for layer in self.layers:
            levels.append(layer.levels or levels[-1])
        return tuple(levels[:-1])

    @cached_property
    def membrane_bits(self) -> tuple[int, ...]:
        """Bits, sign included, that hold every membrane of each layer; 0 where there is none."""
        from rivc.snn_convert.validate import membrane_bits

        return tuple(
            membrane_bits(layer, levels_in) if layer.has_weights else 0
            for layer, levels_in in zip(self.layers, self.levels_in, strict=True)
        )

    @cached_property
    def membrane_bound(self) -> int:
        """Bits, sign included, that hold every membrane whatever the integers are."""
        drives = [
            layer.weight_bound * levels_in << layer.frac_bits
            for layer, levels_in in zip(self.layers, self.levels_in, strict=True)
            if layer.has_weights
        ]
        return (max(drives) + (1 << 32)).bit_length() + 1  # a bias and a threshold are added

    def with_integers(
        self, integers: Sequence[LayerArrays], readout_scale: float
    ) -> SpikingProgram:
        """Return the program that has the same layers with other integers.

        Only the integers are checked, for shapes and widths stay: that is a conversion in place, as
        cheap as a frozen value can be.

        Args:
            integers: weight, bias and threshold of every dense and conv2d, as `Layer` has them.
            readout_scale: real value of one readout integer, > 0.

        Raises:
            DamagedFileError: if they do not make a program.
        """
        from rivc.snn_convert.validate import check_recast

        check_recast(self, integers, readout_scale)
        given = iter(integers)
        other = object.__new__(SpikingProgram)  # frozen, but nothing that is checked already
        vars(other).update(
            encoding=self.encoding,
            layers=tuple(
                layer._with(next(given)) if layer.has_weights else layer for layer in self.layers
            ),
            readout_scale=readout_scale,
            action_layout=self.action_layout,
            profile=self.profile,
            format_version=self.format_version,
            shapes=self.shapes,
            levels_in=self.levels_in,
            membrane_bound=self.membrane_bound,
        )
        return other

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over the canonical bytes, in hexadecimal."""
        digest = hashlib.sha256(self._header())
        for layer in self.layers:
            for array in layer.arrays.values():
                digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpikingProgram) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def _header(self) -> bytes:
        layers = [
            {**layer.scalars, **{name: list(a.shape) for name, a in layer.arrays.items()}}
            for layer in self.layers
        ]
        header = {
            "format_version": self.format_version,
            "profile": self.profile,
            "action_layout": list(self.action_layout),
            "readout_scale": float(self.readout_scale).hex(),
            "encoding": {
                "kind": self.encoding.kind,
                "shape": list(self.encoding.shape),
                "bit_width": self.encoding.bit_width,
                "low": [float(value).hex() for value in self.encoding.low],
                "step": [float(value).hex() for value in self.encoding.step],
            },
            "layers": layers,
        }
        # numpy's integers, which environments hand out, count as integers
        return json.dumps(header, sort_keys=True, separators=(",", ":"), default=index).encode()

    def encode(self, observation: ArrayLike) -> NDArray[np.uint8]:
        """Return the counts of an observation or a batch: `InputEncoding.encode`."""
        return self.encoding.encode(observation)

    def q_values(self, readout: NDArray[Any]) -> NDArray[np.float64]:
        """Return action values for readout integers, same shape."""
        return np.asarray(readout * self.readout_scale, np.float64)

    def save(self, path: str | Path) -> None:
        """Write the program to one ``.npz`` file, whole or not at all.

        Raises:
            UsageError: if it is larger than what `load` reads, or the folder cannot be written.
        """
        from rivc.snn_convert.storage import save_program

        save_program(self, path)

    @staticmethod
    def load(path: str | Path) -> SpikingProgram:
        """Read a program.

        Raises:
            MissingError: if there is no such file.
            DamagedFileError: if it is not a whole, unaltered program.
        """
        from rivc.snn_convert.storage import load_program

        return load_program(path)


def greedy(readout: NDArray[Any]) -> NDArray[np.int64]:
    """Return the greedy action of each group: argmax, the lowest index on ties.

    Args:
        readout: integers, [B, d, n].

    Returns:
        Actions, int64, [B, d].
    """
    return np.asarray(readout.argmax(axis=-1), np.int64)
