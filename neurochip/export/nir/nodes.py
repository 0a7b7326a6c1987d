"""NIR nodes that both forms are made of, each exact and each read alike.

Three habits of readers decide how nodes are written here:

- The package derives the shape of a ``Conv2d`` from the height of its kernel alone, pads both sides
  alike, and readers know neither groups nor both kinds of pooling. So every window is square and
  symmetric; zeros make up for the rest.
- Readers count the dimensions of a ``Flatten`` with or without the batch. Counted from the end they
  are the same.
- Some readers drop ``Linear``. ``Affine`` with a bias of zero is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import nir
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rivc.snn_convert import Layer, SpikingProgram

    Chain = list[tuple[str, nir.NIRNode]]

FORMAT_VERSION: Final = 1
DT: Final = 1e-4  # seconds a tick: what readers take when they are not told
R: Final = 1 / DT  # dv/dt = r I: one tick adds its current to the membrane


def graph(program: SpikingProgram, chain: Chain, metadata: dict[str, Any]) -> nir.NIRGraph:
    """Return the graph of a chain of nodes, with what every form says of its program."""
    shape = channels_first(program.encoding.shape)
    ends = {
        "input": nir.Input(input_type=np.array(shape)),
        "output": nir.Output(output_type=np.array(program.shapes[-1])),
    }
    names = ["input", *(name for name, _ in chain), "output"]
    return nir.NIRGraph(
        {**ends, **dict(chain)}, list(pairwise(names)), {**_about(program), **metadata}
    )


def _about(program: SpikingProgram) -> dict[str, Any]:
    encoding = program.encoding
    return {
        "format": "rivc",
        "format_version": FORMAT_VERSION,
        "program_sha256": program.sha256,
        "profile": program.profile,
        "input_kind": encoding.kind,
        "input_shape": np.array(encoding.shape),
        "input_bit_width": encoding.bit_width,
        "input_low": np.array(encoding.low, np.float64),
        "input_step": np.array(encoding.step, np.float64),
        "action_layout": np.array(program.action_layout),
        "readout_scale": float(program.readout_scale),
        "dt": DT,
    }


def channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """HWC to CHW; a vector stays as it is."""
    return (shape[-1], *shape[:-1])


def spread(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """One value a channel over a whole CHW shape."""
    return np.broadcast_to(values.reshape(-1, *[1] * (len(shape) - 1)), shape).copy()


def affine(weight: ArrayLike, bias: ArrayLike = 0) -> nir.Affine:
    """Return an affine map in float32; exact, since `limits` has seen its integers."""
    weight = np.array(weight, np.float32)
    return nir.Affine(weight, _biases(bias, len(weight)))


def conv2d(
    weight: ArrayLike,
    size: tuple[int, ...],
    bias: ArrayLike = 0,
    *,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> nir.Conv2d:
    """Return a convolution over pictures of height and width `size`."""
    weight = np.array(weight, np.float32)
    return nir.Conv2d(
        input_shape=(size[0], size[1]),
        weight=weight,
        stride=(stride, stride),
        padding=padding,
        dilation=dilation,
        groups=1,
        bias=_biases(bias, len(weight)),
    )


def _biases(bias: ArrayLike, count: int) -> NDArray[np.float32]:
    return np.broadcast_to(np.asarray(bias, np.float32), count).copy()


def mix(weight: NDArray[Any], size: tuple[int, ...], bias: ArrayLike = 0) -> nir.NIRNode:
    """Return what multiplies channels, [out, in], at every place of a picture or of a vector."""
    return conv2d(weight[:, :, None, None], size, bias) if size else affine(weight, bias)


def flatten(shape: tuple[int, ...]) -> Chain:
    """Return the chain that flattens a picture, HWC, as a program does."""
    dims = {"start_dim": -3, "end_dim": -1}
    return [("flatten", nir.Flatten(input_type=np.array(channels_first(shape)), **dims))]


def dense_weight(layer: Layer, picture: tuple[int, ...] | None) -> NDArray[np.int8]:
    """Weights of a dense layer; after a picture, HWC, in the order that NIR flattens it, CHW."""
    if picture is None:
        return layer.weight
    units = len(layer.weight)
    return layer.weight.reshape(units, *picture).transpose(0, 3, 1, 2).reshape(units, -1)


@dataclass(frozen=True, slots=True)
class Window:
    """The window of a layer as NIR holds one: square, and padded alike on opposite sides.

    Attributes:
        extended: zeros come first, a row below the picture and two columns to its right.
        size: height and width of the picture, with them.
        side: of the window.
        corner: where the layer's own window lies in it.
        padding: zeros above and below, left and right.
    """

    extended: bool
    size: tuple[int, int]
    side: int
    corner: tuple[int, int]
    padding: tuple[int, int]

    def embed(self, weight: NDArray[Any]) -> NDArray[np.float32]:
        """Return weights, [out, in, h, w], in a square of zeros."""
        square = np.zeros((*weight.shape[:2], self.side, self.side), np.float32)
        (top, left), (height, width) = self.corner, weight.shape[2:]
        square[:, :, top : top + height, left : left + width] = weight
        return square


def square_window(layer: Layer, shape: tuple[int, ...]) -> Window:
    r"""Return the window of a conv2d or maxpool2d over a picture, HWC.

    With p zeros on both sides of an axis, the window starts p - before zeros earlier and ends
    p - after zeros later than the layer's own, so that as many windows fit as before:

    .. math:: side = kernel + 2 p - before - after

    The parity of side does not depend on p. Where it differs between the axes, the picture is
    extended by one row and two columns, which are taken off what is needed after it.
    """
    top, left, bottom, right = layer.padding
    height, width = layer.window
    rows, columns = shape[:2]
    extended = (height - top - bottom - width + left + right) % 2 == 1
    if extended:
        rows, columns, bottom, right = rows + 1, columns + 2, bottom - 1, right - 2
    side = max(height + abs(top - bottom), width + abs(left - right))
    padding = (side - height + top + bottom) // 2, (side - width + left + right) // 2
    corner = padding[0] - top, padding[1] - left
    return Window(extended, (rows, columns), side, corner, padding)


def extension(window: Window, shape: tuple[int, ...]) -> Chain:
    """Return the chain that adds a row and two columns of zeros, if the window needs them."""
    if not window.extended:
        return []
    height, width, channels = shape
    weight = np.zeros((channels, channels, 2, 2), np.float32)
    weight[:, :, 1, 1] = np.eye(channels)
    return [("extended", conv2d(weight, (height, width), padding=(1, 2), dilation=(1, 2)))]


def numbered(index: int, chain: Chain) -> Chain:
    """Name the nodes of a chain after the layer they stand for."""
    return [(f"layer{index}_{name}", node) for name, node in chain]
