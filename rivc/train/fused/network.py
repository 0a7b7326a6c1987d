"""A chain of dense layers over one vector of parameters, shared with the torch network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rivc.quant.qat import loops
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
        least: threshold.
        largest: threshold.
        room: largest bias.
    """

    grid: tuple[int, float]
    gain: float
    levels: int
    zero: float
    least: float
    largest: float
    room: float

    @classmethod
    def of(cls, layer: QuantLayer) -> Constants:
        """Read them off a torch layer."""
        spec, carrier = layer.spec, layer.carrier
        gaussian = 0.0 if spec.grid.is_binary else GAUSSIAN_STEP[spec.weight_bits]
        room = carrier.bias_max if spec.is_readout else spec.profile.bias_room(carrier.bias_max)
        return cls(
            grid=(spec.grid.q_max, gaussian),
            gain=2.0**spec.frac_bits,
            levels=spec.levels,
            zero=spec.zero_in,
            least=float(spec.profile.threshold_min),
            largest=float(carrier.threshold_max),
            room=float(room),
        )


class Dense:
    """What all layers share: parameters and gradients as views, and buffers for a pass.

    Attributes:
        own: weight, [C, I], bias, [C], and logarithm of the step, as views of the vector.
        grad: their gradients.
        out: what the last pass returned, [B, C].
    """

    def __init__(self, layer: QuantLayer, vector: Vector, batch: int) -> None:
        names = ("weight", "bias") if layer.log_step is None else ("weight", "bias", "log_step")
        parameters = {name: getattr(layer, name) for name in names}
        self.constants = Constants.of(layer)
        self.own = {name: vector.view(vector.values, p) for name, p in parameters.items()}
        self.grad = {name: vector.view(vector.grad, p) for name, p in parameters.items()}
        units, inputs = self.own["weight"].shape
        self.w_q = np.empty((units, inputs), np.float32)
        self.sums, self.scale = np.empty((2, units), np.float32)
        self.q = np.zeros((2, units), layer.carrier.dtype)  # threshold and offset
        self.out, self.cut, self.scaled = np.empty((3, batch, units), np.float32)
        self.grad_in = np.empty((batch, inputs), np.float32)
        self.unit = self.unit_in = 1.0

    def derive(self, unit_in: float) -> float:
        """Derive what a pass needs from the parameters.

        Args:
            unit_in: value of one count that is received.

        Returns:
            The value of one count that leaves, or of one integer of a readout.
        """
        raise NotImplementedError

    def forward(self, x: Floats) -> Floats:
        """Return what leaves, [B, C], for what is received, [B, I]; the next pass reuses it."""
        raise NotImplementedError

    def backward(self, x: Floats, grad: Floats) -> tuple[Floats, float]:
        """Write the gradients of the parameters.

        Args:
            x: what `forward` received.
            grad: of what it returned, [B, C]; overwritten.

        Returns:
            Gradients of what was received and of the logarithm of the value of one count.
        """
        raise NotImplementedError

    def quantize(self, *, per_tensor: bool) -> None:
        """Round the weights."""
        weight, grid = self.own["weight"], self.constants.grid
        kernels.weight_scales(weight, grid, per_tensor, self.scale)
        kernels.quantize_weights(weight, self.scale, grid, self.w_q, self.sums)

    def centred(self, x: Floats) -> Floats:
        """Return what is received less the count that stands for zero."""
        return x - np.float32(self.constants.zero) if self.constants.zero else x


class Spiking(Dense):
    """A layer of counts."""

    def derive(self, unit_in: float) -> float:
        """Derive weights, thresholds and offsets."""
        self.quantize(per_tensor=False)
        c, self.unit = self.constants, math.exp(self.own["log_step"])
        steps, limits = (self.unit, unit_in), (c.gain, c.zero, c.least, c.largest, c.room)
        bias = self.own["bias"]
        kernels.hidden_thresholds(bias, steps, self.sums, self.scale, limits, self.q)
        return self.unit

    def forward(self, x: Floats) -> Floats:
        """Return counts."""
        rows, c = len(x), self.constants
        counts = np.matmul(x, self.w_q.T, out=self.out[:rows])
        loops.fire(counts, self.q[0], self.q[1], (c.gain, float(c.levels)), self.cut[:rows])
        return counts

    def backward(self, x: Floats, grad: Floats) -> tuple[Floats, float]:
        """Go straight through the roundings."""
        threshold, offset = self.q
        rows, c = len(x), self.constants
        factor = (c.gain / threshold).astype(np.float32)
        passed, slope = loops.unfire(grad, self.cut[:rows], factor, c.levels + 1.0, grad)
        self.grad["log_step"] += np.float32(passed.sum() / 2 - slope.sum())
        np.multiply(passed, 1 / self.unit, out=self.grad["bias"], casting="same_kind")
        np.divide(grad, self.scale, out=self.scaled[:rows])
        np.matmul(self.scaled[:rows].T, self.centred(x), out=self.grad["weight"])
        of_step_in = float(slope.sum() - passed @ (offset / threshold))
        return np.matmul(grad, self.w_q, out=self.grad_in[:rows]), of_step_in


