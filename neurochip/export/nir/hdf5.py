"""NIR graphs as bytes: written by the nir package, read with bounded work.

What is read was perhaps written by somebody else. Before an array is touched, the file must prove
that it lies in it as plain bytes: hard links to contiguous numbers, together no larger than the
file. Compressed, chunked, external and virtual data could be of any size, so they are refused.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np

from rivc.errors import DamagedFileError, MissingError
from rivc.snn_convert.storage import UNREADABLE

if TYPE_CHECKING:
    from pathlib import Path

    import nir
    from numpy.typing import NDArray

    Tree = dict[str, Any]  # names to arrays, texts or trees

MAX_BYTES: Final = 1 << 29
MAX_ENTRIES: Final = 1 << 14
MAX_DEPTH: Final = 8


def dump(graph: nir.NIRGraph) -> bytes:
    """Return the file of a graph; the same graph gives the same bytes."""
    import nir

    buffer = io.BytesIO()
    nir.write(buffer, graph, compression=None)
    return buffer.getvalue()


def dump_legacy(graph: nir.NIRGraph) -> bytes:
    """Return the file of a graph for nir 1.0.4 and older: no neuron has a `v_reset`."""
    buffer = io.BytesIO(dump(graph))
    with h5py.File(buffer, "r+") as file:
        for node in file["node/nodes"].values():
            if "v_reset" in node:
                del node["v_reset"]
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a chain.

    Attributes:
        name: in the file.
        kind: type in the words of NIR.
        arrays: parameters, by NIR's names.
        metadata: arrays and texts.
    """

    name: str
    kind: str
    arrays: dict[str, NDArray[Any]]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph that is a chain.

    Attributes:
        chain: its nodes in order, without the ends.
        input_shape: what the first one receives.
        metadata: of the graph.
    """

    chain: tuple[Node, ...]
    input_shape: tuple[int, ...]
    metadata: dict[str, Any]


def load(path: Path) -> Graph:
    """Read the graph of a file.

    Raises:
        MissingError: if there is no such file.
        DamagedFileError: if it is not a plain, whole NIR graph, or the graph is not a chain.
    """
    if not path.is_file():
        raise MissingError(f"no NIR graph at {path}")
    try:
        return _chain(_read_tree(path))
    except UNREADABLE as error:
        raise DamagedFileError(f"{path} is not a NIR graph that can be read: {error}") from error


@dataclass
class _Budget:
    """What may still be read."""

    bytes: int
    entries: int = MAX_ENTRIES
    tree: Tree = field(default_factory=dict)

    def spend(self, size: int) -> None:
        self.entries -= 1
        self.bytes -= size
        if min(self.entries, self.bytes) < 0:
            raise DamagedFileError("it claims to hold more than it does")


def _read_tree(path: Path) -> Tree:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DamagedFileError(f"it has more than {MAX_BYTES} bytes")
    with h5py.File(path, "r") as file:
        return _tree(file, _Budget(size), MAX_DEPTH)


def _tree(group: Any, budget: _Budget, depth: int) -> Tree:
    if depth == 0:
        raise DamagedFileError("its groups are nested too deeply")
    found: Tree = {}
    for name in group:
        budget.spend(0)
        if type(group.get(name, getlink=True)) is not h5py.HardLink:
            raise DamagedFileError(f"{name!r} is a link to somewhere else")
        item = group[name]
        is_group = isinstance(item, h5py.Group)
        found[name] = _tree(item, budget, depth - 1) if is_group else _value(item, budget)
    return found


def _value(item: Any, budget: _Budget) -> NDArray[Any] | str | list[list[str]]:
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        raise DamagedFileError("it holds something that is no array")
    layout = item.id.get_create_plist().get_layout()
    if layout not in {h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT} or item.external:
        raise DamagedFileError("an array is compressed or elsewhere, which hides its size")
    budget.spend(item.size * item.dtype.itemsize)
    if h5py.check_string_dtype(item.dtype) is not None:
        return _texts(item.asstr()[()])
    if item.dtype.kind not in "iuf":
        raise DamagedFileError(f"an array is of type {item.dtype}")
    return np.asarray(item[()])


def _texts(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _chain(tree: Tree) -> Graph:
    """The nodes in the order of the edges; anything but one path between the ends is refused."""
    graph = tree["node"]
    nodes, after = graph["nodes"], dict(graph["edges"])
    names = ["input"]
    while names[-1] in after and len(names) <= len(nodes):
        names.append(after[names[-1]])
    if names[-1] != "output" or sorted(names) != sorted(nodes) or len(graph["edges"]) != len(after):
        raise DamagedFileError("its graph is not one chain from input to output")
    chain = tuple(_node(name, nodes[name]) for name in names[1:-1])
    shape = tuple(int(n) for n in nodes["input"]["shape"])
    return Graph(chain, shape, graph.get("metadata", {}))


def _node(name: str, fields: Tree) -> Node:
    arrays = {key: value for key, value in fields.items() if isinstance(value, np.ndarray)}
    return Node(name, str(fields["type"]), arrays, fields.get("metadata", {}))
