"""What hypothesis draws: grids, real values, programs made of integers, networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rivc.quant import Grid, load_profile
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy
    from numpy.typing import NDArray

INT32 = 2**31 - 1

bit_widths = st.integers(1, 8)
grids = st.builds(Grid, bit_widths, signed=st.booleans())
wide_grids = st.builds(Grid, st.integers(1, 16), signed=st.booleans())
scales = st.floats(2.0**-20, 2.0**20)
seeds = st.integers(0, 2**32 - 1)


def reals(shape: Any = None, reach: float = 1e6) -> SearchStrategy[NDArray[np.float64]]:
    """Finite float64 arrays."""
    shape = hnp.array_shapes(max_dims=3, max_side=6) if shape is None else shape
    return hnp.arrays(np.float64, shape, elements=st.floats(-reach, reach))


@st.composite
def on_grid(draw: DrawFn, grid: Grid) -> NDArray[np.int64]:
    """Integers of a grid, any length up to 40."""
    values = st.integers(grid.q_min, grid.q_max).filter(lambda q: q or not grid.is_binary)
    return np.array(draw(st.lists(values, max_size=40)), np.int64)


@st.composite
def weights(draw: DrawFn, shape: tuple[int, ...], bits: int) -> NDArray[np.int8]:
    """Weights on the grid of `bits`: anywhere, at one end, or at both."""
    grid = Grid(bits)
    rng = np.random.default_rng(draw(seeds))
    at_ends = rng.choice([grid.q_min, grid.q_max], shape)
    anywhere = rng.integers(grid.q_min, grid.q_max + 1, shape)
    drawn = {
        "anywhere": np.where(anywhere == 0, 1, anywhere) if grid.is_binary else anywhere,
        "at both ends": at_ends,
        "all largest": np.full(shape, grid.q_max),
        "all smallest": np.full(shape, grid.q_min),
    }
    return drawn[draw(st.sampled_from(list(drawn)))].astype(np.int8)


@st.composite
def thresholds(draw: DrawFn, size: int, frac_bits: int) -> NDArray[np.int32]:
    """Thresholds; small and even ones put many membranes exactly on a tie."""
    one = st.one_of(
        st.integers(2, 40),
        st.sampled_from([2, 3, 2 << frac_bits, 6 << frac_bits, INT32]),
        st.integers(2, 1 << 14),
    )
    return np.array(draw(st.lists(one, min_size=size, max_size=size)), np.int32)


@st.composite
def biases(draw: DrawFn, size: int) -> NDArray[np.int32]:
    """Biases; the ends of int32 among them."""
    one = st.one_of(st.integers(-300, 300), st.sampled_from([-INT32 - 1, -INT32, INT32]))
    return np.array(draw(st.lists(one, min_size=size, max_size=size)), np.int32)


@st.composite
def staircases(draw: DrawFn, size: int) -> dict[str, Any]:
    """Fraction bits, levels, thresholds and biases; every third puts all membranes on a tie.

    Where the threshold divides ``2**frac_bits``, the weighted sum moves the membrane by whole
    thresholds, and a bias of half a threshold leaves it halfway between two counts.
    """
    frac_bits = draw(st.integers(0, 6))
    stairs: dict[str, Any] = {
        "frac_bits": frac_bits,
        "levels": draw(st.sampled_from([1, 2, 3, 7, 15, 15, 127, 255])),
    }
    if frac_bits and draw(st.integers(0, 2)) == 0:
        threshold = np.full(size, 1 << draw(st.integers(1, frac_bits)), np.int32)
        steps = draw(st.lists(st.integers(-8, 8), min_size=size, max_size=size))
        bias = threshold // 2 + threshold * np.array(steps, np.int32)
        return {**stairs, "threshold": threshold, "bias": bias.astype(np.int32)}
    threshold = draw(thresholds(size, frac_bits))
    return {**stairs, "threshold": threshold, "bias": draw(biases(size))}


@st.composite
def _spiking(draw: DrawFn, kind: str, shape: tuple[int, ...], geometry: dict[str, Any]) -> Layer:
    bits = draw(bit_widths)
    weight, stairs = draw(weights(shape, bits)), draw(staircases(shape[0]))
    return Layer(
        "conv2d" if kind == "conv2d" else "dense",
        weight,
        weight_bits=bits,
        **stairs,
        **geometry,
    )


@st.composite
def _windowed(draw: DrawFn, shape: tuple[int, ...]) -> Layer:
    """A conv2d or maxpool2d that fits an HWC shape: any stride, one padding a side."""
    kind = draw(st.sampled_from(["conv2d", "conv2d", "maxpool2d"]))
    kernel_h = draw(st.integers(1, 4))
    kernel_w = draw(st.integers(1, 4)) if kind == "conv2d" else kernel_h
    kernel = kernel_h, kernel_w
    padding = []
    for size, side in ((shape[0], kernel_h), (shape[1], kernel_w)):
        before, after = draw(st.integers(0, side - 1)), draw(st.integers(0, side - 1))
        padding.append((before, max(after, side - size - before)))
    (top, bottom), (left, right) = padding
    geometry: dict[str, Any] = {
        "stride": draw(st.integers(1, 3)),
        "padding": (top, left, bottom, right),
    }
    if kind == "maxpool2d":
        return Layer("maxpool2d", kernel=kernel_h, **geometry)
    weight_shape = (draw(st.integers(1, 4)), shape[2], *kernel)
    return draw(_spiking("conv2d", weight_shape, geometry))


@st.composite
def encodings(draw: DrawFn) -> InputEncoding:
    """Image or vector encodings of a few inputs; images are rarely square."""
    if draw(st.booleans()):
        side = st.integers(1, 7)
        return InputEncoding.image((draw(side), draw(side), draw(st.integers(1, 3))))
    size = draw(st.integers(1, 8))
    bound = st.floats(-100, 100)
    low = np.array(draw(st.lists(bound, min_size=size, max_size=size)))
    span = np.array(draw(st.lists(st.floats(0, 50), min_size=size, max_size=size)))
    return InputEncoding.over_range(low, low + span, bit_width=draw(bit_widths))


@st.composite
def programs(draw: DrawFn) -> SpikingProgram:
    """Programs of every kind of layer, built from integers and nothing else."""
    encoding = draw(encodings())
    shape, layers = encoding.shape, []
    if encoding.kind == "image":
        for _ in range(draw(st.integers(0, 3))):
            layers.append(draw(_windowed(shape)))
            shape = layers[-1].output_shape(shape)
        layers.append(Layer("flatten"))
        shape = layers[-1].output_shape(shape)
    for units in draw(st.lists(st.integers(1, 6), max_size=2)):
        layers.append(draw(_spiking("dense", (units, shape[0]), {})))
        shape = (units,)
    d, n = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    bits = draw(bit_widths)
    weight = draw(weights((d * n, shape[0]), bits))
    layers.append(Layer("dense", weight, draw(biases(d * n)), weight_bits=bits))
    scale = draw(st.floats(1e-6, 1e6))
    return SpikingProgram(encoding, tuple(layers), scale, (d, n), "ideal")


@st.composite
def counts_for(draw: DrawFn, program: SpikingProgram) -> NDArray[np.uint8]:
    """A batch of counts that a program takes: drawn, silent or saturated."""
    levels = program.encoding.levels
    shape = (draw(st.integers(1, 4)), *program.encoding.shape)
    rng = np.random.default_rng(draw(seeds))
    fill = draw(st.sampled_from(["drawn", "drawn", "silent", "saturated"]))
    drawn = {
        "drawn": rng.integers(0, levels + 1, shape),
        "silent": np.zeros(shape),
        "saturated": np.full(shape, levels),
    }
    return drawn[fill].astype(np.uint8)


@st.composite
def network_arguments(draw: DrawFn, profile: str = "ideal") -> dict[str, Any]:
    """Keyword arguments of `build_network` for a small network that the profile holds."""
    held = load_profile(profile)
    arguments: dict[str, Any] = {
        "action_layout": (draw(st.integers(1, 6)), draw(st.integers(1, 4))),
        "hidden": tuple(draw(st.lists(st.integers(1, 12), max_size=2))),
        "weight_bits": draw(st.sampled_from(held.weight_bits)),
        "activation_bits": draw(st.sampled_from(held.activation_bits)),
        "profile": profile,
        "readout": draw(st.sampled_from(["plain", "centred"])),
        "seed": draw(st.integers(0, 2**31)),
    }
    if draw(st.booleans()):
        return {"kind": "mlp", "input_shape": (draw(st.integers(1, 9)),), **arguments}
    conv = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
    side = st.integers(1, 9)
    arguments["conv"] = tuple(draw(st.lists(conv, max_size=2)))
    shape = draw(side), draw(side), draw(st.integers(1, 3))
    return {"kind": "conv", "input_shape": shape, **arguments}
