"""Random programs in the arithmetic of a profile, each rebuilt from its number.

Every third program is of one kind. Half of each kind is plain, built as networks are: square odd
kernels, `same` padding, pooling between convolutions; chips with narrow limits take those. The
other half is free: any kernel, stride and padding, also no hidden layer at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.neurochip.states import hard_states, random_states
from rivc.neurochip.testing.integers import draw_readout_bias, draw_staircase, draw_weights
from rivc.quant.encoding import InputEncoding
from rivc.quant.geometry import same_padding
from rivc.quant.profile import load_profile
from rivc.snn_convert import Layer, SpikingProgram

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from rivc.quant.profile import ArithmeticProfile
    from rivc.snn_convert.program import Kind, Padding

KINDS: Final = ("mlp", "conv", "pool")
BITS: Final = (1, 2, 3, 4, 8)


def make_program(profile: str, number: int, *, seed: int = 0, version: int = 0) -> SpikingProgram:
    """Return a random program; the same arguments give the same one.

    Args:
        profile: the arithmetic, by name.
        number: of the program, from 0; decides its layers and sizes.
        seed: of the whole series.
        version: other integers in the same layers.

    Example:
        >>> program = make_program("ideal", 3)
        >>> describe(program)
        'vector 11 -> dense 4 -> dense 6 -> dense 2x4'
        >>> make_program("ideal", 3, version=1).shapes == program.shapes
        True
    """
    maker = _Maker(
        load_profile(profile),
        np.random.default_rng([seed, number, 0]),
        np.random.default_rng([seed, number, 1 + version]),
    )
    kind, is_plain = KINDS[number % len(KINDS)], number // len(KINDS) % 2 == 0
    return {"mlp": _mlp, "conv": _conv, "pool": _pool}[kind](maker, plain=is_plain)


def make_states(
    program: SpikingProgram, number: int, *, seed: int = 0, version: int = 0, count: int = 64
) -> dict[str, NDArray[np.uint8]]:
    """Return the states that a check runs a program on, by kind, each uint8, [N, *shape].

    Args:
        program: what `make_program` made of the same number, seed and version.
        number: of the program.
        seed: of the whole series.
        version: of the program; only version 0 has states beside the random ones.
        count: of random states.
    """
    rng = np.random.default_rng([seed, number, version])
    drawn = {"random": random_states(program.encoding, count, rng)}
    return drawn if version else drawn | hard_states(program, rng)


def describe(program: SpikingProgram) -> str:
    """Return the layers of a program in one line."""
    encoding = program.encoding
    sizes = "x".join(map(str, encoding.shape))
    parts = [f"{encoding.kind} {sizes}", *map(_describe_layer, program.layers[:-1])]
    return " -> ".join([*parts, "dense {}x{}".format(*program.action_layout)])


def _describe_layer(layer: Layer) -> str:
    if layer.kind == "flatten":
        return "flatten"
    if layer.kind == "dense":
        return f"dense {len(layer.weight)}"
    filters = f"{len(layer.weight)}@" if layer.has_weights else ""
    high, wide = layer.window
    padding = " padding {},{},{},{}".format(*layer.padding) if any(layer.padding) else ""
    return f"{layer.kind} {filters}{high}x{wide}/{layer.stride}{padding}"


def _mlp(maker: _Maker, *, plain: bool) -> SpikingProgram:
    if plain or maker.draw(0, 2):
        maker.take_vector()
    else:
        maker.take_image(1, 6)
        maker.add_flatten()
    for _ in range(maker.draw(1 if plain else 0, 2)):
        maker.add_dense()
    return maker.finish()


def _conv(maker: _Maker, *, plain: bool) -> SpikingProgram:
    if plain:
        maker.take_image(5, 10)
        maker.add_same_conv((3, 5), (1, 2, 3))
        if maker.draw(0, 1):
            maker.add_same_conv((3,), (1, 2))
    else:
        maker.take_image(1, 8)
        for _ in range(maker.draw(1, 2)):
            maker.add_free_window("conv2d")
    return maker.finish_image()


def _pool(maker: _Maker, *, plain: bool) -> SpikingProgram:
    if plain:
        maker.take_image(5, 10)
        maker.add_same_conv((3, 5), (1,))
        maker.add_window("maxpool2d", (2, 2), 2, (0, 0, 0, 0))
        maker.add_same_conv((1, 3), (1,))
    else:
        maker.take_image(2, 8)
        for kind in maker.plan.permutation(["conv2d", "maxpool2d"]):
            maker.add_free_window("conv2d" if kind == "conv2d" else "maxpool2d")
    return maker.finish_image()


def same_sides(shape: tuple[int, ...], kernel: tuple[int, int], stride: int) -> Padding:
    """Return `same` padding of an HWC shape at top, left, bottom, right.

    >>> same_sides((8, 7, 3), (3, 3), 2)
    (0, 1, 1, 1)
    """
    (top, bottom), (left, right) = (
        same_padding(size, side, stride) for size, side in zip(shape, kernel, strict=False)
    )
    return top, left, bottom, right


@dataclass
class _Maker:
    """Adds layers one by one.

    Attributes:
        profile: what the integers may be.
        plan: decides on layers and sizes.
        fill: decides on integers.
    """

    profile: ArithmeticProfile
    plan: Generator
    fill: Generator
    layers: list[Layer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.weight_bits = self.one_of(_tested(self.profile.weight_bits))
        self.levels = self.profile.levels_of(self.one_of(_tested(self.profile.activation_bits)))

    def draw(self, low: int, high: int) -> int:
        """A number from low to high, both included."""
        return int(self.plan.integers(low, high + 1))

    def one_of(self, choices: tuple[int, ...]) -> int:
        return choices[self.draw(0, len(choices) - 1)]

    def take_vector(self) -> None:
        size, bits = self.draw(1, 12), self.profile.vector_bits
        self._take(InputEncoding.over_range([-1.0] * size, [1.0] * size, bit_width=bits))

    def take_image(self, smallest: int, largest: int) -> None:
        high, wide = self.draw(smallest, largest), self.draw(smallest, largest)
        self._take(InputEncoding.image((high, wide, self.one_of((1, 3, 3, 2)))))

    def _take(self, encoding: InputEncoding) -> None:
        self.encoding, self.shape, self.levels_in = encoding, encoding.shape, encoding.levels

    def add_flatten(self) -> None:
        self._add(Layer("flatten"))

    def add_dense(self) -> None:
        shape = self.draw(1, 10), self.shape[0]
        self._add(self._spiking("dense", shape, self._width(self.profile.first_dense_bits)))

    def add_same_conv(self, kernels: tuple[int, ...], strides: tuple[int, ...]) -> None:
        kernel, stride = self.one_of(kernels), self.one_of(strides)
        padding = same_sides(self.shape, (kernel, kernel), stride)
        self.add_window("conv2d", (kernel, kernel), stride, padding)

    def add_free_window(self, kind: Kind) -> None:
        """Any kernel, stride and padding that fit."""
        high = self.draw(1, 4)
        kernel = high, self.draw(1, 4) if kind == "conv2d" else high
        sides = []
        for size, side in zip(self.shape, kernel, strict=False):
            before, after = self.draw(0, side - 1), self.draw(0, side - 1)
            sides.append((before, max(after, side - size - before)))
        (top, bottom), (left, right) = sides
        self.add_window(kind, kernel, self.draw(1, 3), (top, left, bottom, right))

    def add_window(
        self, kind: Kind, kernel: tuple[int, int], stride: int, padding: Padding
    ) -> None:
        if kind == "maxpool2d":
            self._add(Layer(kind, kernel=kernel[0], stride=stride, padding=padding))
            return
        shape = self.draw(1, 5), self.shape[2], *kernel
        bits = self._width(self.profile.first_conv_bits)
        self._add(self._spiking(kind, shape, bits, stride=stride, padding=padding))

    def finish_image(self) -> SpikingProgram:
        self.add_flatten()
        if self.draw(0, 1):
            self.add_dense()
        return self.finish()

    def finish(self) -> SpikingProgram:
        layout = self.draw(1, 6), self.draw(1, 4)
        bits = self.profile.readout_bits or self.weight_bits
        weight = draw_weights(self.fill, (math.prod(layout), self.shape[0]), bits)
        bias = draw_readout_bias(self.fill, self.profile, weight, self.levels_in)
        layers = (*self.layers, Layer("dense", weight, bias, weight_bits=bits))
        return SpikingProgram(self.encoding, layers, 2.0**-6, layout, self.profile.name)

    def _width(self, first: int | None) -> int:
        is_first = not any(layer.has_weights for layer in self.layers)
        return first if is_first and first is not None else self.weight_bits

    def _spiking(
        self,
        kind: Kind,
        shape: tuple[int, ...],
        bits: int,
        stride: int = 1,
        padding: Padding = (0, 0, 0, 0),
    ) -> Layer:
        weight = draw_weights(self.fill, shape, bits)
        threshold, bias = draw_staircase(
            self.fill, self.profile, weight, self.levels_in, self.levels
        )
        return Layer(
            kind,
            weight,
            bias,
            threshold,
            weight_bits=bits,
            frac_bits=self.profile.frac_bits,
            levels=self.levels,
            stride=stride,
            padding=padding,
        )

    def _add(self, layer: Layer) -> None:
        self.layers.append(layer)
        self.shape = layer.output_shape(self.shape)
        self.levels_in = layer.levels or self.levels_in


def _tested(widths: tuple[int, ...]) -> tuple[int, ...]:
    """Those of a profile's widths that the kit draws from."""
    return tuple(bits for bits in widths if bits in BITS) or widths
