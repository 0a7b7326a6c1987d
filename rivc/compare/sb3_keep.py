"""What training the peer left, on disk: enough to judge it again, at other widths too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rivc.compare.sb3_nets import Peer
from rivc.snn_convert.storage import UNREADABLE
from rivc.train.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from rivc.train.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn


def keep(peer: Peer, folder: Path) -> None:
    """Write what training left, whole or not at all, as a checkpoint without a replay.

    Raises:
        UsageError: if it cannot be written.
    """
    state = {**vars(peer), "q_net": dict(peer.q_net.state_dict())}
    save_checkpoint(folder, state, _no_replay(), first_open=0)


def recall(folder: Path, untrained: Callable[[], nn.Module]) -> Peer | None:
    """Return what training left; None if it left nothing, or ruins: it is then done again.

    Args:
        folder: of what was kept.
        untrained: makes a network of the same shapes.
    """
    path = latest_checkpoint(folder)
    if path is None:
        return None
    q_net = untrained()
    try:
        state = load_checkpoint(path, _no_replay())
        q_net.load_state_dict(state.pop("q_net"))
        return Peer(q_net.requires_grad_(requires_grad=False), **state)
    except UNREADABLE:
        return None


def _no_replay() -> Replay:
    return Replay(1, (1,), np.uint8, 1)
