"""From a description of the architecture to a network whose arithmetic is exact."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from rivc.errors import ConfigError, nearest
from rivc.nets.network import QNetwork
from rivc.quant.encoding import InputEncoding
from rivc.quant.geometry import same_padding
from rivc.quant.profile import ArithmeticProfile, load_profile
from rivc.quant.qat import LayerSpec, QuantConv2d, QuantDense, QuantLayer

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = ("mlp", "conv")
READOUTS: Final = ("plain", "centred")


def build_network(  # noqa: PLR0913 (the public face; every argument is a keyword)
    kind: str,
    *,
    input_shape: Sequence[int],
    action_layout: tuple[int, int],
    hidden: Sequence[int] = (),
    conv: Sequence[tuple[int, int, int]] = (),
    weight_bits: int = 4,
    activation_bits: int = 4,
    profile: str | ArithmeticProfile = "ideal",
    encoding: InputEncoding | None = None,
    readout: str = "plain",
    seed: int = 0,
) -> QNetwork:
    """Build a Q-network in the integers of a target.

    Args:
        kind: "mlp" for vectors, "conv" for images.
        input_shape: (features,) or (H, W, C).
        action_layout: (d, n), d groups of n actions.
        hidden: units of each hidden dense layer.
        conv: (filters, kernel, stride) of each convolution, `same` padding.
        weight_bits: weight width of the hidden layers, 1..8.
        activation_bits: width of a spike count; a layer emits at most 2^bits - 1 spikes,
            or as many as the profile says.
        profile: the target's arithmetic, by name or as data.
        encoding: of the observation; default: images as they are, vectors from -1 to 1.
        readout: "centred" quantizes the readout less what the actions of a group have in common.
        seed: of the initial weights.

    Returns:
        The network; the same arguments give the same weights.

    Raises:
        ConfigError: if the description contradicts itself or the profile.
        QuantError: if a layer is too wide to be exact.

    Example:
        >>> net = build_network("conv", input_shape=(32, 32, 3), action_layout=(1, 7),
        ...                     conv=((16, 3, 2),), hidden=(32,), seed=1)
        >>> net.action_layout
        (1, 7)
    """
    _check(kind, input_shape, conv)
    _check_known("readout", readout, READOUTS)
    _check_sizes("input_shape", input_shape)
    _check_sizes("action_layout", action_layout, 2)
    _check_sizes("hidden", hidden)
    for row in conv:
        _check_sizes("conv", row, 3)
    target = load_profile(profile) if isinstance(profile, str) else profile
    target.check_widths(weight_bits, activation_bits)
    encoding = encoding or _default_encoding(kind, tuple(input_shape), target)
    _check_encoding(encoding, kind, tuple(input_shape))
    builder = _Builder(target, weight_bits, activation_bits, encoding)
    for filters, kernel, stride in conv:
        builder.add_conv(filters, kernel, stride)
    for units in hidden:
        builder.add_dense(units)
    builder.add_readout(action_layout, is_centred=readout == "centred")
    generator = torch.Generator().manual_seed(seed)
    for layer in builder.layers:
        layer.reset_parameters(generator)
    return QNetwork(builder.layers, encoding, action_layout, target)


def _check(kind: str, input_shape: Sequence[int], conv: Sequence[tuple[int, int, int]]) -> None:
    _check_known("network", kind, KINDS)
    rank, shape = {"mlp": 1, "conv": 3}[kind], tuple(input_shape)
    if len(shape) != rank:
        raise ConfigError(f"a network of kind {kind!r} takes input of rank {rank}, not {shape}")
    if kind == "mlp" and conv:
        raise ConfigError("convolutions need an image; use kind 'conv' or leave net.conv empty")


def _check_known(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        listed = ", ".join(known)
        raise ConfigError(f"unknown {what} {name!r}; known: {listed}{nearest(name, known)}")


def _check_sizes(name: str, sizes: Sequence[int], length: int | None = None) -> None:
    if (length is not None and len(sizes) != length) or min(sizes, default=1) < 1:
        wanted = "sizes" if length is None else f"{length} sizes"
        raise ConfigError(f"{name} takes {wanted} of at least 1, not {tuple(sizes)}")


def _check_encoding(encoding: InputEncoding, kind: str, shape: tuple[int, ...]) -> None:
    wanted = {"mlp": "vector", "conv": "image"}[kind]
    if (encoding.kind, encoding.shape) != (wanted, shape):
        given = f"an {encoding.kind} encoding of shape {encoding.shape}"
        raise ConfigError(f"{given} does not encode the {wanted} of input_shape {shape}")


def _default_encoding(
    kind: str, shape: tuple[int, ...], profile: ArithmeticProfile
) -> InputEncoding:
    if kind == "conv":
        return InputEncoding.image(shape)
    return InputEncoding.over_range(
        [-1.0] * shape[0], [1.0] * shape[0], bit_width=profile.vector_bits
    )


class _Builder:
    """Adds layers one by one and keeps track of what flows between them."""

    def __init__(
        self,
        profile: ArithmeticProfile,
        weight_bits: int,
        activation_bits: int,
        encoding: InputEncoding,
    ) -> None:
        self.profile, self.weight_bits = profile, weight_bits
        self.levels = profile.levels_of(activation_bits)
        self.levels_in = encoding.levels
        self.shape = encoding.shape
        self.layers: list[QuantLayer] = []

    def add_conv(self, filters: int, kernel: int, stride: int) -> None:
        height, width, channels = self.shape
        (top, bottom), (left, right) = (same_padding(n, kernel, stride) for n in (height, width))
        spec = self._spec(
            channels * kernel**2, self._width(self.profile.first_conv_bits), self.levels
        )
        self.layers.append(QuantConv2d(spec, filters, kernel, stride, (top, left, bottom, right)))
        self._received((-(-height // stride), -(-width // stride), filters))

    def add_dense(self, units: int) -> None:
        spec = self._spec(self._fan_in(), self._width(self.profile.first_dense_bits), self.levels)
        self.layers.append(QuantDense(spec, units))
        self._received((units,))

    def add_readout(self, action_layout: tuple[int, int], *, is_centred: bool) -> None:
        bits = self.profile.readout_bits or self.weight_bits
        spec = self._spec(self._fan_in(), bits, 0)
        spec = replace(spec, centred=action_layout[1] if is_centred else 0)
        self.layers.append(QuantDense(spec, math.prod(action_layout)))

    def _fan_in(self) -> int:
        return math.prod(self.shape)

    def _width(self, first: int | None) -> int:
        return self.weight_bits if self.layers or first is None else first

    def _spec(self, fan_in: int, weight_bits: int, levels: int) -> LayerSpec:
        zero_in = 0.0 if self.layers else self.levels_in / 2
        return LayerSpec(fan_in, weight_bits, self.levels_in, levels, zero_in, self.profile)

    def _received(self, shape: tuple[int, ...]) -> None:
        self.shape, self.levels_in = shape, self.levels
