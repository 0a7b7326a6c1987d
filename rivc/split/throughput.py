r"""Frames a second through a pipeline: up, the server's work, down, each busy with another frame.

A stage begins a frame when the stage before has done with it, and itself with the frame before,

.. math:: t_{stage, i} = d_{stage, i} + \max(t_{stage - 1, i}, t_{stage, i - 1})

so the slowest one decides. Losses and delays change nothing of that: delays are waited for once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from rivc.errors import ConfigError
from rivc.robot.clock import SECOND_NS
from rivc.split.link import OVERHEAD

if TYPE_CHECKING:
    from rivc.split.link import LinkTrace

DATAGRAM: Final = 1200  # bytes of payload of one datagram


class Load(NamedTuple):
    """What a frame costs.

    Attributes:
        up_bytes: from robot to server.
        down_bytes: back.
        work_ns: at both ends, if one processor does it all.
    """

    up_bytes: float
    down_bytes: float
    work_ns: int = 0


def frames_per_second(load: Load, trace: LinkTrace, frames: int = 500) -> float:
    """Return how many frames a second a link with this trace up, and down, carries.

    Args:
        load: of a frame.
        trace: of the link, the same each way.
        frames: over which is measured.

    Raises:
        ConfigError: if the link is out before they are through.

    Example:
        >>> from rivc.split.link import LinkTrace, Phase
        >>> link = LinkTrace((Phase(kbit_per_s=1000),))
        >>> round(frames_per_second(Load(up_bytes=972, down_bytes=97), link))
        125
    """
    up = work = down = 0
    for _ in range(frames):
        up = _through(trace, load.up_bytes, up)
        work = max(up, work) + load.work_ns
        down = _through(trace, load.down_bytes, max(work, down))
    return frames * SECOND_NS / down if down else math.inf


def _through(trace: LinkTrace, size: float, start_ns: int) -> int:
    whole = round(size + OVERHEAD * -(-size // DATAGRAM))
    end_ns = trace.passed_ns(whole, start_ns)
    if end_ns is None:
        raise ConfigError("the link is out before the frames are through; give one that lasts")
    return end_ns
