"""Two ways to do the same work, timed in turn in one process."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from time import perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Work = Callable[[int], object]

ROUNDS: Final = 100
CALLS: Final = 25


@dataclass(frozen=True, slots=True)
class Race:
    """What ours and the peer's took, in the median over rounds.

    Attributes:
        what: the work.
        peer: who else did it.
        ours_us: microseconds a call.
        peer_us: microseconds a call.
        ratio: how many times faster ours is, the median over rounds.
        quartiles: of this ratio over rounds.
    """

    what: str
    peer: str
    ours_us: float
    peer_us: float
    ratio: float
    quartiles: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Coded:
    """What a coder makes of the frames of one map.

    Attributes:
        frames: name of the map.
        coder: name of the coder.
        bytes_per_frame: mean.
        below_fp32: how many times fewer than floats take.
        below_packed: how many times fewer than packed symbols take.
        bits_per_symbol: of all bytes.
        encode: million symbols a second; None where nothing is encoded.
        decode: the same.
    """

    frames: str
    coder: str
    bytes_per_frame: float
    below_fp32: float
    below_packed: float
    bits_per_symbol: float
    encode: float | None
    decode: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """What a bench found.

    Attributes:
        races: one a row.
        facts: about the work, by name: how it was built, what was found equal.
        versions: of what took part.
        coded: sizes and speeds of coders, one a row.
    """

    races: tuple[Race, ...]
    facts: dict[str, str]
    versions: dict[str, str]
    coded: tuple[Coded, ...] = ()


def race(
    what: str, peer: str, ours: Work, others: Work, *, rounds: int = ROUNDS, calls: int = CALLS
) -> Race:
    """Time two ways to do the same work, in turn, so that both meet the same machine.

    A round is some calls of one, then as many of the other. Every call is timed by itself and a
    round counts by its median, for a busy machine interrupts few calls but most rounds.

    Args:
        what: the work, for the report.
        peer: who else does it.
        ours: does it once; it is given the number of the call, to choose an input by.
        others: the peer's.
        rounds: how many, after one to warm up.
        calls: of each, in a round.
    """
    turns = by_turns((ours, others), rounds + 1, calls)[:, 1:]
    seconds = np.median(turns, axis=2)
    ours_us, peer_us = np.median(seconds, axis=1) * 1e6
    low, ratio, high = np.quantile(seconds[1] / seconds[0], [0.25, 0.5, 0.75])
    quartiles = float(low), float(high)
    return Race(what, peer, float(ours_us), float(peer_us), float(ratio), quartiles)


def by_turns(works: Sequence[Work], turns: int, calls: int = 1) -> NDArray[np.float64]:
    """Return the seconds of every call, [works, turns, calls]; each in turn makes some calls."""
    seconds = np.empty((len(works), turns, calls))
    for turn in range(turns):
        for work, times in zip(works, seconds[:, turn], strict=True):
            for i in range(calls):
                start = perf_counter()
                work(turn * calls + i)
                times[i] = perf_counter() - start
    return seconds


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python, rivc and some packages, and the processor's kind."""
    found = {name: version(name) for name in ("rivc", "numpy", *packages)}
    return {"python": platform.python_version(), **found, "machine": platform.machine()}
