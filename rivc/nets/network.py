r"""The Q-network: a chain of quantized layers with one action head.

The head has d groups of n outputs, one group an actuated dimension, so that a plain discrete robot
is the case d = 1. All groups share one readout scale, and the greedy action is the argmax of the
integers in each group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from rivc.quant.qat import LayerIntegers, QuantConv2d, QuantLayer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rivc.quant.encoding import InputEncoding
    from rivc.quant.profile import ArithmeticProfile


Integers = tuple[LayerIntegers, ...]


class QNetwork(nn.Module):
    r"""Action values from unsigned counts.

    .. math:: Q(x) = u \cdot r(x), \quad r = w_q x_{last} + B

    with the integers r of the readout and their common scale u. A centred readout gives what
    decides between the actions of a group; `action_values` adds what they have in common.

    Attributes:
        encoding: how observations become counts; part of the network.
        action_layout: (d, n): d groups of n actions.
        profile: the arithmetic it is trained in.
        quantized: False makes `forward` real-valued, for training that ignores the chip; the
            readout, and so a conversion, is always made of integers.

    Example:
        >>> from rivc.nets import build_network
        >>> net = build_network("mlp", input_shape=(8,), action_layout=(1, 4), hidden=(16,),
        ...                     weight_bits=4, activation_bits=4, seed=0)
        >>> net(torch.zeros(2, 8, dtype=torch.uint8)).shape
        torch.Size([2, 1, 4])
    """

    input_log_step: Tensor

    def __init__(
        self,
        layers: list[QuantLayer],
        encoding: InputEncoding,
        action_layout: tuple[int, int],
        profile: ArithmeticProfile,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.encoding = encoding
        self.action_layout = action_layout
        self.profile = profile
        self.quantized = True
        # Inputs span [-1, 1]: a count is worth 2 / L, and the middle of the range stands for zero.
        self.register_buffer("input_log_step", torch.tensor(2.0 / encoding.levels).log())

    def chain(self) -> Iterator[tuple[QuantLayer, Tensor]]:
        """Yield each layer with the logarithm of the value of one count that it receives."""
        log_step = self.input_log_step
        for layer in cast("Iterable[QuantLayer]", self.layers):
            yield layer, log_step
            if layer.log_step is not None:
                log_step = layer.log_step

    def integers(self) -> Integers:
        """Return the integers of every layer, from the parameters as they are now."""
        return tuple(layer.integers(log_step) for layer, log_step in self.chain())

    def forward(self, x: Tensor, integers: Integers | None = None) -> Tensor:
        """Return action values, float32, [B, d, n].

        Args:
            x: counts, uint8, [B, *shape].
            integers: of `integers()`, to share them between passes; default: computed afresh.
        """
        if not self.quantized:
            return self._forward_real(x)
        integers = integers or self.integers()
        return self._as_values(self._run(x, integers), integers)

    def action_values(self, x: Tensor, integers: Integers | None = None) -> Tensor:
        """Return action values for Bellman targets, float32, [B, d, n].

        Those of `forward`, plus the value of the state where the readout is centred. No program
        holds it: it changes no choice.

        Args:
            x: counts, uint8, [B, *shape].
            integers: of `integers()`, to share them between passes; default: computed afresh.
        """
        if not self.quantized:
            return self._forward_real(x, whole=True)
        integers = integers or self.integers()
        *_, received, readout = channels_first(x), *self._outputs(x, integers)
        *_, (layer, log_step) = self.chain()
        values = self._as_values(readout, integers)
        if not layer.spec.centred:
            return values
        return values + layer.left_out(as_input(layer, received), log_step.exp())

    @torch.no_grad()
    def readout(self, x: Tensor, integers: Integers | None = None) -> Tensor:
        """Return the integers behind the action values, int64, [B, d, n].

        Raises:
            QuantError: if a count is above what the input holds.
        """
        if self.encoding.levels < 255 and x.numel():
            self.encoding.check_counts(int(x.max()))
        readout = self._run(x, integers or self.integers())
        return readout.long().view(-1, *self.action_layout)

    def readout_scale(self, integers: Integers | None = None) -> Tensor:
        """Return the real value of one readout integer, a scalar without gradient."""
        *_, (_, log_step_in) = self.chain()
        scale = (integers or self.integers())[-1].weight_scale[0].double()
        return (scale * log_step_in.detach().double().exp()).float()

    def watch(self, x: Tensor, integers: Integers, layer: int) -> tuple[Tensor, Tensor]:
        """Return action values as `forward` does, and what a layer emits, channels first.

        Args:
            x: counts, uint8, [B, *shape].
            integers: of `integers()`.
            layer: which of `layers`, 0 for the first.
        """
        outputs = list(self._outputs(x, integers))
        return self._as_values(outputs[-1], integers), outputs[layer]

    def _as_values(self, readout: Tensor, integers: Integers) -> Tensor:
        return (readout * self.readout_scale(integers)).float().view(-1, *self.action_layout)

    def _run(self, x: Tensor, integers: Integers) -> Tensor:
        for out in self._outputs(x, integers):
            x = out
        return x

    def _outputs(self, x: Tensor, integers: Integers) -> Iterator[Tensor]:
        """What each layer gives, in order."""
        x = channels_first(x)
        with torch.autocast(x.device.type, enabled=False):  # its half floats would round integers
            for (layer, log_step), q in zip(self.chain(), integers, strict=True):
                x = layer(as_input(layer, x), log_step, q)
                yield x

    def _forward_real(self, x: Tensor, *, whole: bool = False) -> Tensor:
        step = self.input_log_step.exp()
        x = channels_first(x).float() * step
        for layer, _ in self.chain():
            x = layer.forward_real(as_input(layer, x), layer.spec.zero_in * step, whole=whole)
        return x.view(-1, *self.action_layout)

    def weights_and_biases(self) -> list[nn.Parameter]:
        """Return the latent weights and biases, without the learned steps."""
        return [p for layer, _ in self.chain() for p in (layer.weight, layer.bias)]


def channels_first(x: Tensor) -> Tensor:
    """Return counts as torch convolves them, CHW, from how they come, HWC."""
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


def as_input(layer: QuantLayer, x: Tensor) -> Tensor:
    """Return what a layer receives, flattened in H, W, C order before the first dense layer."""
    if isinstance(layer, QuantConv2d) or x.dim() == 2:
        return x
    return x.permute(0, 2, 3, 1).flatten(1)
