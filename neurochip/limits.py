"""What a chip can hold, as data, and the one function that compares a program with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivc.neurochip.backend import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivc.snn_convert import Layer, SpikingProgram


@dataclass(frozen=True, slots=True)
class ChipLimits:
    """The widths and sizes that a chip can hold.

    Attributes:
        kinds: layer kinds that it runs.
        weight_bits: widths of a weight.
        max_levels: largest count a neuron can emit.
        membrane_bits: width of the accumulator, sign included.
        max_neurons: neurons of one layer.
    """

    kinds: tuple[str, ...] = ("dense", "conv2d", "maxpool2d", "flatten")
    weight_bits: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    max_levels: int = 255
    membrane_bits: int = 64
    max_neurons: int = 1 << 24

    def violations(self, program: SpikingProgram) -> list[Violation]:
        """Return every limit that the program exceeds, layer by layer."""
        return [
            v for i, layer in enumerate(program.layers) for v in self._of_layer(program, i, layer)
        ]

    def _of_layer(self, program: SpikingProgram, i: int, layer: Layer) -> Iterator[Violation]:
        if layer.kind not in self.kinds:
            yield Violation(
                i, f"{layer.kind} layers do not run here", f"use {', '.join(self.kinds)}"
            )
        if layer.levels > self.max_levels:
            yield Violation(
                i,
                f"{layer.levels} levels, at most {self.max_levels}",
                "lower quant.activation_bits",
            )
        neurons = math.prod(program.shapes[i + 1])
        if neurons > self.max_neurons:
            yield Violation(
                i, f"{neurons} neurons, at most {self.max_neurons}", "use fewer filters or units"
            )
        if layer.has_weights:
            yield from self._of_weights(program, i, layer)

    def _of_weights(self, program: SpikingProgram, i: int, layer: Layer) -> Iterator[Violation]:
        if layer.weight_bits not in self.weight_bits:
            widths = ", ".join(map(str, self.weight_bits))
            yield Violation(
                i, f"{layer.weight_bits}-bit weights, it holds {widths}", "change quant.weight_bits"
            )
        width = program.membrane_bits[i]
        if width > self.membrane_bits:
            what = f"a membrane of {width} bits, it holds {self.membrane_bits}"
            yield Violation(i, what, "use fewer inputs or narrower weights")
