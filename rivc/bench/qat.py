"""`rivc bench qat`: a forward and a backward pass in the chip's integers against fp32 in torch.

Both networks have the same shapes and get the same gradient of their action values. Ours derives
its integers from the latent weights first, as every update does; its integers are those of the
frozen program, which is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from rivc.bench.fp32 import float_network
from rivc.bench.timing import Race, Report, race, versions
from rivc.errors import MismatchError
from rivc.nets import build_network
from rivc.neurochip.compare import compare
from rivc.snn_convert import convert, reference
from rivc.train.fused.network import FusedNet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rivc.bench.timing import Work
    from rivc.nets import QNetwork

NETWORKS: Final[dict[str, dict[str, Any]]] = {
    "mlp 17-64-64-18": {"kind": "mlp", "input_shape": (17,), "hidden": (64, 64)},
    "mlp 17-256-256-18": {"kind": "mlp", "input_shape": (17,), "hidden": (256, 256)},
    "conv 32x32x3, 16 3x3/2, 32 3x3/2, 32 3x3/2, 128": {
        "kind": "conv",
        "input_shape": (32, 32, 3),
        "conv": ((16, 3, 2), (32, 3, 2), (32, 3, 2)),
        "hidden": (128,),
    },
}
BATCHES: Final = (32, 256)
LAYOUT: Final = (6, 3)
ROUNDS: Final = 20
CALLS: Final = 9


def run() -> Report:
    """Check and time the networks; see the module."""
    torch.set_num_threads(1)
    races = [
        lap
        for name, arguments in NETWORKS.items()
        for batch in BATCHES
        for lap in _races(name, build_network(action_layout=LAYOUT, **arguments), batch)
    ]
    facts = {"bits": "4", "threads": "1", "equal": "every integer of the forward pass"}
    return Report(tuple(races), facts, versions("torch", "numba"))


def _races(name: str, net: QNetwork, batch: int) -> Iterator[Race]:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, net.encoding.levels + 1, (batch, *net.encoding.shape)).astype(np.uint8)
    grad = rng.normal(size=(batch, *LAYOUT)).astype(np.float32)
    program = convert(net)
    others = _fp32(float_network(program).requires_grad_(requires_grad=True), counts, grad)
    ours = _fused(net, counts, grad)
    found = np.asarray(ours(0)) / np.float32(program.readout_scale)
    if compare(found.round().astype(np.int64), reference.run(program, counts)).mismatches:
        raise MismatchError(f"{name} in training is not its program")
    yield race(f"{name}, batch {batch}", "fp32", ours, others, rounds=ROUNDS, calls=CALLS)


def _fused(net: QNetwork, counts: NDArray[np.uint8], grad: NDArray[np.float32]) -> Work:
    fused, x = FusedNet(net, len(counts)), counts.reshape(len(counts), -1)

    def work(_: int) -> NDArray[np.float32]:
        fused.derive()
        q = fused.forward(x).copy()
        fused.backward(x, grad)
        return q

    return work


def _fp32(net: torch.nn.Module, counts: NDArray[np.uint8], grad: NDArray[np.float32]) -> Work:
    x = torch.from_numpy(counts).float() / 255
    x = x.permute(0, 3, 1, 2).contiguous() if x.dim() == 4 else x
    upstream = torch.from_numpy(grad.reshape(len(grad), -1))

    def work(_: int) -> None:
        net.zero_grad()
        torch.autograd.backward(net(x), upstream)

    return work
