r"""From latent real parameters to the integers of one layer.

A pure function of the parameters: the forward pass of the learner and the conversion to a program
both call it, so there is nothing that a conversion could round differently.

.. math::

    w_q = clip(rint(w / s_c)), \quad
    th_c = snap(2^F s_{out} / (s_c s_{in})), \quad
    B_c = snap(b_c th_c / s_{out} - 2^F z_{in} \sum_i w_q)

with :math:`s_c` the scale of a weight channel, :math:`s_{in}` and :math:`s_{out}` the values of one
count on either side and :math:`z_{in}` the count that stands for zero at the input. What the target
can hold of a threshold and of a bias, its profile says, and `snap_threshold` and `snap_bias` obey.
All of it is derived in float64, so that another library, which sums in another order, comes to the
same integers. Where thresholds are powers of two, the scale of the weights then moves by up to half
an octave, so that a channel keeps its gain.
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
GAUSSIAN_STEP: Final = {2: 1.224, 3: 0.651, 4: 0.354, 5: 0.194, 6: 0.106, 7: 0.057, 8: 0.031}
_TINY: Final = 1e-8
_HALF_OCTAVE: Final = 0.5**0.5


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
        centred: outputs of a group whose mean row the integers leave out; 0: none is left out.
    """

    fan_in: int
    weight_bits: int
    levels_in: int
    levels: int
    zero_in: float
    profile: ArithmeticProfile
    centred: int = 0

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
            threshold_min=self.profile.threshold_min,
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


def weight_scale(weight: Tensor, grid: Grid, *, per_tensor: bool) -> Tensor:
    """Return the real value of one weight step for each channel, [C].

    The step with the least squared error on normal weights, but none that reaches beyond the data;
    binary weights keep their mean magnitude.

    Args:
        weight: latent weights, [C, ...].
        grid: the integers they will be, 1 to 8 bits, signed.
        per_tensor: one step for all channels instead of one for each.
    """
    rows = weight.flatten(1)
    rows = rows.reshape(1, -1) if per_tensor else rows
    if grid.is_binary:
        scale = torch.linalg.vector_norm(rows, 1, 1, dtype=torch.float64) / rows.shape[1]
    else:
        norm = torch.linalg.vector_norm(rows, 2, 1, dtype=torch.float64)
        scale = torch.minimum(
            torch.linalg.vector_norm(rows, torch.inf, 1).double() / grid.q_max,
            norm * (GAUSSIAN_STEP[grid.bit_width] / rows.shape[1] ** 0.5),
        )
    one: Tensor = scale.clamp_min(_TINY).float()
    return one.expand(weight.shape[0])


def quantize_weight(weight: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    """Return the nearest weights on the grid, as integers in the type of `weight`."""
    ratio = weight / scale.view(-1, *[1] * (weight.dim() - 1))
    if grid.is_binary:
        return torch.where(ratio < 0, -1.0, 1.0)
    return ratio.round_().clamp_(grid.q_min, grid.q_max)


def snap_threshold(ideal: Tensor, profile: ArithmeticProfile, largest: int) -> Tensor:
    """Return the nearest thresholds that the profile holds, none outside the clamps.

    Args:
        ideal: real thresholds, > 0.
        profile: says which there are; among powers of two, the nearest is that of the logarithm.
        largest: the carrier's upper clamp.
    """
    if profile.threshold_grid == "any":
        return ideal.round().clamp(profile.threshold_min, largest)
    ideal = ideal.clamp(profile.threshold_min, 1 << (largest.bit_length() - 1))
    above = _next_power(ideal)
    return torch.where(ideal < _HALF_OCTAVE * above, above / 2, above)


def snap_bias(bias: Tensor, threshold: Tensor, profile: ArithmeticProfile, largest: int) -> Tensor:
    """Return the nearest integer biases that the profile holds, none beyond +-largest.

    Args:
        bias: real biases, in steps of the membrane.
        threshold: integers, of the same channels.
        profile: says which there are.
        largest: the carrier's clamp.
    """
    room, step, bits = profile.bias_room(largest), profile.bias_lattice, profile.bias_mantissa_bits
    origin = torch.zeros_like(bias)
    if profile.bias_origin == "below_half":
        origin = torch.ceil(threshold / 2) - 1
    place = (bias.clamp(-room, room) - origin) / step
    if bits is None:
        return place.round() * step + origin
    unit = (_next_power(place.abs().clamp_min(1)) / (1 << bits - 1)).clamp_min(1)
    return (place / unit).round() * unit * step + origin


def _next_power(x: Tensor) -> Tensor:
    """Return the power of two above each positive number, exactly."""
    fraction: Tensor = torch.frexp(x)[0]  # in [1/2, 1), so that the quotient is a power of two
    return x / fraction


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
    scale = weight_scale(weight, spec.grid, per_tensor=False)
    ideal = step.double() / (scale.double() * step_in.double()) * 2**spec.frac_bits
    threshold = snap_threshold(ideal, spec.profile, carrier.threshold_max)
    if spec.profile.threshold_grid != "any":  # the weights take up what the threshold cannot
        scale = scale * (ideal / threshold).clamp(_HALF_OCTAVE, 1 / _HALF_OCTAVE).to(scale.dtype)
    w_q = quantize_weight(weight, scale, spec.grid)
    real_bias = bias.double() * threshold / step.double()
    if spec.zero_in:
        real_bias -= 2**spec.frac_bits * spec.zero_in * w_q.flatten(1).sum(1).double()
    b_q = snap_bias(real_bias, threshold, spec.profile, carrier.bias_max)
    offset = b_q + torch.floor(threshold / 2)
    dtype = torch_type(carrier.dtype)
    carried = (
        w_q.to(torch_type(carrier.sum_dtype)),
        scale,
        *(x.to(dtype) for x in (threshold, b_q, offset)),
    )
    return LayerIntegers(*carried)


def readout_integers(
    spec: LayerSpec, carrier: Carrier, weight: Tensor, bias: Tensor, step_in: Tensor
) -> LayerIntegers:
    """Return the integers of a readout: one scale for all actions, so that integers compare.

    The arguments are those of `hidden_integers`; there is no step, because no count is emitted.
    """
    scale = weight_scale(weight, spec.grid, per_tensor=True)
    w_q = quantize_weight(weight, scale, spec.grid).to(torch_type(carrier.sum_dtype))
    real_bias = bias.double() / (scale.double() * step_in.double())
    real_bias -= spec.zero_in * w_q.sum(1).double()
    b_q = real_bias.round().clamp(-carrier.bias_max, carrier.bias_max).to(torch_type(carrier.dtype))
    return LayerIntegers(w_q, scale, torch.ones_like(b_q), b_q, b_q)


def torch_type(name: CarrierName) -> torch.dtype:
    """Return torch's type of this name."""
    return torch.float32 if name == "float32" else torch.float64
