r"""From the layers of a program to those of an Akida chip: which, and what their variables hold.

Both generations take one frame at a time and pass small counts on. Of a convolution and the pooling
behind it they make one layer; flattening is implied. All of this is integer arithmetic on arrays
and needs no chip and no other package.

First generation, with integer thr and n, and counts of b bits:

.. math:: count = clip(\lceil (z - thr) / (2^{4 - b} n) \rceil, 0, L)

which is the staircase of a program where :math:`thr = (th - 1 - \lfloor th/2 \rfloor - B) / 2^F` is
whole and :math:`2^{4 - b} n = th / 2^F`. Second generation, with a bias of 8 bits and shifts:

.. math:: count = clip((z + (m \ll s_B) + 2^{s - 1}) \gg s, 0, L)

which is the staircase where :math:`th = 2^{F + s}` and :math:`B = 2^F (m \ll s_B)`; a negative s
shifts left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from rivc.quant.geometry import is_same_padding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from rivc.snn_convert import Layer, SpikingProgram

    Variables = dict[str, NDArray[Any]]

_READOUT_BITS: Final = 32
_STEP_BITS: Final = 4  # the first generation's step is that of a count of 4 bits
_SMALLEST_STEP: Final = 1 / 16  # what a single level steps by is all one


@dataclass(frozen=True, slots=True)
class Stage:
    """What becomes one layer of the chip.

    Attributes:
        layer: with weights.
        shape: of what it receives, before it is flattened: HWC or (features,).
        is_first: it receives the input.
        pool: the pooling behind it.
    """

    layer: Layer
    shape: tuple[int, ...]
    is_first: bool
    pool: Layer | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A layer of the chip without its variables: class of the package and arguments.

    Names of enumerated values stand for these, so that equal parts compare equal.
    """

    kind: str
    arguments: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one generation of the chip says it.

    Attributes:
        profile: its arithmetic.
        parts: the layers of the chip for a program.
        variables: what the layer of a stage holds.
        vector_type: of the counts of a vector that enter; those of an image are uint8.
    """

    profile: str
    parts: Callable[[SpikingProgram], Iterator[Part]]
    variables: Callable[[Stage], Variables]
    vector_type: type[np.integer[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """What stays on the host when a model runs.

    Attributes:
        readout_bias: int64, [d * n].
        action_layout: (d, n).
        vector_type: of counts that enter as a vector; None for images.
    """

    readout_bias: NDArray[np.int64]
    action_layout: tuple[int, int]
    vector_type: type[np.integer[Any]] | None

    @classmethod
    def of(cls, program: SpikingProgram, chip: str) -> Self:
        """Return the host's share of a program."""
        is_vector = program.encoding.kind == "vector"
        bias = program.layers[-1].bias.astype(np.int64)
        return cls(bias, program.action_layout, DIALECTS[chip].vector_type if is_vector else None)

    def frames(self, counts: NDArray[np.uint8]) -> NDArray[Any]:
        """Return counts as the chip takes them, four axes."""
        if self.vector_type is None:
            return np.ascontiguousarray(counts)
        return np.ascontiguousarray(counts[:, None, None, :], self.vector_type)

    def readout(self, sums: NDArray[Any]) -> NDArray[np.int64]:
        """Return the readout, int64 [B, d, n], for the sums that the chip gives."""
        return sums.reshape(-1, *self.action_layout).astype(np.int64) + self.readout_bias.reshape(
            self.action_layout
        )


def stages(program: SpikingProgram) -> list[Stage]:
    """Return the stages of a program that fits the chip."""
    found: list[Stage] = []
    shape = program.encoding.shape
    for i, layer in enumerate(program.layers):
        if layer.has_weights:
            found.append(Stage(layer, shape, is_first=not found))
        elif layer.kind == "maxpool2d":
            found[-1] = Stage(found[-1].layer, found[-1].shape, found[-1].is_first, layer)
        if layer.kind != "flatten":
            shape = program.shapes[i + 1]
    return found


def _part(kind: str, **arguments: Any) -> Part:
    return Part(kind, tuple(arguments.items()))


def _parts_v1(program: SpikingProgram) -> Iterator[Part]:
    if program.encoding.kind == "vector":
        yield _part("InputData", input_shape=(1, 1, *program.encoding.shape), input_bits=4)
    for stage in stages(program):
        layer = stage.layer
        arguments: dict[str, Any] = {"weights_bits": layer.weight_bits}
        if layer.levels:
            arguments["act_bits"] = layer.levels.bit_length()
        else:
            arguments["activation"] = False
        if layer.kind == "dense":
            yield _part("FullyConnected", units=len(layer.weight), **arguments)
            continue
        if stage.is_first:
            arguments["input_shape"] = stage.shape
        yield _part(
            "InputConvolutional" if stage.is_first else "Convolutional",
            filters=len(layer.weight),
            kernel_size=layer.window,
            kernel_stride=(layer.stride, layer.stride),
            padding=_padding(stage),
            **arguments,
            **_pool(stage.pool, lambda size: (size, size)),
        )


