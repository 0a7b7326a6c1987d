"""A NIR graph as it was read: a chain of nodes, without the nir package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rivc.errors import DamagedFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.neurochip.export.nir.hdf5 import Tree


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


def parse(tree: Tree) -> Graph:
    """Return the nodes of a file in the order of the edges.

    Raises:
        DamagedFileError: if the graph is anything but one path from input to output.
        Exception: any other of `UNREADABLE`, if the tree is not that of a NIR graph.
    """
    graph = tree["node"]
    nodes, edges = graph["nodes"], graph["edges"].tolist()
    after, names = dict(edges), ["input"]
    while names[-1] in after and len(names) <= len(nodes):
        names.append(after[names[-1]])
    if names[-1] != "output" or sorted(names) != sorted(nodes) or len(edges) != len(after):
        raise DamagedFileError("its graph is not one chain from input to output")
    return Graph(
        chain=tuple(_node(name, nodes[name]) for name in names[1:-1]),
        input_shape=tuple(int(n) for n in nodes["input"]["shape"]),
        metadata=_plain(graph["metadata"]),
    )


def _node(name: str, fields: Tree) -> Node:
    about = _plain(fields.get("metadata", {}))
    arrays = {key: value for key, value in fields.items() if key not in {"type", "metadata"}}
    return Node(name, str(fields["type"]), arrays, about)


def _plain(tree: Tree) -> Tree:
    """Metadata with texts as texts."""
    texts = {key: str(value) for key, value in tree.items() if value.dtype.kind == "U"}
    return {**tree, **texts}
