"""`rivc bench c99`: exported C against the same network in fp32 torch, one state at a time.

The states are those of episodes with random actions. The weights are those that training starts
from, with calibrated steps: their counts are zero no more often than a trained policy's, so
nothing is gained that a trained policy would lose. Torch gets its input ready: float32, channels
first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from rivc.bench.fp32 import float_network
from rivc.bench.timing import Race, Report, race, versions
from rivc.envs.factory import make
from rivc.errors import MismatchError
from rivc.nets import build_network
from rivc.nets.calibrate import calibrate
from rivc.neurochip.compare import compare
from rivc.neurochip.export import export_program
from rivc.neurochip.export.c99 import compiler_version, load_policy
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import convert, reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.bench.timing import Work
    from rivc.neurochip.export.c99 import CompiledPolicy
    from rivc.snn_convert import SpikingProgram

STATES: Final = 512
OPTIONS: Final = (("-O3",), ("-O3", "-march=native"))


@dataclass(frozen=True, slots=True)
class Contest:
    """One network and the states that it acts on.

    Attributes:
        name: of the network.
        env_id: where the states come from.
        kwargs: of this environment.
        net: arguments of `build_network`.
    """

    name: str
    env_id: str
    kwargs: dict[str, Any]
    net: dict[str, Any]


CONTESTS: Final = (
    Contest(
        "tracker 32x32x3, conv 16-32-32, dense 128",
        "rivc/VisualTracker-v0",
        {"camera": "ray"},
        {"kind": "conv", "conv": ((16, 3, 2), (32, 3, 2), (32, 3, 2)), "hidden": (128,)},
    ),
    Contest("mlp 4-64-64-2", "CartPole-v1", {}, {"kind": "mlp", "hidden": (64, 64)}),
)


def run() -> Report:
    """Export, compile, check and time the networks; see the module."""
    torch.set_num_threads(1)
    races: list[Race] = []
    facts = {"weights": "4 bits", "threads": "1", "batch": "1"}
    for contest in CONTESTS:
        observations, layout = play_at_random(contest, STATES)
        program = initial_program(contest, observations, layout)
        counts = program.encode(observations)
        races += _races(contest, program, counts)
        facts[f"counts not 0, {contest.name.split()[0]}"] = _activity(program, counts)
    facts["equal"] = f"every integer of {STATES} states to the reference, each network and build"
    facts["compiler"] = compiler_version()
    return Report(tuple(races), facts, versions("torch"))


def play_at_random(contest: Contest, count: int) -> tuple[NDArray[Any], tuple[int, int]]:
    """Return observations of episodes with random actions, and the action layout."""
    task = make(contest.env_id, **contest.kwargs)
    task.env.action_space.seed(0)
    observations: list[Any] = []
    ended = True
    while len(observations) < count:
        if ended:
            observations.append(task.env.reset(seed=len(observations))[0])
        observation, _, terminated, truncated, _ = task.env.step(task.env.action_space.sample())
        ended = terminated or truncated
        observations.append(observation)
    task.env.close()
    return np.array(observations[:count]), task.action_layout


def initial_program(
    contest: Contest, observations: NDArray[Any], layout: tuple[int, int]
) -> SpikingProgram:
    """Return the 4-bit program that training would start from."""
    encoding = (
        InputEncoding.image(observations.shape[1:])
        if contest.net["kind"] == "conv"
        else InputEncoding.over_range(observations.min(0), observations.max(0), bit_width=8)
    )
    net = build_network(
        input_shape=encoding.shape, action_layout=layout, encoding=encoding, **contest.net
    )
    calibrate(net, torch.from_numpy(encoding.encode(observations)))
    return convert(net)


def _races(contest: Contest, program: SpikingProgram, counts: NDArray[np.uint8]) -> list[Race]:
    torch_call = _torch_call(program, counts)
    races = []
    with TemporaryDirectory() as folder, torch.inference_mode():
        export_program(program, Path(folder) / "c99", format="c99")
        for options in OPTIONS:
            policy = load_policy(Path(folder) / "c99", Path(folder), options)
            if compare(policy(counts), reference.run(program, counts)).mismatches:
                raise MismatchError(f"the C build of {contest.name} is not its program")
            what = f"{contest.name}, {' '.join(options)}"
            races.append(race(what, "torch fp32", _c_call(policy, counts), torch_call))
    return races


def _c_call(policy: CompiledPolicy, counts: NDArray[np.uint8]) -> Work:
    readout = np.empty(policy.action_layout, np.int32)
    first, step, target = counts.ctypes.data, counts.strides[0], readout.ctypes.data

    def call(i: int) -> NDArray[np.int32]:
        policy.infer(first + i % STATES * step, target)
        return readout  # which keeps the memory behind `target`

    return call


def _torch_call(program: SpikingProgram, counts: NDArray[np.uint8]) -> Work:
    network = float_network(program)
    x = torch.from_numpy(counts).float()
    inputs = torch.split((x.permute(0, 3, 1, 2) if x.dim() == 4 else x).contiguous(), 1)
    return lambda i: network(inputs[i % STATES])


def _activity(program: SpikingProgram, counts: NDArray[np.uint8]) -> str:
    """How many of the counts that each layer receives are not zero."""
    emitted: list[NDArray[Any]] = [counts, *reference.trace(program, counts[:64])]
    received = [x for x, layer in zip(emitted, program.layers, strict=False) if layer.has_weights]
    return ", ".join(f"{np.count_nonzero(x) / x.size:.0%}" for x in received)
