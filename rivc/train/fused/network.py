"""A chain of dense layers over one vector of parameters, shared with the torch network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rivc.quant.qat.integers import GAUSSIAN_STEP
from rivc.train.fused import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.nets import QNetwork
    from rivc.quant.qat import QuantLayer

    Floats = NDArray[Any]


class Vector:
    """Every parameter of a network in one float32 vector, weights and biases first.

    The torch parameters become views of it, so that whatever changes one changes the other.

    Attributes:
        values: the vector, [P].
        grad: gradient of a loss, [P].
        clipped: how many leading entries are weights and biases.
        at: slice of each parameter, in the order of `net.parameters()`.
    """

    def __init__(self, net: QNetwork) -> None:
        parameters = list(net.parameters())
        clipped = net.weights_and_biases()
        owners = [*clipped, *(p for p in parameters if not any(p is other for other in clipped))]
        ends = np.cumsum([p.numel() for p in owners])
        place = {id(p): slice(end - p.numel(), end) for p, end in zip(owners, ends, strict=True)}
        self.values, self.grad = np.zeros((2, ends[-1]), np.float32)
        self.clipped = sum(p.numel() for p in clipped)
        self.at = [place[id(p)] for p in parameters]
        for parameter, at in zip(parameters, self.at, strict=True):
            view = self.values[at].reshape(parameter.shape)
            view[...] = parameter.detach().numpy()
            parameter.data = torch.from_numpy(view)
        self._place = place

    def parts(self, factor: float) -> tuple[tuple[slice, float], ...]:
        """Return the clipped part and the rest, with what their gradients are multiplied by."""
        return (slice(self.clipped), factor), (slice(self.clipped, None), 1.0)

    def view(self, vector: Floats, parameter: torch.Tensor) -> Floats:
        """Return the part of such a vector that belongs to a parameter, in its shape."""
        return np.asarray(vector[self._place[id(parameter)]].reshape(parameter.shape))


@dataclass(frozen=True, slots=True)
class Constants:
    """What the kernels need to know of a layer.

    Attributes:
        grid: largest weight, and the Gaussian step or 0 for binary weights.
        gain: 2^F.
        levels: largest count.
        zero: count that stands for zero at the input.
        limits: gain, zero, least and largest threshold, largest bias.
    """

    grid: tuple[int, float]
    gain: float
    levels: int
    zero: float
    limits: tuple[float, float, float, float, float]

    @classmethod
    def of(cls, layer: QuantLayer) -> Constants:
        """Read them off a torch layer."""
        spec, carrier = layer.spec, layer.carrier
        gaussian = 0.0 if spec.grid.is_binary else GAUSSIAN_STEP[spec.weight_bits]
        room = carrier.bias_max if spec.is_readout else spec.profile.bias_room(carrier.bias_max)
        least, largest, gain = (
            spec.profile.threshold_min,
            carrier.threshold_max,
            2.0**spec.frac_bits,
        )
        limits = gain, spec.zero_in, float(least), float(largest), float(room)
        return cls((spec.grid.q_max, gaussian), gain, spec.levels, spec.zero_in, limits)


class Layer:
    """A dense layer: its parameters and their gradients as views, its integers, its last pass.

    Attributes:
        unit: value of one count that leaves, or of one integer of a readout.
    """

    def __init__(self, layer: QuantLayer, vector: Vector, batch: int) -> None:
        self.constants, self.is_readout = Constants.of(layer), layer.log_step is None
        names = ("weight", "bias") if self.is_readout else ("weight", "bias", "log_step")
        parameters = {name: getattr(layer, name) for name in names}
        self.own = {name: vector.view(vector.values, p) for name, p in parameters.items()}
        self.grad = {name: vector.view(vector.grad, p) for name, p in parameters.items()}
        weight, units = self.own["weight"], len(self.own["bias"])
        self.w_q = np.empty_like(weight)
        self.sums, self.scale, self._per_neuron = np.empty((3, units), np.float32)
        self.q = np.zeros((2, units), layer.carrier.dtype)  # threshold and offset
        self.counts, self._a, self._scaled = np.empty((3, batch, units), np.float32)
        self._grad_in = np.empty((batch, weight.shape[1]), np.float32)
        self.unit = 1.0

    def derive(self, unit_in: float) -> float:
        """Derive the integers from the parameters, and return `unit`.

        Args:
            unit_in: value of one count that is received.
        """
        c, weight, bias = self.constants, self.own["weight"], self.own["bias"]
        kernels.weight_scales(weight, c.grid, self.is_readout, self.scale)
        kernels.quantize_weights(weight, self.scale, c.grid, self.w_q, self.sums)
        if self.is_readout:
            self.unit = float(self.scale[0]) * unit_in
            kernels.readout_bias(bias, self.unit, c.zero * self.sums, c.limits[-1], self.q[1])
        else:
            self.unit = math.exp(self.own["log_step"])
            units = self.unit, unit_in
            kernels.hidden_thresholds(bias, units, self.sums, self.scale, c.limits, self.q)
        return self.unit

    def forward(self, x: Floats) -> Floats:
        """Return counts, or the weighted sums of a readout, [B, C]; the next pass reuses them."""
        rows, c = len(x), self.constants
        counts = self.counts[:rows]
        np.matmul(x, self.w_q.T, out=counts)
        if not self.is_readout:
            kernels.fire(counts, self.q, c.gain, c.levels, self._a[:rows])
        return counts

    def backward(self, x: Floats, grad: Floats) -> tuple[Floats, float]:
        """Write the gradients of the parameters.

        Args:
            x: what `forward` received.
            grad: of what it returned, [B, C]; overwritten.

        Returns:
            Gradients of the counts received and of the logarithm of the value of one of them.
        """
        rows, c = len(x), self.constants
        scaled = self._scaled[:rows]
        if self.is_readout:
            np.divide(grad, self.scale, out=scaled)
            np.sum(grad, 0, out=self._per_neuron)
            of_step_in = float(np.vdot(grad, self.counts[:rows]))
        else:
            staircase = (self.q, self.scale, c.gain, c.levels)
            of_step, of_step_in = kernels.unfire(
                grad, self._a[:rows], staircase, self._per_neuron, scaled
            )
            self.grad["log_step"] += np.float32(of_step)
        np.multiply(self._per_neuron, np.float32(1 / self.unit), out=self.grad["bias"])
        np.matmul(scaled.T, x - np.float32(c.zero) if c.zero else x, out=self.grad["weight"])
        return np.matmul(grad, self.w_q, out=self._grad_in[:rows]), of_step_in


class FusedNet:
    """A Q-network of dense layers on one vector.

    Args:
        net: the torch network; its parameters become views.
        batch: rows of the largest pass.

    Attributes:
        vector: all parameters.
        layers: from the input to the readout.
        unit: value of one readout integer.
    """

    def __init__(self, net: QNetwork, batch: int) -> None:
        self.vector = Vector(net)
        self.layers = [Layer(layer, self.vector, batch) for layer, _ in net.chain()]
        self.action_layout = net.action_layout
        self.unit = np.float32(1.0)
        self._unit_in = math.exp(float(net.input_log_step))
        self._q = np.empty((batch, math.prod(net.action_layout)), np.float32)

    def derive(self) -> None:
        """Derive all integers from the parameters as they are now."""
        unit = self._unit_in
        for layer in self.layers:
            unit = layer.derive(unit)
        self.unit = np.float32(unit)

    def forward(self, x: Floats) -> Floats:
        """Return action values, float32, [B, d, n]; the next pass reuses them.

        Args:
            x: counts, float32, [B, inputs].
        """
        for layer in self.layers:
            x = layer.forward(x)
        q = self._q[: len(x)]
        np.multiply(x + self.layers[-1].q[1], self.unit, out=q, casting="same_kind")
        return q.reshape(-1, *self.action_layout)

    def backward(self, x: Floats, grad_q: Floats) -> None:
        """Write the gradient of a loss into `vector.grad`.

        Args:
            x: counts, the leading rows of what `forward` received, [B, inputs].
            grad_q: of the action values of these rows, [B, d, n].
        """
        rows = len(x)
        grad = grad_q.reshape(rows, -1) * self.unit
        received = [x, *(layer.counts[:rows] for layer in self.layers[:-1])]
        for i in reversed(range(len(self.layers))):
            grad, of_step_in = self.layers[i].backward(received[i], grad)
            if i:
                self.layers[i - 1].grad["log_step"][...] = of_step_in
