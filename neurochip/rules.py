"""The rules that compare a program with the limits of a chip.

Each is a function from (limits, program, i) to the violations of layer i, so that a program is told
everything that stands against it at once. A rule that its chip does not limit yields nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.neurochip.backend import Violation
from rivc.quant.geometry import is_same_padding

if TYPE_CHECKING:
    from rivc.neurochip.limits import ChipLimits
    from rivc.snn_convert import SpikingProgram

Rule = Callable[["ChipLimits", "SpikingProgram", int], Iterator[Violation]]

_NO_PADDING: Final = (0, 0, 0, 0)


def _kind(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    kind = program.layers[i].kind
    if kind not in limits.kinds:
        yield Violation(i, f"{kind} layers do not run here", f"use {', '.join(limits.kinds)}")


def _levels(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    levels = program.layers[i].levels
    if levels > limits.max_levels:
        what = f"{levels} levels, at most {limits.max_levels}"
        yield Violation(i, what, "lower quant.activation_bits")
    elif levels and limits.counts is not None and levels not in dict(limits.counts):
        held = _listed(top for top, _ in limits.counts)
        yield Violation(i, f"{levels} levels, it holds {held}", "change quant.activation_bits")


def _neurons(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    neurons = math.prod(program.shapes[i + 1])
    if neurons > limits.max_neurons:
        what = f"{neurons} neurons, at most {limits.max_neurons}"
        yield Violation(i, what, "use fewer filters or units")


def _weight_bits(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    layer, widths = program.layers[i], limits.at(program, i).widths
    if not layer.has_weights:
        return
    held = {bits for bits, _ in widths} if widths is not None else set(limits.weight_bits)
    if layer.weight_bits not in held:
        what = f"{layer.weight_bits}-bit weights, it holds {_listed(sorted(held))}"
        yield Violation(i, what, "change quant.weight_bits")


def _membrane(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    width = program.membrane_bits[i]
    if width > limits.membrane_bits:
        what = f"a membrane of {width} bits, it holds {limits.membrane_bits}"
        yield Violation(i, what, "use fewer inputs or narrower weights")


def _sum(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    layer = program.layers[i]
    if not layer.has_weights:
        return
    at, held = limits.at(program, i), limits.at(program, i).sum_bits
    if not layer.is_readout and program.layers[i + 1].kind == "maxpool2d":
        held = min(held, at.pooled_sum_bits)
    width = (layer.weight_norm * program.levels_in[i]).bit_length() + 1
    if width > held:
        what = f"a weighted sum of {width} bits, it holds {held}"
        yield Violation(i, what, "use fewer inputs or narrower weights")


def _widths_together(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    layer, widths = program.layers[i], limits.at(program, i).widths
    if not layer.has_weights or widths is None or limits.counts is None:
        return
    emitted = dict(limits.counts).get(layer.levels, 0)
    held = [count for bits, count in widths if bits == layer.weight_bits]
    if held and emitted not in held and (emitted or layer.is_readout):
        what = f"{layer.weight_bits}-bit weights with counts of {emitted} bits, not {_listed(held)}"
        yield Violation(i, what, "make quant.weight_bits and quant.activation_bits equal")
    received = _bits_received(limits, program, i)
    if limits.counts_span_weights and 0 < received < layer.weight_bits:
        what = f"{layer.weight_bits}-bit weights on counts of {received} bits"
        yield Violation(i, what, "make quant.weight_bits and quant.activation_bits equal")


def _bits_received(limits: ChipLimits, program: SpikingProgram, i: int) -> int:
    """Bits of the counts that a layer receives, 0 if the chip has no such counts."""
    if any(layer.levels for layer in program.layers[:i]):
        return dict(limits.counts or ()).get(program.levels_in[i], 0)
    return 8 if program.encoding.kind == "image" else limits.vector_bits


def _arithmetic(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    layer, profile = program.layers[i], limits.arithmetic
    if not layer.levels or profile is None:
        return
    remedy = f"train with --quant.profile {profile.name}"
    if layer.frac_bits != profile.frac_bits:
        what = f"{layer.frac_bits} fraction bits, it holds {profile.frac_bits}"
        yield Violation(i, what, remedy)
        return
    off = np.flatnonzero(~profile.holds(layer.threshold, layer.bias))
    if off.size:
        first = int(off[0])
        pair = f"threshold {layer.threshold[first]} with bias {layer.bias[first]}"
        what = f"{pair} in channel {first} ({off.size} channels) is no {profile.name} integer"
        yield Violation(i, what, remedy)


def _input(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    if i > 0:
        return
    encoding, kind = program.encoding, program.layers[0].kind
    if encoding.kind == "vector":
        if encoding.levels > limits.vector_levels:
            what = f"a vector with counts up to {encoding.levels}, at most {limits.vector_levels}"
            yield Violation(-1, what, "train under the back end's own profile: quant.profile auto")
        return
    if limits.image_channels is not None:
        yield from _image(limits, program)
        if kind != "conv2d":
            yield Violation(0, f"an image enters a {kind} layer", "begin net.conv with one")


def _image(limits: ChipLimits, program: SpikingProgram) -> Iterator[Violation]:
    *sides, channels = program.encoding.shape
    if limits.image_channels is not None and channels not in limits.image_channels:
        what = f"an image of {channels} channels, it takes {_listed(limits.image_channels)}"
        yield Violation(-1, what, "change what the camera gives")
    for name, side, held in zip(("height", "width"), sides, limits.image_sides or (), strict=False):
        if not held[0] <= side <= held[1]:
            what = f"an image of {name} {side}, it takes {held[0]}..{held[1]}"
            yield Violation(-1, what, "change the size of the image")


def _kernel(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    layer, held = program.layers[i], limits.at(program, i)
    if layer.kind != "conv2d" or held.kernels is None:
        return
    (high, wide), stride = layer.window, layer.stride
    if high != wide:
        yield Violation(i, f"a kernel of {high}x{wide}", "use a square one")
    elif (high, stride) not in held.kernels:
        pairs = _listed(f"{k}x{k}/{s}" for k, s in held.kernels)
        what = f"a kernel of {high}x{wide} with stride {stride}, it holds {pairs}"
        yield Violation(i, what, "change net.conv")
    if limits.image_spans_kernel and i == 0 and program.encoding.shape[0] < high:
        what = f"a kernel of {high} rows on an image of {program.encoding.shape[0]}"
        yield Violation(i, what, "use a smaller kernel or a higher image")


def _padding(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    layer, held = program.layers[i], limits.at(program, i).padding
    if layer.kind != "conv2d" or held is None:
        return
    kinds = {"same": _is_same(program, i), "valid": layer.padding == _NO_PADDING}
    if not any(kinds[kind] for kind in held):
        what = f"padding {layer.padding}, it holds {_listed(held)}"
        yield Violation(i, what, "pad as build_network does")


def _sizes(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    layer, held = program.layers[i], limits.at(program, i)
    if not layer.has_weights:
        return
    outputs, inputs = layer.weight.shape[:2]
    if held.outputs is not None and outputs > held.outputs:
        what = f"{outputs} filters or units, at most {held.outputs}"
        yield Violation(i, what, "use fewer in net.conv or net.hidden")
    most = _most_inputs(limits, program, i)
    if layer.kind == "dense" and inputs > most:
        what = f"{inputs} inputs, at most {most}"
        yield Violation(i, what, "use fewer filters or units in the layer before, or strides")
    if layer.weight.size and not held.may_be_zero and not layer.weight.any():
        yield Violation(i, "no weight that is not zero", "train before you convert")


def _most_inputs(limits: ChipLimits, program: SpikingProgram, i: int) -> float:
    held = limits.at(program, i)
    most = math.inf if held.inputs is None else held.inputs
    if i and program.layers[i - 1].kind == "flatten":
        bits = _bits_received(limits, program, i)
        most = min([most, *(n for count, n in held.picture_inputs or () if count == bits)])
    return most


def _filters(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    layer, held = program.layers[i], limits.at(program, i)
    if layer.kind != "conv2d":
        return
    outputs, channels, kernel = layer.weight.shape[:3]
    for size, depth, most in held.filters or ():
        if (size, depth) == (kernel, channels) and outputs > most:
            what = f"{outputs} filters of {kernel}x{kernel} on {channels} channels, at most {most}"
            yield Violation(i, what, "use fewer filters in net.conv")
    for size, bits, most in held.channels or ():
        if (size, bits) == (kernel, layer.weight_bits) and channels > most:
            what = f"{channels} channels under {bits}-bit {kernel}x{kernel} kernels, at most {most}"
            yield Violation(i, what, "use fewer filters in the layer before")


def _width(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    layer = program.layers[i]
    pooled = layer.kind == "maxpool2d" and i > 0 and program.layers[i - 1].kind == "conv2d"
    if layer.kind != "conv2d" and not pooled:
        return
    width, held = program.shapes[i + 1][1], limits.at(program, i - pooled).min_width
    if width < held:
        what = f"a picture {width} wide, at least {held}"
        yield Violation(i, what, "use smaller strides or a wider image")


def _pool_place(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    if program.layers[i].kind != "maxpool2d":
        return
    if i == 0 or program.layers[i - 1].kind != "conv2d":
        if not limits.pool_alone:
            what = "a pooling that follows no convolution"
            yield Violation(i, what, "put a convolution before it")
        return
    before, held = program.layers[i - 1], limits.at(program, i - 1)
    if program.layers[i + 1].kind == "flatten" and not held.pool_at_end:
        what = "a pooling before a dense layer"
        yield Violation(i, what, "put a convolution behind it, or use strides")
    if before.stride > 1 and not held.pool_with_stride:
        what = f"a pooling behind a convolution of stride {before.stride}"
        yield Violation(i, what, "leave one of the two out")


def _pool_window(limits: ChipLimits, program: SpikingProgram, i: int) -> Iterator[Violation]:
    layer, shape = program.layers[i], program.shapes[i]
    if layer.kind != "maxpool2d" or i == 0 or program.layers[i - 1].kind != "conv2d":
        return
    held = limits.at(program, i - 1).pools
    if held is None:
        return
    window = f"a pooling of {layer.kernel}x{layer.kernel} with stride {layer.stride}"
    if (layer.kernel, layer.stride) not in held:
        pairs = _listed(f"{k}x{k}/{s}" for k, s in held)
        yield Violation(i, f"{window}, it holds {pairs}", "change the window")
    if layer.kernel > min(shape[:2]):
        what = f"{window} on a picture of {shape[0]}x{shape[1]}"
        yield Violation(i, what, "leave it out")
    same = _is_same(program, i - 1)
    if not (_is_same(program, i) if same else layer.padding == _NO_PADDING):
        what = f"{window} and padding {layer.padding}"
        yield Violation(i, what, "pad it as the convolution before it")


def _is_same(program: SpikingProgram, i: int) -> bool:
    layer = program.layers[i]
    return is_same_padding(layer.padding, program.shapes[i], layer.window, layer.stride)


def _listed(values: object) -> str:
    return ", ".join(map(str, values))  # type: ignore[call-overload]


RULES: Final[tuple[Rule, ...]] = (
    _input,
    _kind,
    _levels,
    _neurons,
    _weight_bits,
    _widths_together,
    _arithmetic,
    _membrane,
    _sum,
    _kernel,
    _padding,
    _sizes,
    _filters,
    _width,
    _pool_place,
    _pool_window,
)
