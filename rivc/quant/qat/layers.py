r"""Dense and convolution layers that carry integers forward and gradients straight through.

Forward, with :math:`a = (2^F z + B + \lfloor th/2 \rfloor) / th` and :math:`z = w_q * x`:

.. math:: count = \lfloor clip(a, 0, L) \rfloor

Backward, straight through every rounding (g is the gradient of the count, gated to 0 < a < L + 1):

.. math::

    \partial a/\partial z = 2^F / th, \quad
    \partial a/\partial b = 1 / s_{out}, \quad
    \partial a/\partial \log s_{out} = -(a - 1/2), \quad
    \partial a/\partial \log s_{in} = 2^F z / th

The step of what enters is trained only where its zero is 0, in all layers but the first.

One autograd node a layer. The integers are handed in, so that several passes between two updates
share them and a target network keeps its own.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import Tensor, nn

from rivc.quant.qat.integers import (
    LayerIntegers,
    LayerSpec,
    hidden_integers,
    readout_integers,
)
from rivc.quant.qat.staircase import channel_sum, fire, per_channel, unfire

Padding = tuple[int, int, int, int]  # top, left, bottom, right


class QuantLayer(nn.Module):
    """A layer in the chip's integers; `QuantDense` and `QuantConv2d` say how it sums.

    Attributes:
        spec: widths, levels and profile.
        carrier: the float types that are exact for it.
        weight: latent weights, float32, [C, ...].
        bias: latent bias, float32, [C], in real units.
        log_step: natural logarithm of the value of one emitted count; None in a readout.
    """

    log_step: Tensor | None

    def __init__(self, spec: LayerSpec, weight_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.spec = spec
        self.carrier = spec.carrier()
        self.weight = nn.Parameter(torch.empty(weight_shape))
        self.bias = nn.Parameter(torch.zeros(weight_shape[0]))
        log_step = (
            None if spec.is_readout else nn.Parameter(torch.tensor(math.log(3.0 / spec.levels)))
        )
        self.register_parameter("log_step", log_step)

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the weights from a normal distribution with variance 2 / fan_in (He et al., 2015).

        A readout starts near zero: a gap-increasing target would keep the first gaps alive.
        """
        with torch.no_grad():
            gain = math.sqrt((1e-4 if self.spec.is_readout else 2.0) / self.spec.fan_in)
            self.weight.normal_(0.0, gain, generator=generator)
            self.bias.zero_()

    @torch.no_grad()
    def integers(self, log_step_in: Tensor) -> LayerIntegers:
        """Return the layer's integers, from the parameters as they are now.

        Args:
            log_step_in: logarithm of the value of one received count, scalar.
        """
        parameters = self.spec, self.carrier, *self.shipped()
        if self.log_step is None:
            return readout_integers(*parameters, log_step_in.double().exp())
        return hidden_integers(
            *parameters, self.log_step.double().exp(), log_step_in.double().exp()
        )

    def shipped(self) -> tuple[Tensor, Tensor]:
        """Return the latent weights and biases that become integers, centred where they are."""
        outputs = self.spec.centred
        if not outputs:
            return self.weight, self.bias
        return _centred(self.weight, outputs), _centred(self.bias, outputs)

    def left_out(self, x: Tensor, step_in: Tensor) -> Tensor:
        r"""Return what the outputs of each group have in common and `shipped` lacks, [B, d, 1].

        .. math:: V_j = s_{in} \bar w_j (x - z_{in}) + \bar b_j

        Gradients of the latent weights go straight through `forward`, as if nothing were taken out;
        here they only go back to what was received.

        Args:
            x: received counts, [B, fan_in].
            step_in: value of one received count, scalar.
        """
        weight, bias = (
            _means(y.detach(), self.spec.centred).float() for y in (self.weight, self.bias)
        )
        common = (x - self.spec.zero_in).float() @ weight.T * step_in + bias
        return common.unsqueeze(-1)

    def forward(self, x: Tensor, log_step_in: Tensor, q: LayerIntegers) -> Tensor:
        """Return emitted counts, or the integers of a readout, in a float type that holds them.

        Args:
            x: received counts, [B, fan_in] or [B, C, H, W], any float type.
            log_step_in: logarithm of the value of one received count, scalar.
            q: the layer's integers.
        """
        x = x.to(q.weight.dtype)
        if self.log_step is None:
            parameters: tuple[Tensor, ...] = self.weight, self.bias
            node: type[torch.autograd.Function] = _Readout
        else:
            parameters = self.weight, self.bias, self.log_step
            node = _Spike
        out: Tensor = node.apply(x, *parameters, log_step_in, (self, q))  # type: ignore[no-untyped-call]
        return out

    def forward_real(self, x: Tensor, zero: Tensor | float = 0.0, *, whole: bool = False) -> Tensor:
        """Return the layer's real-valued output, not quantized: what float training uses.

        Args:
            x: received counts times the value of one, shaped as for `forward`.
            zero: what stands for zero in `x`; a convolution pads with count 0, which is below it.
            whole: with what a centred readout leaves out.
        """
        weight, bias = (self.weight, self.bias) if whole else self.shipped()
        bias = bias - zero * weight.flatten(1).sum(1)
        y = self.sum(x, weight)
        y = y + per_channel(bias, y)
        return y if self.spec.is_readout else F.relu(y)

    def sum(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted sums of the inputs."""
        raise NotImplementedError

    def sum_backward(
        self, grad: Tensor, x: Tensor, weight: Tensor, *, needs_x: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Return the gradients of `sum` for `x` (None unless `needs_x`) and for `weight`."""
        raise NotImplementedError


class QuantDense(QuantLayer):
    """Every input to every neuron; weight [C, fan_in]."""

    def __init__(self, spec: LayerSpec, units: int) -> None:
        super().__init__(spec, (units, spec.fan_in))

    def sum(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return ``x @ weight.T``, [B, C]."""
        return x @ weight.T

    def sum_backward(
        self, grad: Tensor, x: Tensor, weight: Tensor, *, needs_x: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Return both gradients of the product."""
        return grad @ weight if needs_x else None, grad.T @ x


class QuantConv2d(QuantLayer):
    """Cross-correlation; weight [C, C_in, kh, kw].

    Attributes:
        stride: in both directions.
        padding: zeros at top, left, bottom, right; `same` padding puts the odd one bottom right.
    """

    def __init__(
        self, spec: LayerSpec, filters: int, kernel: int, stride: int, padding: Padding
    ) -> None:
        super().__init__(spec, (filters, spec.fan_in // kernel**2, kernel, kernel))
        self.stride, self.padding = stride, padding

    def sum(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the cross-correlation, [B, C, H, W]."""
        return F.conv2d(self._pad(x), weight, stride=self.stride)

    def sum_backward(
        self, grad: Tensor, x: Tensor, weight: Tensor, *, needs_x: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Return both gradients of the cross-correlation."""
        top, left, _, _ = self.padding
        height, width = x.shape[2:]
        geometry = [self.stride] * 2, [0, 0], [1, 1], False, [0, 0], 1
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, self._pad(x), weight, None, *geometry, (needs_x, True, False)
        )
        if grad_x is not None:
            grad_x = grad_x[:, :, top : top + height, left : left + width]
        return grad_x, grad_weight

    def _pad(self, x: Tensor) -> Tensor:
        top, left, bottom, right = self.padding
        return F.pad(x, (left, right, top, bottom)) if any(self.padding) else x


def _means(x: Tensor, outputs: int) -> Tensor:
    """Return the mean over the rows of each group, in float64, [d, ...]."""
    return x.double().view(-1, outputs, *x.shape[1:]).mean(1)


def _centred(x: Tensor, outputs: int) -> Tensor:
    """Return what the means leave of the rows, [C, ...]."""
    return (x.double() - _means(x, outputs).repeat_interleave(outputs, 0)).float()


def _weight_grad(grad: Tensor, grad_z: Tensor, layer: QuantLayer, q: LayerIntegers) -> Tensor:
    """Straight through the rounding of the weights, with the input's zero at `zero_in`."""
    if layer.spec.zero_in:
        shift = channel_sum(grad_z) * layer.spec.zero_in
        grad = grad - shift.view(-1, *[1] * (grad.dim() - 1))
    return (grad / q.weight_scale.view(-1, *[1] * (grad.dim() - 1))).float()


Owner = tuple[QuantLayer, LayerIntegers]


class _Spike(torch.autograd.Function):
    """The staircase of a spiking layer."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 (autograd wants every differentiable input by itself)
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        log_step: Tensor,
        log_step_in: Tensor,
        of: Owner,
    ) -> Tensor:
        layer, q = of
        counts, a = fire(layer.sum(x, q.weight), q, layer.spec)
        ctx.save_for_backward(x, a, log_step)
        ctx.layer, ctx.q = layer, q
        return counts

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x, a, log_step), layer, q = ctx.saved_tensors, ctx.layer, ctx.q
        grad_z, passed, slope = unfire(grad, a, q, layer.spec)
        grad_x, grad_weight = layer.sum_backward(
            grad_z, x, q.weight, needs_x=ctx.needs_input_grad[0]
        )
        grad_log_step = (passed / 2 - slope).sum()
        grad_log_step_in = (slope - passed * (q.offset / q.threshold)).sum()
        return (
            grad_x,
            _weight_grad(grad_weight, grad_z, layer, q),
            (passed / log_step.exp()).float(),
            grad_log_step.float(),
            grad_log_step_in.float() if ctx.needs_input_grad[4] else None,
            None,
        )


class _Readout(torch.autograd.Function):
    """The membrane of the last layer, read out without spikes."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        log_step_in: Tensor,
        of: Owner,
    ) -> Tensor:
        layer, q = of
        z = layer.sum(x, q.weight)
        ctx.save_for_backward(x, z, log_step_in)
        ctx.layer, ctx.q = layer, q
        return z.to(q.bias.dtype) + q.bias

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x, z, log_step_in), layer, q = ctx.saved_tensors, ctx.layer, ctx.q
        grad = grad.to(x.dtype)
        grad_x, grad_weight = layer.sum_backward(grad, x, q.weight, needs_x=ctx.needs_input_grad[0])
        unit = q.weight_scale[0] * log_step_in.exp()
        grad_log_step_in = (grad * z).sum().float() if ctx.needs_input_grad[3] else None
        grad_weight = _weight_grad(grad_weight, grad, layer, q)
        return grad_x, grad_weight, (channel_sum(grad) / unit).float(), grad_log_step_in, None
