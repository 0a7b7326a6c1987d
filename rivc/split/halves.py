r"""A program cut in two: what the robot's chip holds, and what the server holds.

Both halves are whole programs, so every back end, limit, hash and export takes them as they are.
The edge half ends with a readout that is the identity on the counts of the cut layer,

.. math:: r = I x + 0 = x,

and the server half receives these counts where the uncut program received its input. So nothing is
rounded between them: the halves in a row are the uncut program, integer for integer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import ConfigError, QuantError
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert.program import Layer, SpikingProgram

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_FEATURES: Final = 8192  # the identity has their square of weights


@dataclass(frozen=True)
class Split:
    """A program that was cut.

    Attributes:
        edge: from the observation to the counts, as a readout of one group.
        server: from the counts to the readout of the uncut program.
        layer: how many layers of the uncut program stand before the cut.

    Raises:
        ConfigError: if the halves do not go together.

    Example:
        >>> from rivc.snn_convert import SpikingProgram
        >>> program = SpikingProgram.load("tests/golden/conv.npz")
        >>> split = cut(program, 1)
        >>> split.shape, split.bit_width, cuts(program)
        ((4, 3, 3), 2, (1, 2, 4))
    """

    edge: SpikingProgram
    server: SpikingProgram
    layer: int

    def __post_init__(self) -> None:
        emitted, received = self.edge.action_layout, math.prod(self.server.encoding.shape)
        if emitted != (1, received):
            raise ConfigError(
                f"an edge gives {math.prod(emitted)} counts to a server that takes {received}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the counts: (H, W, C) or (units,)."""
        return self.server.encoding.shape

    @property
    def bit_width(self) -> int:
        """Bits of a count."""
        return self.server.encoding.bit_width

    def counts(self, readout: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the counts that a readout of the edge half is, uint8, [B, *shape].

        Raises:
            QuantError: if the chip gave what no count can be.
        """
        if readout.size and not 0 <= readout.min() <= readout.max() <= self.server.encoding.levels:
            raise QuantError(
                f"the chip gave counts {readout.min()}..{readout.max()} where "
                f"0..{self.server.encoding.levels} are possible; `rivc verify` tells more"
            )
        return readout.astype(np.uint8).reshape(-1, *self.shape)


def cut(program: SpikingProgram, layer: int) -> Split:
    """Cut a program behind a layer that emits counts.

    Args:
        program: the program.
        layer: how many layers stand before the cut, 1 for the first; one of `cuts(program)`.

    Raises:
        ConfigError: if the program cannot be cut there.
    """
    if layer not in cuts(program):
        raise ConfigError(f"no cut after layer {layer}: {_where(program)}")
    shape, levels = program.shapes[layer], program.levels_in[layer]
    size = math.prod(shape)
    if size > MAX_FEATURES:
        raise ConfigError(
            f"layer {layer} emits {size} counts, a cut passes {MAX_FEATURES}; cut at a later layer"
        )
    edge = SpikingProgram(
        encoding=program.encoding,
        layers=(*program.layers[:layer], *_head(program, shape)),
        readout_scale=1.0,
        action_layout=(1, size),
        profile=program.profile,
    )
    server = SpikingProgram(
        encoding=_counts_encoding(shape, levels),
        layers=program.layers[layer:],
        readout_scale=program.readout_scale,
        action_layout=program.action_layout,
        profile=program.profile,
    )
    return Split(edge, server, layer)


def cuts(program: SpikingProgram) -> tuple[int, ...]:
    """Return the layers that a program can be cut behind, 1 for the first: all that emit counts.

    A flatten only orders anew what the layer before it emits.
    """
    layers = enumerate(program.layers, 1)
    return tuple(i for i, a in layers if not a.is_readout and a.kind != "flatten")


def readout_bound(program: SpikingProgram) -> int:
    """Return a magnitude that no integer of the readout exceeds."""
    last = program.layers[-1]
    bias = int(np.abs(last.bias.astype(np.int64)).max())
    return last.weight_norm * program.levels_in[-1] + bias


def to_planes(counts: NDArray[Any]) -> NDArray[np.uint8]:
    """Return counts as the codec takes them, [C, H, W]; dense ones [C, 1, 1].

    >>> to_planes(np.zeros((4, 5, 2), np.uint8)).shape, to_planes(np.zeros(7, np.uint8)).shape
    ((2, 4, 5), (7, 1, 1))
    """
    planes = counts.transpose(2, 0, 1) if counts.ndim == 3 else counts[:, None, None]
    return np.ascontiguousarray(planes, np.uint8)


def from_planes(planes: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Undo `to_planes` for counts of a shape, (H, W, C) or (units,)."""
    counts = planes.transpose(1, 2, 0) if len(shape) == 3 else planes
    return np.ascontiguousarray(counts).reshape(shape)


def _head(program: SpikingProgram, shape: tuple[int, ...]) -> tuple[Layer, ...]:
    """The layers that read counts out; the weights are as wide as the chip is used to."""
    size = math.prod(shape)
    bits = max(2, program.layers[-1].weight_bits)  # one bit knows no zero
    identity = Layer(
        "dense", np.eye(size, dtype=np.int8), np.zeros(size, np.int32), weight_bits=bits
    )
    return (Layer("flatten"), identity) if len(shape) == 3 else (identity,)


def _counts_encoding(shape: tuple[int, ...], levels: int) -> InputEncoding:
    """How the server half receives counts: as they are."""
    bits = levels.bit_length()
    if len(shape) == 3:
        return InputEncoding("image", shape, bits)
    return InputEncoding("vector", shape, bits, (0.0,) * shape[0], (1.0,) * shape[0])


def _where(program: SpikingProgram) -> str:
    if not cuts(program):
        return "no layer of this program emits counts"
    named = (f"{i} ({program.layers[i - 1].kind} {program.shapes[i]})" for i in cuts(program))
    return f"the layers that emit counts are {', '.join(named)}"
