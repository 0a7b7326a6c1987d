"""What the NIR files of an export compute, from the files alone: checks, then `simulator`.

Whatever a file says is checked before it is run: shapes meet, integers are integers, and neither
memory nor work exceeds what `limits` lets a file of this library need.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import DamagedFileError, MismatchError
from rivc.neurochip.export.nir import hdf5
from rivc.neurochip.export.nir.graph import parse
from rivc.neurochip.export.nir.simulator import LINEAR, RESETS, RUNS, ints, windows
from rivc.quant.encoding import MAX_COUNT_BITS
from rivc.snn_convert.storage import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from rivc.neurochip.compare import Form
    from rivc.neurochip.export.nir.graph import Graph, Node

    Shape = tuple[int, ...]

MAX_NEURONS: Final = 1 << 25  # of what one node emits, padding included
MAX_PRODUCTS: Final = 1 << 33  # of one node, one state, one tick
MAX_TICKS: Final = 255
VALUES_AT_ONCE: Final = 1 << 22
EXACT: Final = 1 << 53  # of float64


def load_form(path: Path) -> Form:
    """Return what a file computes; see `make_form`.

    Raises:
        MissingError: if there is no such file.
        DamagedFileError: if it does not hold a graph that this library has written.
    """
    return make_form(hdf5.read_apart(path), path.name)


def make_form(tree: hdf5.Tree, name: str) -> Form:
    """Return what a graph computes: counts, uint8 [B, *shape], to a readout, int64 [B, d, n].

    Raises:
        DamagedFileError: if it is not a graph that this library has written.
    """
    try:
        graph = parse(tree)
        at_once = max(1, VALUES_AT_ONCE // _check(graph))
        run = RUNS[graph.metadata["form"]](graph)
        layout = ints(graph.metadata["action_layout"])
    except UNREADABLE as error:
        raise DamagedFileError(f"{name} is not a graph of rivc: {error!r}") from error

    def form(counts: NDArray[np.uint8]) -> NDArray[np.int64]:
        x = np.moveaxis(counts, -1, 1) if counts.ndim == 4 else counts
        if x.shape[1:] != graph.input_shape:
            raise MismatchError(f"{name} takes {graph.input_shape}, not {x.shape[1:]}")
        with np.errstate(over="ignore", invalid="ignore"):
            parts = [run(x[i : i + at_once].astype(float)) for i in range(0, len(x), at_once)]
        readout = np.concatenate(parts)
        if not np.all(np.abs(readout) <= EXACT):  # nor is it if there is no number
            raise MismatchError(f"{name} gives a readout beyond the integers of float64")
        return readout.astype(np.int64).reshape(-1, *layout)

    return form


def _check(graph: Graph) -> int:
    """Return the largest number of values that a node holds; raise unless all can be run."""
    if not 1 <= int(graph.metadata["input_bit_width"]) <= MAX_COUNT_BITS:
        raise DamagedFileError(f"an input of {int(graph.metadata['input_bit_width'])} bits")
    shape, sizes = graph.input_shape, [math.prod(graph.input_shape)]
    for node in graph.chain:
        _check_values(node)
        if node.kind not in LINEAR and graph.metadata["form"] == "compact":
            _check_phase(node)
        if node.kind == "Conv2d":
            sizes.append(shape[0] * math.prod(_padded(node, shape)))
        shape = _SHAPES[node.kind](node, shape)
        sizes.append(math.prod(shape))
        _expect(node, min(shape) >= 1 and max(sizes) <= MAX_NEURONS)
    layout = ints(graph.metadata["action_layout"])
    if len(layout) != 2 or min(layout) < 1 or shape != (math.prod(layout),):
        raise DamagedFileError(f"a readout of {shape} for actions {layout}")
    return max(sizes)


def _expect(node: Node, *facts: bool) -> None:
    if not all(facts):
        raise DamagedFileError(f"{node.name} is not what its neighbours need")


def _check_values(node: Node) -> None:
    for name, array in node.arrays.items():
        _expect(node, bool(np.all(np.isfinite(array))))
        if name in {"weight", "bias"} and np.any(array != np.rint(array)):
            raise DamagedFileError(f"{name} of {node.name} is not made of integers")


def _check_phase(node: Node) -> None:
    about = node.metadata
    _expect(node, int(about["phase"]) >= 0, bool(np.all(np.isfinite(about["initial_membrane"]))))
    if node.kind == "IF":
        _expect(node, about["comparator"] == ">", about["reset"] in RESETS)
        _expect(node, 1 <= int(about["ticks"]) <= MAX_TICKS)


def _affine_shape(node: Node, shape: Shape) -> Shape:
    weight, bias = node.arrays["weight"], node.arrays["bias"]
    _expect(node, weight.ndim == 2, bias.shape == weight.shape[:1], shape == weight.shape[1:])
    return (weight.shape[0],)


def _conv2d_shape(node: Node, shape: Shape) -> Shape:
    weight, bias = node.arrays["weight"], node.arrays["bias"]
    _expect(node, weight.ndim == 4, bias.shape == weight.shape[:1], len(shape) == 3)
    _expect(node, weight.shape[1] == shape[0], int(node.arrays["groups"]) == 1)
    stride, dilation = (ints(node.arrays[name]) for name in ("stride", "dilation"))
    _expect(node, min(stride) >= 1, min(dilation) >= 1)
    rows, columns = windows(node, _padded(node, shape))
    _expect(node, min(rows, columns) >= 1, weight.size * rows * columns <= MAX_PRODUCTS)
    return (weight.shape[0], rows, columns)


def _padded(node: Node, shape: Shape) -> Shape:
    """Height and width of a picture, CHW, with the zeros around it."""
    padding = ints(node.arrays["padding"])
    _expect(node, len(shape) == 3, min(padding) >= 0)
    return tuple(size + 2 * zeros for size, zeros in zip(shape[1:], padding, strict=True))


def _flatten_shape(node: Node, shape: Shape) -> Shape:
    dims = int(node.arrays["start_dim"]), int(node.arrays["end_dim"])
    _expect(node, len(shape) == 3, dims == (-3, -1))
    return (math.prod(shape),)


def _neuron_shape(node: Node, shape: Shape) -> Shape:
    needed = {"r", "v_threshold"} if node.kind == "IF" else {"r"}
    if node.metadata.get("reset") == "to v_reset":
        needed |= {"v_reset"}
    _expect(node, needed <= node.arrays.keys())
    v_0 = node.metadata.get("initial_membrane", node.arrays["r"])
    _expect(node, all(array.shape == shape for array in (v_0, *node.arrays.values())))
    return shape


_SHAPES: Final[dict[str, Callable[[Node, Shape], Shape]]] = {
    "Affine": _affine_shape,
    "Conv2d": _conv2d_shape,
    "Flatten": _flatten_shape,
    "IF": _neuron_shape,
    "I": _neuron_shape,
}
