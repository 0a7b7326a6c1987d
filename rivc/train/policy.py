"""The policy that a run leaves behind: its program, and the FPNN that it was frozen from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from safetensors import SafetensorError
from safetensors.torch import load

from rivc.errors import DamagedFileError, MissingError, UsageError, nearest
from rivc.snn_convert import SpikingProgram
from rivc.snn_convert.storage import read_plain
from rivc.train.checkpoint import load_network, require_checkpoint
from rivc.train.run import PROGRAM_SHA256
from rivc.train.setup import make_network

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from rivc.nets import QNetwork
    from rivc.train.run import RunFolder

Which = Literal["best", "latest"]
NETWORK_FILE: Final = "network.safetensors"
MAX_NETWORK: Final = 1 << 32


@dataclass(frozen=True)
class Policy:
    """One policy in its two forms.

    Attributes:
        which: "best", of the best evaluation while training, or "latest", of the newest checkpoint.
        net: the FPNN.
        program: what it was frozen into.
    """

    which: Which
    net: QNetwork
    program: SpikingProgram


def load_policy(folder: RunFolder, which: Which | None = None) -> Policy:
    """Read a policy of a run.

    Args:
        folder: of the run.
        which: default: the best if there was an evaluation, else the latest.

    Raises:
        MissingError: if the run has no such policy yet.
        DamagedFileError: if a file of it is not what it ought to be.
    """
    which, program = load_program(folder, which)
    config = folder.config()
    net = make_network(config, program.encoding, program.action_layout, program.profile)
    tensors, sha256 = (
        _best_network(folder) if which == "best" else load_network(require_checkpoint(folder.path))
    )
    if sha256 not in {None, program.sha256, folder.noted_sha256(which)}:
        raise DamagedFileError(
            f"the {which} network of {folder.path} is newer than its program: the run is writing "
            f"them, or was cut off; `rivc resume {folder.path}` goes on with it"
        )
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise DamagedFileError(
            f"the {which} network of {folder.path} is not its program's: {reason}"
        ) from error
    return Policy(which, net.requires_grad_(False), program)


def load_program(folder: RunFolder, which: Which | None = None) -> tuple[Which, SpikingProgram]:
    """Read only the program of a policy; see `load_policy`.

    Raises:
        UsageError: if `which` is another word.
    """
    paths: dict[Which, Path] = {"best": folder.best / "program.npz", "latest": folder.program}
    which = which or ("best" if paths["best"].exists() else "latest")
    if which not in paths:
        known = ", ".join(paths)
        raise UsageError(f"unknown policy {which!r}; known: {known}{nearest(which, paths)}")
    if not paths[which].exists():
        remedy = f"`rivc resume {folder.path}` goes on with the run"
        raise MissingError(f"{folder.path} holds no {which} program yet; {remedy}")
    return which, SpikingProgram.load(paths[which])


def _best_network(folder: RunFolder) -> tuple[dict[str, Tensor], str | None]:
    """The tensors, and the hash of their program; None in files of old."""
    path = folder.best / NETWORK_FILE
    try:
        data = read_plain(path, MAX_NETWORK)
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return tensors, header.get("__metadata__", {}).get(PROGRAM_SHA256)
    except (OSError, SafetensorError, ValueError) as error:
        raise DamagedFileError(f"{path} is not a whole network: {error}") from error
