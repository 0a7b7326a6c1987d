"""A small simulator of NIR chains in both forms, for graphs that `reader` has checked.

Unary graphs run for one tick from rest. Compact graphs run phase by phase: linear nodes are applied
to the counts of a phase, which is the same as to its spikes one by one, and neurons fire tick by
tick. Everything is float64, in which the integers of files that `limits` let pass are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import DamagedFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from rivc.neurochip.export.nir.graph import Graph, Node

    Values = NDArray[np.float64]  # [B, n] or [B, C, H, W]
    Spikes = NDArray[np.bool_]
    Run = Callable[[Values], Values]


def ints(values: NDArray[Any]) -> tuple[int, ...]:
    """Return a one-dimensional array as integers."""
    return tuple(int(value) for value in values)


# -- linear nodes ------------------------------------------------------------------------------


def _affine(node: Node, x: Values) -> Values:
    return np.asarray(x @ node.arrays["weight"].T.astype(float) + node.arrays["bias"])


def windows(node: Node, padded: Sequence[int]) -> tuple[int, int]:
    """Return how many windows of a Conv2d fit a padded picture, downwards and to the right."""
    kernel, stride, dilation = node.arrays["weight"].shape[2:], *_steps(node)
    rows, columns = (
        (padded[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    )
    return rows, columns


def _steps(node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return ints(node.arrays["stride"]), ints(node.arrays["dilation"])


def _conv2d(node: Node, x: Values) -> Values:
    weight, (stride, dilation) = node.arrays["weight"].astype(float), _steps(node)
    high, wide = ints(node.arrays["padding"])
    x = np.pad(x, ((0, 0), (0, 0), (high, high), (wide, wide))).transpose(0, 2, 3, 1)
    rows, columns = windows(node, x.shape[1:3])
    out = np.zeros((len(x), rows, columns, len(weight))) + node.arrays["bias"]
    for i, j in np.argwhere(weight.any(axis=(0, 1))):  # the zeros around a window cost nothing
        seen = x[:, i * dilation[0] :: stride[0], j * dilation[1] :: stride[1]]
        out += seen[:, :rows, :columns] @ weight[:, :, i, j].T
    return np.asarray(out.transpose(0, 3, 1, 2))


def _flatten(_: Node, x: Values) -> Values:
    return x.reshape(len(x), -1)


LINEAR: Final[dict[str, Callable[[Node, Values], Values]]] = {
    "Affine": _affine,
    "Conv2d": _conv2d,
    "Flatten": _flatten,
}


def _through(synapses: list[Node], x: Values) -> Values:
    for node in synapses:
        x = LINEAR[node.kind](node, x)
    return x


# -- the unary form ----------------------------------------------------------------------------


def unary(graph: Graph) -> Run:
    """Return how a unary graph runs: one tick from rest, after which nothing is left to reset."""
    if int(graph.metadata["ticks"]) != 1 or any(node.kind == "I" for node in graph.chain):
        raise DamagedFileError("a unary graph runs for one tick and has no integrators")
    dt = float(graph.metadata["dt"])

    def step(node: Node, x: Values) -> Values:
        if node.kind in LINEAR:
            return LINEAR[node.kind](node, x)
        v_mem = x * (node.arrays["r"] * dt)
        return (v_mem > node.arrays["v_threshold"]).astype(float)

    def run(counts: Values) -> Values:
        x = counts
        for node in graph.chain:
            x = step(node, x)
        return x

    return run


# -- the compact form --------------------------------------------------------------------------


def compact(graph: Graph) -> Run:
    """Return how a compact graph runs: the neurons of a phase fire after those before them."""
    *layers, (readout, integrator) = _layers(graph)
    levels = 2 ** int(graph.metadata["input_bit_width"]) - 1

    def run(counts: Values) -> Values:
        phase, ticks = 0, levels
        for synapses, neuron in layers:
            if int(neuron.metadata["phase"]) == phase:
                counts = _relay(synapses, neuron, counts, ticks)
            else:
                counts = _fire(neuron, _through(synapses, counts))
            phase, ticks = int(neuron.metadata["phase"]), int(neuron.metadata["ticks"])
        return np.asarray(_through(readout, counts) + integrator.metadata["initial_membrane"])

    return run


def _layers(graph: Graph) -> Iterator[tuple[list[Node], Node]]:
    """Neurons, each with the linear nodes before it; the last one is the integrator."""
    if [i for i, node in enumerate(graph.chain, 1) if node.kind == "I"] != [len(graph.chain)]:
        raise DamagedFileError("a compact graph ends with its only integrator")
    synapses: list[Node] = []
    for node in graph.chain:
        if node.kind in LINEAR:
            synapses.append(node)
        else:
            yield synapses, node
            synapses = []


def _fire(neuron: Node, charge: Values) -> Values:
    """Count the spikes of neurons that gathered `charge`, over the ticks of their phase."""
    reset, threshold = RESETS[neuron.metadata["reset"]], neuron.arrays["v_threshold"]
    v_mem = neuron.metadata["initial_membrane"] + charge
    counts = np.zeros_like(v_mem)
    for _ in range(int(neuron.metadata["ticks"])):
        spikes = v_mem > threshold
        v_mem = reset(neuron, v_mem, spikes)
        counts += spikes
    return np.asarray(counts)


def _relay(synapses: list[Node], neuron: Node, counts: Values, ticks: int) -> Values:
    """Count the spikes of neurons that answer in the very ticks in which their input fires."""
    reset, threshold = RESETS[neuron.metadata["reset"]], neuron.arrays["v_threshold"]
    v_mem: Any = neuron.metadata["initial_membrane"]
    answered: Any = 0
    for tick in range(ticks):
        v_mem = v_mem + _through(synapses, (counts > tick).astype(float))
        spikes = v_mem > threshold
        v_mem = reset(neuron, v_mem, spikes)
        answered = answered + spikes
    return np.asarray(answered, float)


def _to_v_reset(neuron: Node, v_mem: Values, spikes: Spikes) -> Values:
    return np.where(spikes, neuron.arrays["v_reset"], v_mem)


def _subtract(neuron: Node, v_mem: Values, spikes: Spikes) -> Values:
    return np.asarray(v_mem - spikes * neuron.arrays["v_threshold"])


RESETS: Final = {"to v_reset": _to_v_reset, "subtract": _subtract}
RUNS: Final[dict[str, Callable[[Graph], Run]]] = {"unary": unary, "compact": compact}
