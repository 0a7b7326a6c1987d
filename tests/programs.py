"""Small programs made of chosen integers, and counts to run them on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram

if TYPE_CHECKING:
    from numpy.typing import NDArray


def int8(rng: np.random.Generator, shape: tuple[int, ...], reach: int) -> NDArray[np.int8]:
    """Draw weights from -reach to reach."""
    return rng.integers(-reach, reach + 1, shape).astype(np.int8)


def int32(rng: np.random.Generator, low: int, high: int, size: int) -> NDArray[np.int32]:
    """Draw integers from low to high - 1."""
    return rng.integers(low, high, size).astype(np.int32)


def readout(weight: NDArray[np.int8], bias: NDArray[np.int32], weight_bits: int = 4) -> Layer:
    """Return the last layer of a program."""
    return Layer("dense", weight, bias, weight_bits=weight_bits)


def dense_program(seed: int = 0) -> SpikingProgram:
    """Return 6 features of 4 bits, 5 spiking neurons, 2 groups of 3 actions."""
    rng = np.random.default_rng(seed)
    hidden = Layer(
        "dense",
        int8(rng, (5, 6), 7),
        int32(rng, -400, 400, 5),
        np.array([2, 3, 64, 97, 500], np.int32),
        weight_bits=4,
        frac_bits=4,
        levels=15,
    )
    last = readout(int8(rng, (6, 5), 7), int32(rng, -9, 10, 6))
    encoding = InputEncoding.over_range([-1.0] * 6, [1.0] * 6, bit_width=4)
    return SpikingProgram(encoding, (hidden, last), 0.0625, (2, 3), "ideal")


def conv_program(seed: int = 1) -> SpikingProgram:
    """Return a 7 x 6 x 2 image through every kind of layer to 4 actions; nothing is square."""
    rng = np.random.default_rng(seed)
    conv = Layer(
        "conv2d",
        int8(rng, (3, 2, 3, 2), 1),
        int32(rng, -900, 900, 3),
        np.array([50, 171, 999], np.int32),
        weight_bits=2,
        frac_bits=3,
        levels=3,
        stride=2,
        padding=(1, 0, 1, 1),
    )
    pool = Layer("maxpool2d", kernel=2, stride=1, padding=(0, 0, 1, 0))
    hidden = Layer(
        "dense",
        int8(rng, (5, 4 * 2 * 3), 3),
        int32(rng, -60, 60, 5),
        np.array([8, 16, 24, 32, 2], np.int32),
        weight_bits=3,
        frac_bits=2,
        levels=7,
    )
    last = readout(int8(rng, (4, 5), 127), int32(rng, -99, 100, 4), weight_bits=8)
    layers = (conv, pool, Layer("flatten"), hidden, last)
    return SpikingProgram(InputEncoding.image((7, 6, 2)), layers, 0.5, (1, 4), "ideal")


def wide_program() -> SpikingProgram:
    """Return one neuron with a membrane of 45 bits: many inputs, the finest fractions."""
    inputs = 4096
    weight, bias = np.full((1, inputs), 127, np.int8), np.zeros(1, np.int32)
    threshold = np.array([2**31 - 1], np.int32)
    hidden = Layer("dense", weight, bias, threshold, weight_bits=8, frac_bits=16, levels=255)
    encoding = InputEncoding("vector", (inputs,), 8, (0.0,) * inputs, (1.0,) * inputs)
    layers = (hidden, readout(np.ones((1, 1), np.int8), bias))
    return SpikingProgram(encoding, layers, 1.0, (1, 1), "ideal")


def random_counts(
    program: SpikingProgram, rng: np.random.Generator, batch: int
) -> NDArray[np.uint8]:
    """Draw counts over the whole input range; the first row is silent, the last one saturated."""
    levels = program.encoding.levels
    shape = (batch, *program.encoding.shape)
    counts = rng.integers(0, levels + 1, shape).astype(np.uint8)
    counts[0], counts[-1] = 0, levels
    return counts


def one_neuron(threshold: int, levels: int) -> SpikingProgram:
    """One input of 8 bits, one neuron that counts it, one output."""
    one = np.ones((1, 1), np.int8)
    hidden = Layer(
        "dense",
        one,
        np.zeros(1, np.int32),
        np.array([threshold], np.int32),
        weight_bits=2,
        levels=levels,
    )
    last = Layer("dense", one, np.zeros(1, np.int32), weight_bits=2)
    encoding = InputEncoding("vector", (1,), 8, (0.0,), (1.0,))
    return SpikingProgram(encoding, (hidden, last), 1.0, (1, 1), "ideal")
