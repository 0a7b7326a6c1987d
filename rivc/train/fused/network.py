"""A network on flat arrays, its parameters shared with the torch network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from rivc.errors import QuantError
from rivc.quant import weighing
from rivc.quant.qat import QuantConv2d
from rivc.quant.qat.integers import GAUSSIAN_STEP
from rivc.quant.windows import windows_of
from rivc.train.fused.backward import backward
from rivc.train.fused.chain import LAYER, Chain, returned
from rivc.train.fused.forward import derive, forward, freeze

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.nets import QNetwork
    from rivc.quant.qat import QuantLayer
    from rivc.snn_convert.program import LayerArrays

    Floats = NDArray[Any]
    Place = tuple[slice, slice, slice, tuple[int, ...]]


LINE: Final = 64  # bytes of a line of the cache
CACHED: Final = 1 << 17  # inputs of the windows of the states that are passed on together
TALL: Final = 4  # of which there are a multiple


def aligned(shape: Any, dtype: Any = np.float32) -> NDArray[Any]:
    """Return zeros that begin with a line of the cache: across two, a register takes longer."""
    room = np.zeros(int(np.prod(shape)) * np.dtype(dtype).itemsize + LINE, np.uint8)
    first = -room.ctypes.data % LINE
    return np.ndarray(shape, dtype, room[first:])


class Vector:
    """Every parameter of a network in one float32 vector, weights and biases first.

    The torch parameters become views of it, so that whatever changes one changes the other.

    Attributes:
        values: the vector, [P].
        grad: gradient of a loss, [P].
        clipped: how many leading entries are weights and biases.
    """

    def __init__(self, net: QNetwork) -> None:
        parameters = list(net.parameters())
        clipped = net.weights_and_biases()
        owners = [*clipped, *(p for p in parameters if not any(p is other for other in clipped))]
        ends = np.cumsum([p.numel() for p in owners])
        self._place = {
            id(p): slice(end - p.numel(), end) for p, end in zip(owners, ends, strict=True)
        }
        self.values, self.grad = aligned(ends[-1]), aligned(ends[-1])
        self.clipped = sum(p.numel() for p in clipped)
        for parameter in parameters:
            view = self.view(self.values, parameter)
            view[...] = parameter.detach().numpy()
            parameter.data = torch.from_numpy(view)

    def view(self, vector: Floats, parameter: torch.Tensor) -> Floats:
        """Return the part of such a vector that belongs to a parameter, in its shape."""
        return in_torch_s_order(vector[self._place[id(parameter)]], parameter.shape)

    def first(self, parameter: torch.Tensor | None) -> int:
        """Return the first place of a parameter; -1 of none."""
        return -1 if parameter is None else int(self._place[id(parameter)].start)


def in_torch_s_order(flat: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """View numbers in a parameter's shape; filters lie as windows do, [C, kh, kw, C_in]."""
    if len(shape) < 4:
        return np.asarray(flat.reshape(shape))
    units, planes, *kernel = shape
    return np.asarray(flat.reshape(units, *kernel, planes).transpose(0, 3, 1, 2))


class FusedNet:
    """A Q-network whose passes are one compiled call each.

    Args:
        net: the torch network; its parameters become views.
        rows: of the largest pass.
        kept: leading ones that a way back may follow; by default, all.

    Raises:
        QuantError: if a layer of integers has sums that float32 does not hold.

    Attributes:
        vector: all parameters.
        chain: all arrays, for the compiled loops.
    """

    def __init__(self, net: QNetwork, rows: int, kept: int | None = None) -> None:
        self.vector, self.action_layout = Vector(net), net.action_layout
        layers = _records(net, self.vector)
        self._places = _places(layers, net)
        last = layers[-1]
        rows_of, units, inputs = layers["windows"], layers["units"], layers["inputs"]
        block, kept = _block(layers, rows), rows if kept is None else kept
        left = (kept + block) * int((rows_of * units).sum())
        geometry, words = layers["geometry"], layers["words"] * layers["width"]
        widest = int((geometry["padded_lines"] * geometry["padded_length"]).max())
        is_wide = any(layer.carrier.dtype == "float64" for layer, _ in net.chain())
        self.chain = Chain(
            layers=layers,
            kept=kept,
            block=block,
            values=self.vector.values,
            grad=self.vector.grad,
            w_q=aligned(int((units * inputs).sum()) + weighing.WIDE),  # read behind
            floats=aligned(int(words[~layers["over_bytes"]].sum())),
            packed=aligned(int(words[layers["over_bytes"]].sum()), np.int32),
            scale=aligned((2, int(units.sum()))),
            q=np.ones((2, int(units.sum())), np.float64 if is_wide else np.float32),
            unit=np.full(len(layers) + 1, math.exp(float(net.input_log_step))),
            received=aligned(block * math.prod(net.encoding.shape)),
            out=aligned(left),
            cut=aligned(left),
            returned=aligned(rows * last["units"]),
            room=aligned(block * int((rows_of * inputs).max())),
            padded=aligned(block * widest),
            counts=aligned(block * widest + weighing.SLACK, np.uint8),
            back=aligned((2, block * int((rows_of * np.maximum(units, inputs)).max()))),
            rest=aligned(last["units"] * (last["inputs"] + 1)),
            common=aligned(last["groups"] * (last["inputs"] + 1)),
        )

    @property
    def unit(self) -> float:
        """Value of one readout integer, a float32 as in `QNetwork.readout_scale`."""
        with np.errstate(over="ignore"):  # no program is made of what is not finite
            return float(np.float32(self.chain.unit[-1]))

    def derive(self) -> None:
        """Derive all integers from the parameters as they are now."""
        derive(self.chain)

    def forward(self, x: Floats) -> Floats:
        """Return action values, float32, [B, d, n]; the next pass reuses them.

        Args:
            x: counts, uint8, [B, inputs].
        """
        forward(self.chain, x)
        q = returned(self.chain, len(x))
        return np.asarray(q.reshape(-1, *self.action_layout))

    def backward(self, x: NDArray[np.uint8], grad_q: Floats) -> None:
        """Write the gradient of a loss into `vector.grad`.

        Args:
            x: leading rows of the last pass, [B, inputs].
            grad_q: gradient of their action values, [B, d, n].
        """
        backward(self.chain, x, grad_q)

    def freeze(self) -> list[LayerArrays] | None:
        """Derive all integers and return those of each layer, in the types of a program.

        Returns:
            Weights, biases and thresholds; None if a parameter, or what follows, is not finite.
        """
        units = self.chain.q.shape[1]
        weight = np.empty(len(self.chain.w_q), np.int8)
        bias, threshold = np.empty(units, np.int32), np.empty(units, np.int32)
        if not freeze(self.chain, weight, bias, threshold):
            return None
        return [
            (in_torch_s_order(weight[synapses], shape), bias[channels], threshold[firing])
            for synapses, channels, firing, shape in self._places
        ]


