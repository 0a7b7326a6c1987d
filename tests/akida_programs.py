"""Random programs in the integers of an Akida chip, within its limits and just beyond them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

from rivc.errors import DamagedFileError
from rivc.quant import Grid
from rivc.quant.encoding import InputEncoding
from rivc.quant.geometry import same_padding
from rivc.snn_convert import Layer, SpikingProgram

PROFILES = {"akd1000": "akida1", "v2": "akida2"}
FRAC_BITS = 4
KERNELS = ((1, 1), (3, 1), (3, 2), (5, 1), (7, 1))  # with strides, behind the first convolution


@dataclass
class Draft:
    """A program that grows layer by layer.

    Thresholds and biases are drawn so that counts spread over their whole range: about as large as
    the weighted sums, some far too small, and on the chip's lattice, which puts many on a tie.
    """

    chip: str
    encoding: InputEncoding
    rng: np.random.Generator
    layers: list[Layer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shape, self.levels_in = self.encoding.shape, self.encoding.levels

    def conv(
        self,
        filters: int,
        kernel: int,
        stride: int = 1,
        *,
        bits: int = 4,
        levels: int = 15,
        padding: str = "same",
    ) -> Self:
        shape = (filters, self.shape[2], kernel, kernel)
        geometry = {"stride": stride, "padding": self._padding(kernel, stride, padding)}
        return self._add(self._spiking("conv2d", shape, bits, levels, geometry))

    def pool(self, kernel: int, stride: int, *, padding: str = "same") -> Self:
        sides = self._padding(kernel, stride, padding)
        return self._add(Layer("maxpool2d", kernel=kernel, stride=stride, padding=sides))

    def flatten(self) -> Self:
        return self._add(Layer("flatten"))

    def dense(self, units: int, *, bits: int = 4, levels: int = 15) -> Self:
        return self._add(self._spiking("dense", (units, self.shape[0]), bits, levels, {}))

    def readout(self, actions: int, *, bits: int = 4) -> SpikingProgram:
        weight = self._weight((actions, self.shape[0]), bits)
        bias = self.rng.integers(-300, 300, actions).astype(np.int32)
        self._add(Layer("dense", weight, bias, weight_bits=bits))
        layers, profile = tuple(self.layers), PROFILES[self.chip]
        return SpikingProgram(self.encoding, layers, 1.0, (1, actions), profile)

    def _add(self, layer: Layer) -> Self:
        self.layers.append(layer)
        self.shape = layer.output_shape(self.shape)
        self.levels_in = layer.levels or self.levels_in
        return self

    def _padding(self, kernel: int, stride: int, kind: str) -> tuple[int, int, int, int]:
        if kind == "valid":
            return (0, 0, 0, 0)
        (top, bottom), (left, right) = (same_padding(n, kernel, stride) for n in self.shape[:2])
        return top, left, bottom, right

    def _weight(self, shape: tuple[int, ...], bits: int) -> np.ndarray:
        grid = Grid(bits)
        drawn = self.rng.integers(grid.q_min, grid.q_max + 1, shape)
        return np.where((drawn == 0) & grid.is_binary, 1, drawn).astype(np.int8)

    def _spiking(
        self,
        kind: Literal["conv2d", "dense"],
        shape: tuple[int, ...],
        bits: int,
        levels: int,
        geometry: dict[str, Any],
    ) -> Layer:
        weight = self._weight(shape, bits)
        spread = np.sqrt(np.prod(shape[1:])) * Grid(bits).q_max * self.levels_in / 3 + 1
        draw = _akida1 if self.chip == "akd1000" else _akida2
        threshold, bias = draw(self.rng, shape[0], spread, levels)
        return Layer(
            kind,
            weight,
            bias.astype(np.int32),
            threshold.astype(np.int32),
            weight_bits=bits,
            frac_bits=FRAC_BITS,
            levels=levels,
            **geometry,
        )


def _akida1(
    rng: np.random.Generator, size: int, spread: float, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    ratio = np.exp(rng.uniform(-2, 1, size))
    threshold = np.clip(np.rint(16 * spread / levels * ratio), 4, 2**20 - 1).astype(np.int64)
    start = np.clip(np.rint(spread * rng.uniform(-1.5, 1, size)), -(2**18), 2**18).astype(np.int64)
    return threshold, threshold - 1 - threshold // 2 - 16 * start


def _akida2(
    rng: np.random.Generator, size: int, spread: float, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    shift = np.clip(np.rint(np.log2(spread / levels)) + rng.integers(-3, 2, size), -3, 20)
    up = max(1, int(np.log2(spread)) - 6)
    bias = 16 * (rng.integers(-127, 128, size) << rng.integers(0, up + 1, size))
    return 2 ** (FRAC_BITS + shift.astype(np.int64)), bias


def image(height: int, width: int, channels: int) -> InputEncoding:
    return InputEncoding.image((height, width, channels))


def vector(features: int, bit_width: int) -> InputEncoding:
    return InputEncoding.over_range([-1.0] * features, [1.0] * features, bit_width=bit_width)


@dataclass(frozen=True)
class Habits:
    """How a random program is drawn: its widths, and how often it steps over a limit."""

    chip: str
    bits: tuple[int, ...]
    levels: tuple[int, ...]
    slip: float = 0.0


def habits(chip: str, bits: int, slip: float = 0.0) -> Habits:
    """Return how programs of one width are drawn: weights and counts of a width, or narrower."""
    if chip == "v2":
        return Habits(chip, (bits,), (15 if bits == 4 else 127,), slip)
    return Habits(chip, (2,) if bits == 2 else (2, 4), (1, 3) if bits == 2 else (1, 3, 15), slip)


def draw_program(habits: Habits, seed: int) -> SpikingProgram:
    """Draw a program; without slips it lies within the limits of the chip.

    Pictures are rarely square and often odd, kernels have no symmetry.
    """
    for attempt in range(100):
        with suppress(DamagedFileError):  # a slip may leave nothing of a picture
            program = _Drawing(habits, np.random.default_rng([seed, attempt])).program()
            if not any(size in _OPEN[habits.chip] for size in _flat_sizes(program)):
                return program
    raise AssertionError


# Inputs of a dense layer at which the memory of the device or the weights themselves decide.
_OPEN = {"akd1000": range(5000, 57334), "v2": range(1440, 2049)}


def _flat_sizes(program: SpikingProgram) -> list[int]:
    after = zip(program.layers, program.shapes[1:], strict=True)
    return [shape[0] for layer, shape in after if layer.kind == "flatten"]


class _Drawing:
    def __init__(self, habits: Habits, rng: np.random.Generator) -> None:
        self.habits, self.rng, self.is_v1 = habits, rng, habits.chip == "akd1000"

    def one(self, usual: Any, beyond: Any = ()) -> Any:
        """One of the usual values or, on a slip, of those beyond."""
        values = beyond if beyond and self.rng.random() < self.habits.slip else usual
        return values[int(self.rng.integers(len(values)))]

    def bits(self) -> int:
        return int(self.one(self.habits.bits, (1, 8) if self.is_v1 else (2, 4, 8)))

    def levels(self) -> int:
        return int(self.one(self.habits.levels, (7,) if self.is_v1 else (15, 127)))

    def program(self) -> SpikingProgram:
        draft = self.from_image() if self.rng.random() < 0.6 else self.from_vector()
        for _ in range(int(self.rng.integers(0, 3))):
            on_input = not self.is_v1 and not any(layer.levels for layer in draft.layers)
            bits = 8 if on_input else self.bits()
            draft.dense(int(self.rng.integers(1, 40)), bits=bits, levels=self.levels())
        return draft.readout(int(self.rng.integers(1, 9)), bits=self.bits())

    def from_vector(self) -> Draft:
        width = self.one(range(1, 5), (8,)) if self.is_v1 else self.one(range(1, 8))
        encoding = vector(int(self.rng.integers(1, 40)), width)
        return Draft(self.habits.chip, encoding, self.rng)

    def from_image(self) -> Draft:
        height = self.one(range(7, 24), range(3, 7))
        width = self.one(range(8, 24), (3, 4, 257 if self.is_v1 else 385))
        draft = Draft(self.habits.chip, image(height, width, self.one((1, 3), (2, 4))), self.rng)
        if self.rng.random() < self.habits.slip:
            return draft.flatten()
        self.first_conv(draft)
        for _ in range(int(self.rng.integers(0, 3))):
            self.further_conv(draft)
        if self.rng.random() < self.habits.slip:
            draft.pool(2, 2, padding=self.padding)
        return draft.flatten()

    def first_conv(self, draft: Draft) -> None:
        kernel = self.one((3, 5, 7), (1, 2, 9))
        self.stride, self.padding = self.one((1, 2, 3), (4,)), self.one(("same", "same", "valid"))
        draft.conv(
            self.one((1, 2, 5, 8, 16), (33, 65)),
            kernel,
            self.stride,
            bits=self.one((2, 4, 8) if self.is_v1 else (4, 8)),
            levels=self.levels(),
            padding=self.padding,
        )

    def further_conv(self, draft: Draft) -> None:
        on_first = len(draft.layers) == 1
        is_narrow = not self.is_v1 or draft.layers[0].weight_bits < 8
        may_pool = is_narrow if on_first else self.is_v1 or self.stride == 1
        if self.rng.random() < 0.3 and may_pool and min(draft.shape[:2]) >= 4:
            draft.pool(*self.one(((2, 2),), ((3, 3), (4, 2))), padding=self.padding)
        kernel, self.stride = self.one(KERNELS, ((5, 2), (3, 3), (4, 1)))
        padding = self.one(("same",), ("valid",)) if min(draft.shape[:2]) >= kernel else "same"
        self.padding = padding
        draft.conv(
            int(self.rng.integers(1, 16)),
            kernel,
            self.stride,
            bits=self.bits(),
            levels=self.levels(),
            padding=padding,
        )
