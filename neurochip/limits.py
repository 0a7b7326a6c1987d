"""What a chip can hold, as data.

A chip is a row of `ChipLimits`, with one row of `LayerLimits` for each place that a layer can have:
the first convolution, further ones, dense layers, the readout. Whatever is left out is not limited.
The rules that compare a program with a row are in `rivc.neurochip.rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivc.neurochip.backend import Violation
    from rivc.quant.profile import ArithmeticProfile
    from rivc.snn_convert import SpikingProgram

Sides = tuple[int, int]  # smallest and largest


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """What a chip can hold of the layers at one place; None: anything.

    Attributes:
        widths: (weight, count): bits of a weight with bits of an emitted count, 0 in a readout.
        kernels: (kernel, stride) of a convolution, whose windows are then square.
        padding: "same", with the odd zero bottom right, and "valid", without zeros.
        outputs: largest number of filters or units.
        inputs: largest number of inputs of a dense layer.
        picture_inputs: (count bits, largest number) of inputs that come from a picture.
        filters: (kernel, channels, largest number of filters).
        channels: (kernel, weight bits, largest number of channels that are received).
        pools: (window, stride) of the max pooling behind a convolution, padded in its way.
        pool_with_stride: a convolution of a stride above 1 may be pooled.
        pool_at_end: the pooling may stand before a dense layer.
        min_width: smallest width of what a convolution emits, and of what is left by its pooling.
        sum_bits: width of a weighted sum, sign included.
        pooled_sum_bits: the same where a pooling follows.
        may_be_zero: all weights may be zero.
    """

    widths: tuple[tuple[int, int], ...] | None = None
    kernels: tuple[tuple[int, int], ...] | None = None
    padding: tuple[str, ...] | None = None
    outputs: int | None = None
    inputs: int | None = None
    picture_inputs: tuple[tuple[int, int], ...] | None = None
    filters: tuple[tuple[int, int, int], ...] | None = None
    channels: tuple[tuple[int, int, int], ...] | None = None
    pools: tuple[tuple[int, int], ...] | None = None
    pool_with_stride: bool = True
    pool_at_end: bool = True
    min_width: int = 1
    sum_bits: int = 64
    pooled_sum_bits: int = 64
    may_be_zero: bool = True


ANYTHING = LayerLimits()


@dataclass(frozen=True, slots=True)
class ChipLimits:
    """The layers, widths and sizes that a chip can hold; None: anything.

    Attributes:
        kinds: layer kinds that it runs.
        weight_bits: widths of a weight.
        max_levels: largest count a neuron can emit.
        membrane_bits: width of the accumulator, sign included.
        max_neurons: neurons of one layer.
        arithmetic: profile whose thresholds and biases it holds.
        counts: (L, bits) of the counts it passes from layer to layer.
        counts_span_weights: counts must have at least as many bits as the weights they meet.
        vector_levels: largest count of an encoded vector.
        vector_bits: width of such a count where it meets weights.
        image_channels: channels of an image.
        image_sides: heights, then widths, of an image.
        image_spans_kernel: an image is at least as high as the kernel.
        pool_alone: a max pooling may follow something else than a convolution.
        first_conv: what it holds of a convolution that sees the image.
        conv: of further ones.
        dense: of dense layers with spikes.
        readout: of the last layer.
    """

    kinds: tuple[str, ...] = ("dense", "conv2d", "maxpool2d", "flatten")
    weight_bits: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    max_levels: int = 255
    membrane_bits: int = 64
    max_neurons: int = 1 << 24
    arithmetic: ArithmeticProfile | None = None
    counts: tuple[tuple[int, int], ...] | None = None
    counts_span_weights: bool = False
    vector_levels: int = 255
    vector_bits: int = 8
    image_channels: tuple[int, ...] | None = None
    image_sides: tuple[Sides, Sides] | None = None
    image_spans_kernel: bool = False
    pool_alone: bool = True
    first_conv: LayerLimits = ANYTHING
    conv: LayerLimits = ANYTHING
    dense: LayerLimits = ANYTHING
    readout: LayerLimits = ANYTHING

    def violations(self, program: SpikingProgram) -> list[Violation]:
        """Return every limit that the program exceeds, layer by layer."""
        from rivc.neurochip.rules import RULES

        layers = range(len(program.layers))
        return [v for i in layers for rule in RULES for v in rule(self, program, i)]

    def at(self, program: SpikingProgram, i: int) -> LayerLimits:
        """Return what holds for layer i, where it stands."""
        layer = program.layers[i]
        if layer.kind == "conv2d":
            return self.conv if i else self.first_conv
        return self.readout if layer.is_readout else self.dense
