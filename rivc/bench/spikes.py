"""`rivc bench spikes`: the emulator against the usual loop of stock `snn.Leaky` neurons.

Both give the same integers, which is checked first; networks have 4 bits, so T = 15 ticks a layer.
The usual loop calls every layer at every tick; the lean one spares the first layer the ticks in
which it gets nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from rivc.bench.loops import LeakyLoop
from rivc.bench.timing import Race, Report, race, versions
from rivc.errors import MismatchError
from rivc.nets import build_network
from rivc.neurochip import load_backend
from rivc.neurochip.compare import compare
from rivc.snn_convert import convert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from rivc.bench.timing import Work
    from rivc.snn_convert import SpikingProgram

NETWORKS: Final[dict[str, dict[str, Any]]] = {
    "mlp 32-256-256-6": {"kind": "mlp", "input_shape": (32,), "hidden": (256, 256)},
    "conv 84x84x4, 16 8x8/4, 32 4x4/2, 256": {
        "kind": "conv",
        "input_shape": (84, 84, 4),
        "conv": ((16, 8, 4), (32, 4, 2)),
        "hidden": (256,),
    },
}
EFFORT: Final = {1: (20, 9), 256: (5, 5)}  # batch: rounds, calls of a round (its median counts)
PEERS: Final = {"usual loop": False, "lean loop": True}


def run() -> Report:
    """Check and time the networks; see the module."""
    torch.set_num_threads(1)
    races = [
        lap
        for name, arguments in NETWORKS.items()
        for batch in EFFORT
        for lap in _races(name, convert(build_network(action_layout=(1, 6), **arguments)), batch)
    ]
    facts = {"bits": "4", "threads": "1", "equal": "every integer of every batch"}
    return Report(tuple(races), facts, versions("torch", "snntorch"))


def _races(name: str, program: SpikingProgram, batch: int) -> Iterator[Race]:
    counts = _counts(program, batch)
    chip = load_backend("emulator")
    chip.load(program)
    rounds, calls = EFFORT[batch]
    for peer, lean in PEERS.items():
        loop = LeakyLoop(program, lean=lean)
        if compare(loop(counts), chip.infer(counts).readout).mismatches:
            raise MismatchError(f"the {peer} of {name} is not its program")
        ours, others = _work(chip.infer, counts), _work(loop, counts)
        yield race(f"{name}, batch {batch}", peer, ours, others, rounds=rounds, calls=calls)


def _work(infer: Callable[[NDArray[np.uint8]], object], counts: NDArray[np.uint8]) -> Work:
    return lambda _: infer(counts)


def _counts(program: SpikingProgram, batch: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    shape = (batch, *program.encoding.shape)
    return rng.integers(0, program.encoding.levels + 1, shape, np.uint8)
