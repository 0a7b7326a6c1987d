"""NIR graphs as bytes: written by the nir package, read with bounded work.

What is read was perhaps written by somebody else. Before an array is touched, the file must prove
that it lies in it as plain bytes: hard links to contiguous numbers, together no larger than the
file. Compressed, chunked, external and virtual data could be of any size, so they are refused.

The HDF5 library itself may crash on a damaged file, or never return. So files are read in a process
of their own, whose time and memory are limited.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np

from rivc.errors import BackendError, DamagedFileError, RivcError
from rivc.snn_convert.storage import UNREADABLE

if TYPE_CHECKING:
    import nir

    Tree = dict[str, Any]  # names to arrays (numbers or texts) or trees

MAX_BYTES: Final = 1 << 29
MAX_ENTRIES: Final = 1 << 14
MAX_DEPTH: Final = 8
CHARACTER: Final = 4  # bytes, in an array of numpy
MAX_SECONDS: Final = 20  # of processor time
MAX_MEMORY: Final = 1 << 33


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


def read_apart(path: Path, seconds: int = MAX_SECONDS) -> Tree:
    """Return what `read` does, read by a process that may crash or be stopped.

    Raises:
        DamagedFileError: if there is no such file, as for `read`, or if the HDF5 library crashes on
            the file or needs more than `seconds` of processor time.
        BackendError: if the process does not start.
    """
    if not path.is_file():
        raise DamagedFileError(f"{path} is gone, or no plain file; export again")
    command = [sys.executable, "-P", "-m", __name__, str(path), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run(command, env=environment, capture_output=True, check=False)
    if child.returncode:
        raise _failure(path, child.returncode, child.stderr.decode(errors="replace"))
    with np.load(io.BytesIO(child.stdout)) as members:
        return _nested({name: members[name] for name in members})


def _failure(path: Path, status: int, text: str) -> RivcError:
    said = text.strip().rpartition("\n")[2]
    if status == DamagedFileError.exit_code:
        return DamagedFileError(said)
    if status < 0:
        return DamagedFileError(f"{path} stops the HDF5 library: signal {-status}")
    return BackendError(f"the process that reads {path} failed: {said}")


def read(path: Path) -> Tree:
    """Return every array of a file, by the names of its groups.

    Raises:
        DamagedFileError: if it is not plain and whole.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DamagedFileError(f"it has more than {MAX_BYTES} bytes")
        with h5py.File(path, "r") as file:
            return _tree(file, _Budget(size, MAX_ENTRIES), MAX_DEPTH)
    except UNREADABLE as error:
        raise DamagedFileError(f"{path} is not a NIR graph that can be read: {error}") from error


@dataclass(slots=True)
class _Budget:
    """What may still be read."""

    bytes: int
    entries: int

    def spend(self, size: int) -> None:
        self.entries -= 1
        self.bytes -= size
        if min(self.entries, self.bytes) < 0:
            raise DamagedFileError("it claims to hold more than it does")


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
        found[name] = _tree(item, budget, depth - 1) if is_group else _array(item, budget)
    return found


def _array(item: Any, budget: _Budget) -> Any:
    """An array of numbers or of texts."""
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        raise DamagedFileError("it holds something that is no array")
    layout = item.id.get_create_plist().get_layout()
    if layout not in {h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT} or item.external:
        raise DamagedFileError("an array is compressed or elsewhere, which hides its size")
    budget.spend(item.size * item.dtype.itemsize)
    if h5py.check_string_dtype(item.dtype) is not None:
        texts = np.asarray(item.asstr()[()], object)
        longest = max(map(len, texts.ravel()), default=0)
        budget.spend(CHARACTER * texts.size * longest)  # each takes as much as the longest
        return np.array(texts, np.str_)
    if item.dtype.kind not in "iuf":
        raise DamagedFileError(f"an array is of type {item.dtype}")
    return np.asarray(item[()])


def _flat(tree: Tree, prefix: str = "") -> Tree:
    arrays: Tree = {}
    for name, value in tree.items():
        key = f"{prefix}/{name}"
        arrays |= _flat(value, key) if isinstance(value, dict) else {key: value}
    return arrays


def _nested(arrays: Tree) -> Tree:
    tree: Tree = {}
    for key, value in arrays.items():
        *groups, name = key.split("/")[1:]
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    return tree


def _main(path: str, seconds: str) -> None:
    """Write what `read` returns to the standard output, within limits."""
    import resource

    for kind, limit in ((resource.RLIMIT_CPU, int(seconds)), (resource.RLIMIT_AS, MAX_MEMORY)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (limit if hard < 0 else min(limit, hard), hard))
    try:
        np.savez(sys.stdout.buffer, **_flat(read(Path(path))))
    except RivcError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    _main(*sys.argv[1:])
