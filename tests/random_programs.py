"""Small programs by the hundred: of a kind and a width, thresholds where the sums are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.quant import Grid
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KINDS: Final = ("mlp", "conv", "pool")
WIDTHS: Final = (1, 2, 3, 4, 8)


def random_program(rng: np.random.Generator, kind: str, bits: int) -> SpikingProgram:
    """Draw a program with weights and counts of so many bits and up to six groups of actions."""
    encoding, layers, levels_in = _encoding(rng, kind), [], 255
    shape = encoding.shape
    for build in _plan(rng, kind):
        layers.append(build(rng, shape, bits, levels_in))
        shape = layers[-1].output_shape(shape)
        levels_in = layers[-1].levels or levels_in
    d, n = int(rng.integers(1, 7)), int(rng.integers(1, 5))
    weight = _weight(rng, (d * n, shape[0]), max(bits, 2))
    bias = rng.integers(-50, 51, d * n).astype(np.int32)
    layers.append(Layer("dense", weight, bias, weight_bits=max(bits, 2)))
    return SpikingProgram(encoding, tuple(layers), 0.5, (d, n), "ideal")


def _encoding(rng: np.random.Generator, kind: str) -> InputEncoding:
    if kind == "mlp":
        size = int(rng.integers(1, 13))
        return InputEncoding("vector", (size,), 8, (0.0,) * size, (1.0,) * size)
    high, wide, channels = (int(x) for x in rng.integers((5, 5, 1), (10, 10, 4)))
    return InputEncoding.image((high, wide, channels))


def _plan(rng: np.random.Generator, kind: str) -> Iterator[Callable[..., Layer]]:
    if kind != "mlp":
        for _ in range(rng.integers(1, 3)):
            yield _conv2d
            if kind == "pool":
                yield _maxpool2d
        yield lambda *_: Layer("flatten")
    for _ in range(rng.integers(kind == "mlp", 3)):
        yield _dense


def _dense(rng: np.random.Generator, shape: tuple[int, ...], bits: int, levels_in: int) -> Layer:
    weight = _weight(rng, (int(rng.integers(1, 17)), shape[0]), bits)
    return Layer("dense", weight, weight_bits=bits, **_stairs(rng, weight, bits, levels_in))


def _conv2d(rng: np.random.Generator, shape: tuple[int, ...], bits: int, levels_in: int) -> Layer:
    kernel = [min(int(rng.integers(1, 4)), side) for side in shape[:2]]
    weight = _weight(rng, (int(rng.integers(1, 6)), shape[2], *kernel), bits)
    stairs = _stairs(rng, weight, bits, levels_in)
    return Layer("conv2d", weight, weight_bits=bits, **stairs, **_geometry(rng, *kernel))


def _maxpool2d(rng: np.random.Generator, shape: tuple[int, ...], *_: int) -> Layer:
    kernel = min(int(rng.integers(1, 4)), *shape[:2])
    return Layer("maxpool2d", kernel=kernel, **_geometry(rng, kernel, kernel))


def _geometry(rng: np.random.Generator, high: int, wide: int) -> dict[str, Any]:
    padding = tuple(int(rng.integers(0, side)) for side in (high, wide, high, wide))
    return {"stride": int(rng.integers(1, 3)), "padding": padding}


def _weight(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> np.ndarray:
    grid = Grid(bits)
    drawn = rng.integers(grid.q_min, grid.q_max + 1, shape)
    return np.where(drawn == 0, 1, drawn).astype(np.int8) if bits == 1 else drawn.astype(np.int8)


def _stairs(
    rng: np.random.Generator, weight: np.ndarray, bits: int, levels_in: int
) -> dict[str, Any]:
    """Stairs that the sums of random counts climb about halfway; some have a tie at every step."""
    frac_bits, levels, out = int(rng.integers(0, 5)), (1 << bits) - 1, len(weight)
    spread = np.sqrt((weight.reshape(out, -1).astype(float) ** 2).sum(1)) * levels_in / 3
    threshold = np.maximum(2, spread * 2**frac_bits / levels * rng.uniform(0.3, 3, out))
    threshold = threshold.astype(np.int32)
    if rng.random() < 0.3:
        threshold += threshold % 2
    bias = rng.integers(-2, 3, out) * (threshold // 2)
    return {
        "frac_bits": frac_bits,
        "levels": levels,
        "threshold": threshold,
        "bias": bias.astype(np.int32),
    }
