"""Checkpoints: whole or not at all, without pickle, the replay appended to and not rewritten.

::

    checkpoints/
      000005000/            one checkpoint: state.json, state.safetensors
      000010000/            the last two are kept
      replay/
        000000-SHA256.safetensors  a full block of replay slots, written once
        000001-SHA256.safetensors  slots that do not fill a block stand in state.safetensors

A checkpoint is written into a hidden folder, flushed to the disk and renamed; a crash at any moment
leaves the earlier ones untouched. State is a tree of mappings and lists whose leaves are plain
values, numpy arrays and torch tensors; the arrays go to safetensors under the path of their leaf.
No clock enters a checkpoint: equal runs write equal bytes. Every file has a hash, which is checked
before anything of it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from rivc.errors import ConfigError, DamagedFileError, MissingError, UsageError
from rivc.snn_convert.storage import read_json, read_plain, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rivc.train.replay import Replay

    Arrays = dict[str, np.ndarray[Any, Any]]

FORMAT_VERSION: Final = 3
BLOCK: Final = 2048
MAX_BYTES, MAX_TREE = 1 << 40, 1 << 30  # of one file; the replay is in many
KEEP: Final = 2
_ARRAY, _TENSOR, _TUPLE = "array:", "tensor:", "tuple:"
_ASIDE: Final = ".aside"


def save_checkpoint(folder: Path, state: dict[str, Any], replay: Replay, first_open: int) -> Path:
    """Write a checkpoint and drop all but the last two.

    Args:
        folder: ``checkpoints`` of the run.
        state: everything but the replay; holds `env_steps`.
        replay: written block by block.
        first_open: slots from here on may still change.

    Returns:
        The folder of the checkpoint.

    Raises:
        UsageError: if it cannot be written.
    """
    name = f"{state['env_steps']:09d}"
    part, final = folder / f".{name}.part", folder / name
    try:
        blocks = _write_blocks(folder, replay, first_open)
        rest = _number(blocks[-1]) + 1 if blocks else replay.tail // BLOCK
        first = max(replay.tail, rest * BLOCK)
        arrays: Arrays = {f"replay.{k}": v for k, v in replay.rows(first, replay.head).items()}
        tree = {"format_version": FORMAT_VERSION, "state": _split(state, "state", arrays)}
        tree["replay"] = {"head": replay.head, "rest": first, "blocks": blocks}
        _write_folder(part, tree, arrays)
        _put(part, final)
        _drop_old(folder)
    except OSError as error:
        raise UsageError(f"cannot write a checkpoint in {folder}: {error.strerror}") from error
    return final


def _put(part: Path, final: Path) -> None:
    """Rename; one that has the name already is put aside first, where `recover` finds it."""
    aside = final.with_name(f".{final.name}{_ASIDE}")
    if final.exists():
        shutil.rmtree(aside, ignore_errors=True)  # a crash may have left one
        final.rename(aside)
    part.rename(final)
    _sync(final.parent)
    shutil.rmtree(aside, ignore_errors=True)


def recover(folder: Path) -> None:
    """Bring back a checkpoint that was put aside for one that a crash kept from its place.

    Only for the process that writes the run.
    """
    for aside in folder.glob(f".[0-9]*{_ASIDE}"):
        final = folder / aside.name.removeprefix(".").removesuffix(_ASIDE)
        if final.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(final)


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, or None."""
    return max(_whole(folder), key=_env_steps, default=None)


def _whole(folder: Path) -> list[Path]:
    """The checkpoints of a run, and no folder that somebody put aside under another name."""
    return [path for path in folder.glob("[0-9]*") if path.name.isdecimal() and path.is_dir()]


def env_steps_made(run: Path) -> int:
    """Return how many env steps a run has made at its newest checkpoint; 0 if there is none."""
    path = latest_checkpoint(run / "checkpoints")
    return 0 if path is None else _env_steps(path)


def _env_steps(path: Path) -> int:
    return int(path.name)