def _parts_v2(program: SpikingProgram) -> Iterator[Part]:
    if program.encoding.kind == "vector":
        yield _part("InputData", input_shape=(1, 1, *program.encoding.shape), input_bits=8)
    for stage in stages(program):
        layer = stage.layer
        arguments: dict[str, Any] = {"output_bits": _READOUT_BITS}
        if layer.levels:
            arguments = {"output_bits": 8 if layer.levels > 15 else 4, "activation": "ReLU"}
        if layer.kind == "dense":
            yield _part(
                "Dense1D", units=len(layer.weight), weights_bits=layer.weight_bits, **arguments
            )
            continue
        if stage.is_first:
            arguments["input_shape"] = stage.shape
        else:
            arguments["weights_bits"] = layer.weight_bits
        yield _part(
            "InputConv2D" if stage.is_first else "Conv2D",
            filters=len(layer.weight),
            kernel_size=layer.window[0],
            kernel_stride=layer.stride,
            padding=_padding(stage),
            **arguments,
            **_pool(stage.pool, lambda size: size),
        )


def _padding(stage: Stage) -> str:
    layer = stage.layer
    same = is_same_padding(layer.padding, stage.shape, layer.window, layer.stride)
    return "Same" if same else "Valid"


def _pool(pool: Layer | None, per_axis: Callable[[int], Any]) -> dict[str, Any]:
    if pool is None:
        return {}
    return {
        "pool_type": "Max",
        "pool_size": per_axis(pool.kernel),
        "pool_stride": per_axis(pool.stride),
    }


def _variables_v1(stage: Stage) -> Variables:
    layer = stage.layer
    weight = _kernel(stage) if layer.kind == "conv2d" else _rows(stage, (2, 1, 0))[None, None]
    if layer.is_readout:
        return {"weights": weight}
    th, bias = layer.threshold.astype(np.int64), layer.bias.astype(np.int64)
    step = th / (1 << layer.frac_bits + _STEP_BITS - layer.levels.bit_length())
    return {
        "weights": weight,
        "threshold": ((th - 1 - th // 2 - bias) >> layer.frac_bits).astype(np.int32),
        "act_step": np.maximum(step, _SMALLEST_STEP).astype(np.float32),
    }


def _variables_v2(stage: Stage) -> Variables:
    layer = stage.layer
    weight = _kernel(stage) if layer.kind == "conv2d" else _rows(stage, (0, 1, 2))
    if layer.is_readout:
        return {"weights": weight}
    mantissa, shift = mantissa_and_shift(layer.bias.astype(np.int64) >> layer.frac_bits)
    right = np.log2(layer.threshold).astype(np.int64) - layer.frac_bits
    return {
        "weights": weight,
        "bias": mantissa.astype(np.int8),
        "bias_shift": shift.astype(np.uint8),
        "output_shift": (-right).astype(np.int8),
    }


def mantissa_and_shift(
    value: NDArray[np.int64], bits: int = 8
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return m and s with ``m << s`` the value, or nearest below it in magnitude.

    Example:
        >>> mantissa_and_shift(np.array([-3, 127, 254, -65024]))
        (array([  -3,  127,  127, -127]), array([0, 0, 1, 9]))
    """
    lengths = np.array([int(v).bit_length() for v in np.abs(value)], np.int64)
    shift = np.maximum(0, lengths - (bits - 1))
    return np.asarray(np.sign(value) * (np.abs(value) >> shift), np.int64), shift


def _kernel(stage: Stage) -> NDArray[np.int8]:
    """Weights as [kh, kw, in, out], turned behind the first layer, where the chip convolves."""
    weight = stage.layer.weight.transpose(2, 3, 1, 0)
    return np.ascontiguousarray(weight if stage.is_first else weight[::-1, ::-1])


def _rows(stage: Stage, order: tuple[int, ...]) -> NDArray[np.int8]:
    """Weights as [in, out], the inputs of a picture in the chip's order of H, W, C."""
    out, weight = len(stage.layer.weight), stage.layer.weight
    if len(stage.shape) == 3:
        axes = (0, *(1 + axis for axis in order))
        weight = weight.reshape(out, *stage.shape).transpose(axes).reshape(out, -1)
    return np.ascontiguousarray(weight.T)


DIALECTS: Final[dict[str, Dialect]] = {
    "akd1000": Dialect("akida1", _parts_v1, _variables_v1, np.uint8),
    "v2": Dialect("akida2", _parts_v2, _variables_v2, np.int8),
}


def chip_of(program: SpikingProgram) -> str | None:
    """Return the chip whose arithmetic a program was trained in, None if it is another's."""
    chips = (chip for chip, dialect in DIALECTS.items() if dialect.profile == program.profile)
    return next(chips, None)
