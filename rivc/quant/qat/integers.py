r"""From latent real parameters to the integers of one layer.

A pure function of the parameters: the forward pass of the learner and the conversion to a program
both call it, so there is nothing that a conversion could round differently.

.. math::

    w_q = clip(rint(w / s_c)), \quad
    th_c = clip(rint(2^F s_{out} / (s_c s_{in}))), \quad
    B_c = snap(rint(b_c th_c / s_{out} - 2^F z_{in} \sum_i w_q))

with :math:`s_c` the scale of a weight channel, :math:`s_{in}` and :math:`s_{out}` the values of one
count on either side and :math:`z_{in}` the count that stands for zero at the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from rivc.quant.exact import Carrier, CarrierName, choose_carrier
from rivc.quant.grid import Grid

if TYPE_CHECKING:
    from rivc.quant.profile import ArithmeticProfile

# Step of the uniform quantizer with the least squared error on a normal distribution, over its
# standard deviation (Max, 1960, for an odd number of levels).
_GAUSSIAN_STEP: Final = {2: 1.224, 3: 0.651, 4: 0.354, 5: 0.194, 6: 0.106, 7: 0.057, 8: 0.031}
_TINY: Final = 1e-8


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """What is fixed about a layer when the network is built.

    Attributes:
        fan_in: inputs of one neuron.
        weight_bits: width of a weight.
        levels_in: largest count that enters.
        levels: largest count that leaves; 0 for the readout.
        zero_in: count that stands for zero at the input; not 0 in the first layer only.
        profile: the target's arithmetic.
    """

    fan_in: int
    weight_bits: int
    levels_in: int
    levels: int
    zero_in: float
    profile: ArithmeticProfile

    @property
    def is_readout(self) -> bool:
        """True for the layer that gives action values instead of spikes."""
        return self.levels == 0

    @property
    def frac_bits(self) -> int:
        """F; a readout has no threshold to resolve, so none."""
        return 0 if self.is_readout else self.profile.frac_bits

    @property
    def grid(self) -> Grid:
        """The integers a weight may be."""
        return Grid(self.weight_bits)

    def carrier(self) -> Carrier:
        """The float type that carries the layer exactly, with the clamps that keep it so."""
        return choose_carrier(
            drive=self.fan_in * self.grid.q_max * self.levels_in,
            levels=self.levels,
            frac_bits=self.frac_bits,
            threshold_max=self.profile.threshold_max,
            bias_max=self.profile.bias_max,
        )


@dataclass(frozen=True, slots=True, eq=False)
class LayerIntegers:
    """The integers of a layer, carried in its float types.

    Attributes:
        weight: shape of the latent weight.
        weight_scale: real value of one weight step; [C], equal entries in a readout.
        threshold: [C]; ones in a readout.
        bias: [C].
        offset: bias + floor(threshold / 2), what is added before dividing; the bias in a readout.
    """

    weight: Tensor
    weight_scale: Tensor
    threshold: Tensor
    bias: Tensor
    offset: Tensor


def weight_scale(weight: Tensor, bits: int, *, per_tensor: bool) -> Tensor:
    """Return the scale of each channel, [C]: the best for normal weights, never beyond the data.

    Binary weights keep their mean magnitude.
    """
    rows = weight.flatten(1)
    rows = rows.reshape(1, -1) if per_tensor else rows
    magnitude = rows.abs()
    if bits == 1:
        scale = magnitude.mean(1)
    else:
        scale = torch.minimum(
            magnitude.amax(1) / Grid(bits).q_max,
            rows.square().mean(1).sqrt() * _GAUSSIAN_STEP.get(bits, 0.031),
        )
    return scale.clamp_min(_TINY).expand(weight.shape[0])


def quantize_weight(weight: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    """Return the nearest weights on the grid, as integers in the type of `weight`."""
    ratio = weight / scale.view(-1, *[1] * (weight.dim() - 1))
    if grid.is_binary:
        return torch.where(ratio < 0, -1.0, 1.0)
    return ratio.round_().clamp_(grid.q_min, grid.q_max)


def snap(bias: Tensor, threshold: Tensor, lattice: int) -> Tensor:
    """Return the nearest integer bias on the profile's lattice."""
    if lattice == 1:
        return bias.round()
    origin = torch.ceil(threshold / 2) - 1
    return ((bias - origin) / lattice).round() * lattice + origin


def hidden_integers(
    spec: LayerSpec, carrier: Carrier, weight: Tensor, bias: Tensor, step: Tensor, step_in: Tensor
) -> LayerIntegers:
    """Return the integers of a spiking layer.

    Args:
        spec: what is fixed.
        carrier: type and clamps, `spec.carrier()`.
        weight: latent weights, [C, ...].
        bias: latent bias, [C], real.
        step: value of one emitted count, scalar.
        step_in: value of one received count, scalar.
    """
    dtype = torch_type(carrier.dtype)
    scale = weight_scale(weight, spec.weight_bits, per_tensor=False)
    w_q = quantize_weight(weight, scale, spec.grid)
    ratio = (step / (scale * step_in)).to(dtype)
    threshold = (ratio * 2**spec.frac_bits).round().clamp(2, carrier.threshold_max)
    real_bias = bias.to(dtype) * threshold / step.to(dtype)
    if spec.zero_in:
        real_bias -= 2**spec.frac_bits * spec.zero_in * w_q.flatten(1).sum(1).to(dtype)
    room = carrier.bias_max - spec.profile.bias_lattice + 1
    b_q = snap(real_bias.clamp(-room, room), threshold, spec.profile.bias_lattice)
    offset = b_q + torch.floor(threshold / 2)
    return LayerIntegers(w_q.to(torch_type(carrier.sum_dtype)), scale, threshold, b_q, offset)


def readout_integers(
    spec: LayerSpec, carrier: Carrier, weight: Tensor, bias: Tensor, step_in: Tensor
) -> LayerIntegers:
    """Return the integers of a readout: one scale for all actions, so that integers compare.

    The arguments are those of `hidden_integers`; there is no step, because no count is emitted.
    """
    scale = weight_scale(weight, spec.weight_bits, per_tensor=True)
    w_q = quantize_weight(weight, scale, spec.grid).to(torch_type(carrier.sum_dtype))
    real_bias = (bias / (scale * step_in)).to(torch_type(carrier.dtype))
    real_bias -= spec.zero_in * w_q.sum(1).to(real_bias.dtype)
    b_q = real_bias.round().clamp(-carrier.bias_max, carrier.bias_max)
    return LayerIntegers(w_q, scale, torch.ones_like(b_q), b_q, b_q)


def torch_type(name: CarrierName) -> torch.dtype:
    """Return torch's type of this name."""
    return torch.float32 if name == "float32" else torch.float64
