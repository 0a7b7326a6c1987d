"""A small simulator of NIR chains: what the files of an export compute, from the files alone.

Unary graphs run for one tick from rest. Compact graphs run phase by phase: linear nodes are applied
to the counts of a phase, which is the same as to its spikes one by one, and neurons fire tick by
tick. Everything is float64, in which integers of files that `limits` let pass are exact.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import DamagedFileError, MismatchError
from rivc.neurochip.export.nir.hdf5 import load
from rivc.snn_convert.storage import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from rivc.neurochip.compare import Form
    from rivc.neurochip.export.nir.hdf5 import Graph, Node

    Values = NDArray[np.float64]  # [B, n] or [B, C, H, W]
    Shape = tuple[int, ...]

MAX_TICKS: Final = 255
MAX_NEURONS: Final = 1 << 25  # of what one node emits, padding included
MAX_PRODUCTS: Final = 1 << 33  # of one state in one tick
VALUES_AT_ONCE: Final = 1 << 22


def load_form(path: Path) -> Form:
    """Return what a file computes: counts, uint8 [B, *shape], to a readout, int64 [B, d, n].

    Raises:
        MissingError: if there is no such file.
        DamagedFileError: if it does not hold a graph that this library has written.
    """
    graph = load(path)
    try:
        largest = _check(graph)
        run = _RUNS[graph.metadata["form"]](graph)
        layout = _ints(graph.metadata["action_layout"])
    except UNREADABLE as error:
        raise DamagedFileError(f"{path} is not a graph of rivc: {error!r}") from error
    at_once = max(1, VALUES_AT_ONCE // largest)

    def form(counts: NDArray[np.uint8]) -> NDArray[np.int64]:
        x = np.moveaxis(counts, -1, 1) if counts.ndim == 4 else counts
        if x.shape[1:] != graph.input_shape:
            raise MismatchError(f"{path} takes {graph.input_shape}, not {x.shape[1:]}")
        parts = [run(x[i : i + at_once].astype(float)) for i in range(0, len(x), at_once)]
        return np.concatenate(parts).astype(np.int64).reshape(-1, *layout)

    return form


# -- what a graph must be ----------------------------------------------------------------------


def _check(graph: Graph) -> int:
    """Return the largest number of values that a node emits; raise unless all shapes meet."""
    shape, sizes = graph.input_shape, [math.prod(graph.input_shape)]
    for node in graph.chain:
        _check_values(node)
        shape = _SHAPES[node.kind](node, shape)
        sizes.append(math.prod(shape))
        if min(shape) < 1 or max(sizes) > MAX_NEURONS:
            raise DamagedFileError(f"{node.name} would emit {shape}")
    layout = _ints(graph.metadata["action_layout"])
    if len(layout) != 2 or min(layout) < 1 or shape != (math.prod(layout),):
        raise DamagedFileError(f"a readout of {shape} for actions {layout}")
    return max(sizes)


def _check_values(node: Node) -> None:
    for name, array in node.arrays.items():
        if not np.all(np.isfinite(array)):
            raise DamagedFileError(f"{name} of {node.name} is not finite")
        if name in {"weight", "bias"} and np.any(array != np.rint(array)):
            raise DamagedFileError(f"{name} of {node.name} is not made of integers")


def _expect(node: Node, ok: bool) -> None:  # noqa: FBT001
    if not ok:
        raise DamagedFileError(f"{node.name} is not what its neighbours need")


def _affine_shape(node: Node, shape: Shape) -> Shape:
    weight, bias = node.arrays["weight"], node.arrays["bias"]
    _expect(node, weight.ndim == 2 and shape == weight.shape[1:] and bias.shape == weight.shape[:1])
    return (weight.shape[0],)


def _conv2d_shape(node: Node, shape: Shape) -> Shape:
    weight, bias = node.arrays["weight"], node.arrays["bias"]
    stride, padding, dilation = (_pair(node, name) for name in ("stride", "padding", "dilation"))
    _expect(node, weight.ndim == 4 and bias.shape == weight.shape[:1])
    _expect(node, len(shape) == 3 and weight.shape[1] == shape[0] and node.arrays["groups"] == 1)
    _expect(node, min(stride) >= 1 and min(dilation) >= 1 and min(padding) >= 0)
    padded = [size + 2 * pad for size, pad in zip(shape[1:], padding, strict=True)]
    extent = [d * (side - 1) + 1 for d, side in zip(dilation, weight.shape[2:], strict=True)]
    _expect(node, shape[0] * math.prod(padded) <= MAX_NEURONS)
    rows, columns = (
        (a - b) // s + 1 for a, b, s in zip(padded, extent, stride, strict=True)
    )
    _expect(node, weight.size * rows * columns <= MAX_PRODUCTS)
    return (weight.shape[0], rows, columns)


def _flatten_shape(node: Node, shape: Shape) -> Shape:
    _expect(node, (node.arrays["start_dim"], node.arrays["end_dim"]) == (-3, -1))
    _expect(node, len(shape) == 3)
    return (math.prod(shape),)


def _neuron_shape(node: Node, shape: Shape) -> Shape:
    arrays = dict(node.arrays, v0=node.metadata.get("initial_membrane", node.arrays["r"]))
    _expect(node, all(array.shape == shape for array in arrays.values()))
    return shape


def _pair(node: Node, name: str) -> tuple[int, int]:
    first, second = _ints(node.arrays[name])
    return first, second


def _ints(values: NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


_SHAPES: Final[dict[str, Callable[[Node, Shape], Shape]]] = {
    "Affine": _affine_shape,
    "Conv2d": _conv2d_shape,
    "Flatten": _flatten_shape,
    "IF": _neuron_shape,
    "I": _neuron_shape,
}


# -- linear nodes ------------------------------------------------------------------------------


def _affine(node: Node, x: Values) -> Values:
    return np.asarray(x @ node.arrays["weight"].T.astype(float) + node.arrays["bias"])


def _conv2d(node: Node, x: Values) -> Values:
    weight = node.arrays["weight"].astype(float)
    (down, right), (high, wide) = _pair(node, "dilation"), _pair(node, "padding")
    x = np.pad(x, ((0, 0), (0, 0), (high, high), (wide, wide))).transpose(0, 2, 3, 1)
    _, rows, columns = _conv2d_shape(node, (x.shape[3], x.shape[1] - 2 * high, x.shape[2] - 2 * wide))
    stride = _pair(node, "stride")
    out = np.zeros((len(x), rows, columns, len(weight))) + node.arrays["bias"]
    for i, j in np.argwhere(weight.any(axis=(0, 1))):  # zeros that make a window square cost nothing
        seen = x[:, i * down :: stride[0], j * right :: stride[1]][:, :rows, :columns]
        out += seen @ weight[:, :, i, j].T
    return out.transpose(0, 3, 1, 2)


def _flatten(_: Node, x: Values) -> Values:
    return x.reshape(len(x), -1)


_LINEAR: Final[dict[str, Callable[[Node, Values], Values]]] = {
    "Affine": _affine,
    "Conv2d": _conv2d,
    "Flatten": _flatten,
}


def _through(nodes: list[Node], x: Values) -> Values:
    for node in nodes:
        x = _LINEAR[node.kind](node, x)
    return x


# -- the unary form ----------------------------------------------------------------------------


def _unary(graph: Graph) -> Callable[[Values], Values]:
    """One tick from rest; nothing is left to reset."""
    if int(graph.metadata["ticks"]) != 1:
        raise DamagedFileError(f"a unary graph of {graph.metadata['ticks']} ticks")
    dt = float(graph.metadata["dt"])

    def run(x: Values) -> Values:
        for node in graph.chain:
            x = _once(node, x, dt) if node.kind == "IF" else _LINEAR[node.kind](node, x)
        return x

    return run


def _once(node: Node, current: Values, dt: float) -> Values:
    v_mem = current * (node.arrays["r"] * dt)
    return (v_mem > node.arrays["v_threshold"]).astype(float)


# -- the compact form --------------------------------------------------------------------------


def _compact(graph: Graph) -> Callable[[Values], Values]:
    layers = list(_layers(graph))
    levels = 2 ** int(graph.metadata["input_bit_width"]) - 1

    def run(counts: Values) -> Values:
        phase, ticks = 0, levels
        for synapses, neuron in layers:
            if neuron.kind == "I":
                return _through(synapses, counts) + neuron.metadata["initial_membrane"]
            if int(neuron.metadata["phase"]) == phase:
                counts = _relay(synapses, neuron, counts, ticks)
            else:
                counts = _fire(neuron, _through(synapses, counts))
            phase, ticks = int(neuron.metadata["phase"]), int(neuron.metadata["ticks"])
        return counts

    return run


def _layers(graph: Graph) -> Iterator[tuple[list[Node], Node]]:
    """Neurons, each with the linear nodes before it; the last is the integrator of the readout."""
    synapses: list[Node] = []
    for node in graph.chain:
        if node.kind in _LINEAR:
            synapses.append(node)
            continue
        _check_neuron(node)
        yield synapses, node
        synapses = []
    if synapses or [node.kind for node in graph.chain if node.kind == "I"] != ["I"]:
        raise DamagedFileError("a compact graph ends with one integrator")
    _expect(graph.chain[-1], graph.chain[-1].kind == "I")


def _check_neuron(node: Node) -> None:
    about = node.metadata
    _expect(node, "initial_membrane" in about and int(about["phase"]) >= 0)
    _expect(node, bool(np.all(np.isfinite(about["initial_membrane"]))))
    if node.kind == "IF":
        _expect(node, about["comparator"] == ">" and about["reset"] in _RESETS)
        _expect(node, 1 <= int(about["ticks"]) <= MAX_TICKS)


def _fire(neuron: Node, charge: Values) -> Values:
    """Count the spikes of neurons that gathered `charge`, over the ticks of their phase."""
    reset = _RESETS[neuron.metadata["reset"]]
    v_mem = neuron.metadata["initial_membrane"] + charge
    counts = np.zeros_like(v_mem)
    for _ in range(int(neuron.metadata["ticks"])):
        spikes = v_mem > neuron.arrays["v_threshold"]
        v_mem = reset(neuron, v_mem, spikes)
        counts += spikes
    return counts


def _relay(synapses: list[Node], neuron: Node, counts: Values, ticks: int) -> Values:
    """Count the spikes of neurons that answer in the very ticks in which their input fires."""
    reset = _RESETS[neuron.metadata["reset"]]
    v_mem: Any = neuron.metadata["initial_membrane"]
    answered: Any = 0
    for tick in range(ticks):
        v_mem = v_mem + _through(synapses, (counts > tick).astype(float))
        spikes = v_mem > neuron.arrays["v_threshold"]
        v_mem = reset(neuron, v_mem, spikes)
        answered = answered + spikes
    return np.asarray(answered, float)


def _to_v_reset(neuron: Node, v_mem: Values, spikes: NDArray[np.bool_]) -> Values:
    return np.where(spikes, neuron.arrays["v_reset"], v_mem)


def _subtract(neuron: Node, v_mem: Values, spikes: NDArray[np.bool_]) -> Values:
    return v_mem - spikes * neuron.arrays["v_threshold"]


_RESETS: Final = {"to v_reset": _to_v_reset, "subtract": _subtract}
_RUNS: Final = {"unary": _unary, "compact": _compact}
