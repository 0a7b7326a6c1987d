"""From a network to its program: read the integers off, round nothing.

The only module of this package that needs torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from rivc.errors import DivergedError
from rivc.quant.qat import QuantConv2d
from rivc.snn_convert.program import Layer, SpikingProgram

if TYPE_CHECKING:
    from rivc.nets import QNetwork
    from rivc.nets.network import Integers
    from rivc.quant.qat import LayerIntegers, QuantLayer


@torch.no_grad()
def convert(net: QNetwork, integers: Integers | None = None) -> SpikingProgram:
    """Freeze a network into the program that has the same integers.

    Args:
        net: any network of `build_network`, trained in integers or not.
        integers: what ``net.integers()`` gives, where it is at hand.

    Returns:
        The program, with ``reference.run(program, x) == net.readout(x)`` for every input.

    Raises:
        DivergedError: if a parameter, or the scale of the readout, is not finite.

    Example:
        >>> from rivc.nets import build_network
        >>> net = build_network("mlp", input_shape=(8,), action_layout=(1, 4), hidden=(16,))
        >>> convert(net).shapes
        ((8,), (16,), (4,))
    """
    for name, parameter in net.named_parameters():
        if not np.isfinite(parameter.numpy(force=True)).all():
            raise DivergedError(f"{name} holds a value that is not finite; nothing to convert")
    integers = net.integers() if integers is None else integers
    for i, q in enumerate(integers):
        if not (q.threshold.isfinite().all() and q.bias.isfinite().all()):
            raise DivergedError(f"thresholds of layer {i} are not finite; nothing to convert")
    scale = float(net.readout_scale(integers))
    if not 0 < scale < math.inf:
        raise DivergedError(f"the scale of the readout became {scale}; nothing to convert")
    layers: list[Layer] = []
    is_picture = net.encoding.kind == "image"
    for (layer, _), q in zip(net.chain(), integers, strict=True):
        if is_picture and not isinstance(layer, QuantConv2d):
            layers.append(Layer("flatten"))
            is_picture = False
        layers.append(_freeze(layer, q))
    return SpikingProgram(
        encoding=net.encoding,
        layers=tuple(layers),
        readout_scale=scale,
        action_layout=net.action_layout,
        profile=net.profile.name,
    )


def _freeze(layer: QuantLayer, q: LayerIntegers) -> Layer:
    conv = isinstance(layer, QuantConv2d)
    threshold = q.threshold[:0] if layer.spec.is_readout else q.threshold
    return Layer(
        kind="conv2d" if conv else "dense",
        weight=q.weight.detach().numpy().astype(np.int8, order="C"),
        bias=q.bias.detach().numpy().astype(np.int32),
        threshold=threshold.detach().numpy().astype(np.int32),
        weight_bits=layer.spec.weight_bits,
        frac_bits=layer.spec.frac_bits,
        levels=layer.spec.levels,
        stride=layer.stride if isinstance(layer, QuantConv2d) else 1,
        padding=layer.padding if isinstance(layer, QuantConv2d) else (0, 0, 0, 0),
    )