def _places(layers: NDArray[np.void], net: QNetwork) -> list[Place]:
    """Where weights, biases and thresholds of each layer lie; a readout has no thresholds."""
    places = []
    for record, (layer, _) in zip(layers, net.chain(), strict=True):
        first, channel, units = (int(record[name]) for name in ("synapses", "channels", "units"))
        channels = slice(channel, channel + units)
        firing = channels if record["levels"] else slice(0)
        synapses = slice(first, first + layer.weight.numel())
        places.append((synapses, channels, firing, tuple(layer.weight.shape)))
    return places


def _block(layers: NDArray[np.void], rows: int) -> int:
    """Return how many states a pass takes at a time."""
    if layers["geometry"]["is_row"].all():
        return rows
    numbers = int((layers["windows"] * layers["inputs"]).max())
    return min(rows, max(1, CACHED // numbers // TALL) * TALL)


def _records(net: QNetwork, vector: Vector) -> NDArray[np.void]:
    """Say of each layer where its arrays lie and what the loops need to know of it."""
    records = np.zeros(sum(1 for _ in net.chain()), LAYER)
    synapses = channels = neurons = packed = 0
    over_bytes = weighing.BYTES_ARE_FAST and net.quantized
    shape = net.encoding.shape
    for i, (record, (layer, _)) in enumerate(zip(records, net.chain(), strict=True)):
        if net.quantized:
            _require_float32(layer, i)
        units = len(layer.weight)
        places = {
            "units": units,
            "inputs": layer.spec.fan_in,
            "is_real": not net.quantized,
            "weight": vector.first(layer.weight),
            "bias": vector.first(layer.bias),
            "log_step": vector.first(layer.log_step),
            "synapses": synapses,
            "over_bytes": over_bytes,
            "packed": packed,
            "channels": channels,
            "neurons": neurons,
        }
        windows, shape = _windows(layer, shape, 4 if over_bytes else 1)
        for name, value in (places | windows | _constants(layer)).items():
            record[name] = value
        synapses, channels = synapses + layer.weight.numel(), channels + units
        neurons += units * int(record["windows"])
        packed += int(record["words"] * record["width"])
    return records


def _require_float32(layer: QuantLayer, i: int) -> None:
    """Raise unless sums are exact: the loops take them in float32, in any order."""
    if layer.carrier.sum_dtype != "float32":
        raise QuantError(
            f"sums of layer {i} need {layer.carrier.sum_dtype} and the fused learner takes them in "
            "float32; set train.learner=torch, or fewer bits or inputs"
        )


def _windows(
    layer: QuantLayer, shape: tuple[int, ...], each: int
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Return what `LAYER` says of windows of pictures of a shape, and the shape that follows.

    Weights are packed in words of `each` inputs.
    """
    units = len(layer.weight)
    geometry = windows_of((layer.spec.fan_in,))
    if isinstance(layer, QuantConv2d):
        _, _, kernel, side = layer.weight.shape
        geometry = windows_of(shape, (kernel, side), layer.stride, layer.padding)
    down, across = int(geometry["down"]), int(geometry["across"])
    words, width = weighing.packed_shape(
        int(geometry["kernel"]), int(geometry["line"]), units, each
    )
    found = {"geometry": geometry, "windows": down * across, "words": words, "width": width}
    return found | {"sums": windows_of((units,))}, (down, across, units)


def _constants(layer: QuantLayer) -> dict[str, float]:
    """Numbers that an update does not change."""
    spec, carrier = layer.spec, layer.carrier
    most, profile = carrier.bias_max, spec.profile
    return {
        "q_max": spec.grid.q_max,
        "gaussian": 0.0 if spec.grid.is_binary else GAUSSIAN_STEP[spec.weight_bits],
        "gain": 2.0**spec.frac_bits,
        "levels": spec.levels,
        "zero": spec.zero_in,
        "least": profile.threshold_min,
        "largest": carrier.threshold_max,
        "groups": layer.weight.shape[0] // spec.centred if spec.centred else 0,
        "bias_max": most if spec.is_readout else profile.bias_room(most),
    }
