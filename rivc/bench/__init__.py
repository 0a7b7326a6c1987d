"""Comparisons that anybody can run again: the peer and rivc in one process, on the same work.

A bench is one row of `BENCHES`, whose module has a function ``run() -> Report``.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rivc.errors import MissingError, nearest

if TYPE_CHECKING:
    from rivc.bench.timing import Report


@dataclass(frozen=True, slots=True)
class Bench:
    """A comparison.

    Attributes:
        module: that runs it; imported when it is asked for.
        summary: one line.
    """

    module: str
    summary: str


BENCHES: Final = {
    "acting": Bench(
        "rivc.bench.acting", "observation to action against Stable-Baselines3's predict"
    ),
    "c99": Bench("rivc.bench.c99", "exported C against the same network in fp32 torch, batch 1"),
    "cameras": Bench("rivc.bench.cameras", "cameras of robots against MuJoCo's own renderer"),
    "codec": Bench("rivc.bench.codec", "the feature codec against zstd: bytes a frame, symbols/s"),
    "convert": Bench("rivc.bench.convert", "parameters to a loaded chip against building afresh"),
    "learner": Bench("rivc.bench.learner", "training loops against Stable-Baselines3's DQN"),
    "qat": Bench("rivc.bench.qat", "a training pass in integers against fp32 in torch"),
    "spikes": Bench("rivc.bench.spikes", "the emulator against a loop of stock snn.Leaky neurons"),
    "worlds": Bench("rivc.bench.worlds", "tasks in MuJoCo's batch against Gymnasium's vector"),
}


def run_bench(name: str) -> Report:
    """Run a bench by name.

    Raises:
        MissingError: if there is none of this name, or what it needs is not installed.
        MismatchError: if the two do not compute the same.
    """
    if name not in BENCHES:
        there_are = ", ".join(BENCHES)
        raise MissingError(f"no bench {name!r}; there is: {there_are}{nearest(name, BENCHES)}")
    report: Report = importlib.import_module(BENCHES[name].module).run()
    return report