class Readout(Dense):
    """The last layer: integers times the value of one."""

    def derive(self, unit_in: float) -> float:
        """Derive weights and biases."""
        self.quantize(per_tensor=True)
        c, self.unit = self.constants, float(self.scale[0]) * unit_in
        kernels.readout_bias(self.own["bias"], self.unit, c.zero * self.sums, c.room, self.q[1])
        return self.unit

    def forward(self, x: Floats) -> Floats:
        """Return action values."""
        rows = len(x)
        sums = np.matmul(x, self.w_q.T, out=self.cut[:rows])
        integers = sums + self.q[1]
        np.multiply(integers, np.float32(self.unit), out=self.out[:rows], casting="same_kind")
        return self.out[:rows]

    def backward(self, x: Floats, grad: Floats) -> tuple[Floats, float]:
        """Go straight through the rounding of weights and biases."""
        rows = len(x)
        np.sum(grad, 0, out=self.grad["bias"])
        grad *= np.float32(self.unit)
        np.divide(grad, self.scale, out=self.scaled[:rows])
        np.matmul(self.scaled[:rows].T, self.centred(x), out=self.grad["weight"])
        of_step_in = float(np.vdot(grad, self.cut[:rows]))
        return np.matmul(grad, self.w_q, out=self.grad_in[:rows]), of_step_in


class Real(Dense):
    """A layer of float training, which ignores the chip; the readout lets negative values pass."""

    def derive(self, unit_in: float) -> float:
        """Return what a conversion would make of the layer's unit; the pass only needs the input's.

        The margin is counted in steps of the readout, in float training too.
        """
        self.unit_in = unit_in
        if self.constants.levels:
            return math.exp(self.own["log_step"])
        kernels.weight_scales(self.own["weight"], self.constants.grid, True, self.scale)
        return float(self.scale[0]) * unit_in

    def forward(self, x: Floats) -> Floats:
        """Return real values."""
        y = np.matmul(self._real(x), self.own["weight"].T, out=self.out[: len(x)])
        y += self.own["bias"]
        if self.constants.levels:
            np.maximum(y, 0, out=y)
        return y

    def backward(self, x: Floats, grad: Floats) -> tuple[Floats, float]:
        """Send gradients back where something left."""
        if self.constants.levels:
            grad *= self.out[: len(x)] > 0
        np.sum(grad, 0, out=self.grad["bias"])
        np.matmul(grad.T, self._real(x), out=self.grad["weight"])
        return np.matmul(grad, self.own["weight"], out=self.grad_in[: len(x)]), 0.0

    def _real(self, x: Floats) -> Floats:
        """What is received, in real values: counts in the first layer only, where zero is not 0."""
        return self.centred(x) * np.float32(self.unit_in) if self.constants.zero else x


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
        self.vector, self.action_layout = Vector(net), net.action_layout
        self.layers: list[Dense] = [
            _kind(layer, net)(layer, self.vector, batch) for layer, _ in net.chain()
        ]
        self.unit = 1.0
        self._unit_in = math.exp(float(net.input_log_step))

    def derive(self) -> None:
        """Derive all integers from the parameters as they are now."""
        unit = self._unit_in
        for layer in self.layers:
            unit = layer.derive(unit)
        self.unit = unit

    def forward(self, x: Floats) -> Floats:
        """Return action values, float32, [B, d, n]; the next pass reuses them.

        Args:
            x: counts, float32, [B, inputs].
        """
        for layer in self.layers:
            x = layer.forward(x)
        return x.reshape(-1, *self.action_layout)

    def backward(self, x: Floats, grad_q: Floats) -> None:
        """Write the gradient of a loss into `vector.grad`.

        Args:
            x: counts, the leading rows of what `forward` received, [B, inputs].
            grad_q: of the action values of these rows, [B, d, n]; overwritten.
        """
        rows = len(x)
        grad = grad_q.reshape(rows, -1)
        received = [x, *(layer.out[:rows] for layer in self.layers[:-1])]
        for i in reversed(range(len(self.layers))):
            grad, of_step_in = self.layers[i].backward(received[i], grad)
            if i:
                self.layers[i - 1].grad["log_step"][...] = of_step_in


def _kind(layer: QuantLayer, net: QNetwork) -> type[Dense]:
    if not net.quantized:
        return Real
    return Readout if layer.spec.is_readout else Spiking
