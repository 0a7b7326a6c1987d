"""The same network in fp32 and the program on the emulator, timed side by side.

Batch 1, one thread, one state after the other, the two taking turns so that whatever else the
machine does meets both. Only `Estimate`s of kind "measured" come from here.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn

from rivc.bench.timing import by_turns
from rivc.neurochip import load_backend
from rivc.neurochip.energy import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rivc.bench.timing import Work
    from rivc.snn_convert import Layer, SpikingProgram

REPEATS: Final = 300
WARM_UP: Final = 20


def float_network(program: SpikingProgram) -> nn.Sequential:
    """Return an fp32 network of a program's shapes, with ReLU where the program spikes.

    Only its speed means anything: padding is moved where torch has it inside the convolution.
    Images are [B, C, H, W].

    Example:
        >>> from rivc.nets import build_network
        >>> from rivc.snn_convert import convert
        >>> net = build_network("mlp", input_shape=(8,), action_layout=(1, 4), hidden=(16,))
        >>> float_network(convert(net))(torch.zeros(1, 8)).shape
        torch.Size([1, 4])
    """
    modules = [
        module
        for layer, shape in zip(program.layers, program.shapes, strict=False)
        for module in _modules(layer, shape)
    ]
    return nn.Sequential(*modules).requires_grad_(requires_grad=False).eval()


def _modules(layer: Layer, shape: tuple[int, ...]) -> Iterator[nn.Module]:
    if layer.kind == "flatten":
        yield nn.Flatten()
        return
    even = _even_padding(layer, shape) if layer.kind == "conv2d" else None
    if any(layer.padding) and even is None:
        top, left, bottom, right = layer.padding
        yield nn.ZeroPad2d((left, right, top, bottom))
    if layer.kind == "maxpool2d":
        yield nn.MaxPool2d(layer.kernel, layer.stride)
        return
    yield _linear(layer, even or (0, 0))
    if layer.levels:
        yield nn.ReLU()


def _even_padding(layer: Layer, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Padding, the same on both sides, that leads to the same output shape; None if none does."""
    top, left, bottom, right = layer.padding
    high, wide = (top + bottom + 1) // 2, (left + right + 1) // 2
    moved = replace(layer, padding=(high, wide, high, wide))
    return (high, wide) if moved.output_shape(shape) == layer.output_shape(shape) else None


def _linear(layer: Layer, padding: tuple[int, int]) -> nn.Module:
    out, channels, *kernel = layer.weight.shape
    module: nn.Linear | nn.Conv2d = nn.Linear(channels, out)
    if layer.kind == "conv2d":
        module = nn.Conv2d(channels, out, (kernel[0], kernel[1]), layer.stride, padding)
    module.weight = nn.Parameter(torch.from_numpy(layer.weight.astype(np.float32)))
    module.bias = nn.Parameter(torch.from_numpy(layer.bias.astype(np.float32)))
    return module


def time_side_by_side(
    program: SpikingProgram, counts: NDArray[np.uint8], repeats: int = REPEATS
) -> list[Estimate]:
    """Return the measured time of a decision: fp32 in torch, then the program on the emulator.

    Args:
        program: the program.
        counts: states to decide in, by turns, uint8, [B, *shape].
        repeats: decisions that are timed.
    """
    threads, counts = torch.get_num_threads(), counts[: WARM_UP + repeats]
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            works = _fp32(program, counts), _emulator(program, counts)
            seconds = by_turns(works, WARM_UP + repeats)[:, WARM_UP:, 0]
    finally:
        torch.set_num_threads(threads)
    names = ("the same network in fp32, torch", "the program, emulator")
    return [_measured(name, row) for name, row in zip(names, seconds, strict=True)]


def _fp32(program: SpikingProgram, counts: NDArray[np.uint8]) -> Work:
    net = float_network(program)
    x = torch.from_numpy(counts).float()
    inputs = list(x.permute(0, 3, 1, 2).contiguous() if x.dim() == 4 else x)
    return lambda i: net(inputs[i % len(inputs)][None])


def _emulator(program: SpikingProgram, counts: NDArray[np.uint8]) -> Work:
    chip = load_backend("emulator")
    chip.load(program)
    return lambda i: chip.infer(counts[i % len(counts)][None])


def _measured(name: str, seconds: NDArray[np.float64]) -> Estimate:
    low, median, high = map(float, np.percentile(seconds, [25, 50, 75]))
    covers = f"one thread, batch 1, {len(seconds)} decisions"
    return Estimate(name, "measured", processor(), None, median, (low, high), covers=covers)


def processor() -> str:
    """Return what this machine calls its processor."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