def load_checkpoint(path: Path, replay: Replay) -> dict[str, Any]:
    """Fill the replay and return the state.

    Raises:
        DamagedFileError: if any part is missing or altered; says what to do.
        ConfigError: if it is of a task that shows something else.
    """
    with _telling(path):
        tree, arrays = _read_state(path)
        _check_shape(tree["state"], replay)
        for name in tree["replay"]["blocks"]:
            rows = _read(path.parent / "replay" / name, _hash(name))
            _restore_block(replay, _number(name), rows, tree["replay"]["head"])
        replay.restore(tree["replay"]["rest"], _replay_rows(arrays))
        state: dict[str, Any] = _join(tree["state"], arrays)
    return state


def _check_shape(state: Mapping[str, Any], replay: Replay) -> None:
    saved = state.get("encoding", {}).get("shape")
    found = replay.columns.observation.shape[1:]
    shape = tuple(_join(saved, {}) or found)
    if shape != found:
        raise ConfigError(
            f"the run was made with observations {shape}, and env now shows {found}; undo what was "
            "changed in its config.yaml"
        )


def load_network(path: Path) -> tuple[dict[str, torch.Tensor], str | None]:
    """Return the tensors of the network in a checkpoint, and read nothing else.

    Returns:
        The tensors, and the SHA-256 of the program that the network was saved with; None in
        checkpoints of old.

    Raises:
        DamagedFileError: if any part is missing or altered; says what to do.
    """
    with _telling(path):
        tree, arrays = _read_state(path)
        network: dict[str, torch.Tensor] = _join(tree["state"]["learner"]["net"], arrays)
        sha256: str | None = tree["state"].get("program_sha256")
    return network, sha256


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Turn whatever a damaged checkpoint raises into the one error that says what to do."""
    try:
        yield
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        SafetensorError,
        DamagedFileError,
    ) as error:
        raise DamagedFileError(
            f"checkpoint {path} is damaged ({error}); "
            "remove that folder to resume from the one before"
        ) from error


def _read_state(path: Path) -> tuple[dict[str, Any], Arrays]:
    """The tree of a checkpoint, and its arrays without the blocks of the replay."""
    tree = read_json(path / "state.json", MAX_TREE)
    if tree.pop("tree_sha256", None) != _tree_hash(tree):
        raise DamagedFileError("state.json was altered")
    arrays = _read(path / "state.safetensors", tree["sha256"])
    if tree["format_version"] != FORMAT_VERSION:
        raise DamagedFileError(f"format version {tree['format_version']}")
    return tree, arrays


def _replay_rows(arrays: Arrays) -> Arrays:
    return {k.removeprefix("replay."): v for k, v in arrays.items() if k.startswith("replay.")}


def _restore_block(replay: Replay, block: int, rows: Arrays, head: int) -> None:
    """Put back what of a block the ring still held when its checkpoint was written."""
    written = (block + 1) * BLOCK - len(rows["next"])
    skip = max(written, head - replay.capacity) - written
    replay.restore(written + skip, {name: array[skip:] for name, array in rows.items()})


def _write_blocks(checkpoints: Path, replay: Replay, first_open: int) -> list[str]:
    """Write the full blocks that are new; return the names of all that are needed.

    Those that the newest checkpoint names are not: this replay began as what it holds. A block that
    only lies there may be of a checkpoint that was removed, and hold other slots or damage.
    """
    folder, newest = checkpoints / "replay", latest_checkpoint(checkpoints)
    folder.mkdir(parents=True, exist_ok=True)
    names = {_number(name): name for name in ([] if newest is None else _blocks_of(newest))}
    blocks = range(replay.tail // BLOCK, first_open // BLOCK)
    for block in blocks:
        if block not in names:
            first = max(replay.tail, block * BLOCK)  # the ring may have lost the beginning already
            data = save_arrays(_contiguous(replay.rows(first, (block + 1) * BLOCK)))
            names[block] = f"{block:06d}-{hashlib.sha256(data).hexdigest()}.safetensors"
            write_atomically(folder / names[block], data)
    _sync(folder)
    return [names[block] for block in blocks]


def _blocks_of(checkpoint: Path) -> list[str]:
    """The names of the blocks that a whole checkpoint needs."""
    tree = json.loads((checkpoint / "state.json").read_bytes())
    names: list[str] = tree["replay"]["blocks"]
    return names


def _number(name: str) -> int:
    return int(name.partition("-")[0])


def _hash(name: str) -> str:
    return name.partition("-")[2].removesuffix(".safetensors")


def _contiguous(arrays: Arrays) -> Arrays:
    return {name: np.require(array, requirements="C") for name, array in arrays.items()}


def _write_folder(part: Path, tree: dict[str, Any], arrays: Arrays) -> None:
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    data = save_arrays(_contiguous(arrays))
    tree["sha256"] = hashlib.sha256(data).hexdigest()
    tree["tree_sha256"] = _tree_hash(tree)
    write_atomically(part / "state.safetensors", data)
    write_atomically(part / "state.json", json.dumps(tree, sort_keys=True, indent=1).encode())
    _sync(part)


def _tree_hash(tree: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _read(path: Path, sha256: str) -> Arrays:
    data = read_plain(path, MAX_BYTES)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedFileError(f"{path.name} was altered")
    return load_arrays(data)


def _drop_old(folder: Path) -> None:
    """Keep the last two checkpoints and the blocks that they need."""
    found = sorted(_whole(folder), key=_env_steps)
    for path in found[:-KEEP]:
        shutil.rmtree(path)
    needed = {name for path in found[-KEEP:] for name in _blocks_of(path)}
    replay = folder / "replay"
    for path in (*replay.glob("*.safetensors"), *replay.glob("*.part")):  # .part: of a crash
        if path.name not in needed:
            path.unlink()


def require_savable(state: Mapping[str, Any]) -> None:
    """Raise a `UsageError` that names what of a state cannot be saved, before it is to be."""
    _split(state, "state", {})


def _split(node: Any, path: str, arrays: Arrays) -> Any:
    """Move the arrays of a tree into `arrays`, leaving their paths.

    Raises:
        UsageError: if a part would not come back as it is.
    """
    if isinstance(node, dict):
        return {_name(key, path): _split(x, f"{path}/{key}", arrays) for key, x in node.items()}
    if isinstance(node, list | tuple):
        parts = [_split(value, f"{path}/{i}", arrays) for i, value in enumerate(node)]
        return {_TUPLE: parts} if isinstance(node, tuple) else parts
    if isinstance(node, torch.Tensor):
        arrays[path] = node.detach().numpy()
        return _TENSOR + path
    if isinstance(node, np.ndarray):
        arrays[path] = _numeric(node, path)
        return _ARRAY + path
    return _value(node.item() if isinstance(node, np.generic) else node, path)


def _name(key: Any, path: str) -> str:
    if not isinstance(key, str) or key == _TUPLE:
        raise UsageError(f"cannot save {path}: the key {key!r} would not come back; use text")
    return key


def _numeric(array: np.ndarray[Any, Any], path: str) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "biuf":
        raise UsageError(f"cannot save {path}: an array of {array.dtype}; use numbers")
    return array


def _value(leaf: Any, path: str) -> Any:
    if isinstance(leaf, str) and leaf.startswith((_ARRAY, _TENSOR)):
        raise UsageError(f"cannot save {path}: {leaf[:40]!r} begins as the name of an array does")
    if leaf is not None and not isinstance(leaf, bool | int | float | str):
        raise UsageError(
            f"cannot save {path}: a {type(leaf).__name__}; a state holds arrays of numbers and "
            "what JSON does"
        )
    return leaf


def _join(node: Any, arrays: Arrays) -> Any:
    """Put the arrays back into a tree."""
    if isinstance(node, dict):
        if node.keys() == {_TUPLE}:
            return tuple(_join(node[_TUPLE], arrays))
        return {key: _join(value, arrays) for key, value in node.items()}
    if isinstance(node, list):
        return [_join(value, arrays) for value in node]
    if isinstance(node, str) and node.startswith(_TENSOR):
        return torch.from_numpy(arrays[node.removeprefix(_TENSOR)])
    if isinstance(node, str) and node.startswith(_ARRAY):
        return arrays[node.removeprefix(_ARRAY)]
    return node


def require_checkpoint(run: Path) -> Path:
    """Return the newest checkpoint of a run folder, or raise MissingError."""
    path = latest_checkpoint(run / "checkpoints")
    if path is None:
        raise MissingError(f"{run} holds no checkpoint yet; `rivc resume` starts such a run again")
    return path
