r"""Real spikes, tick by tick, fired by stock `snn.Leaky` neurons: the independent witness.

Layer-synchronous schedule: a layer first integrates the spikes of the L ticks before it, then fires
for L ticks; what fires in tick t is what the next layer integrates in tick t. Until a layer fires,
and in the readout, its membrane is a sum and needs no neuron. With beta = 1 and subtractive reset a
neuron starts from

.. math:: v = 2^F z + B + \lfloor th / 2 \rfloor + 1/2

and spikes as often as the staircase counts. Three traps of the library are avoided here:

- it compares strictly, and the half keeps every membrane off a multiple of the threshold;
- its reset comes one tick late and would eat the first spike of a membrane that starts above
  threshold, so the charge enters as current in the first tick;
- every neuron ever built stays in `SpikingNeuron.instances`, so ours are taken out at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from snntorch import Leaky, SpikingNeuron
from torch import Tensor

from rivc.errors import BackendError
from rivc.neurochip.backend import Inference, Violation, require_fit
from rivc.neurochip.limits import ChipLimits
from rivc.quant.exact import SIGNIFICAND
from rivc.snn_convert.reference import check_counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.snn_convert import Layer, SpikingProgram

    Train = list[Tensor]  # one [B, ...] frame a tick, channels first

# One bit for the half, one so that a membrane minus a threshold stays exact.
LIMITS: Final = ChipLimits(membrane_bits=SIGNIFICAND["float64"] - 2)


class SnnTorch:
    """A chip of stock snnTorch neurons; see the module."""

    name = "snntorch"
    profile = "ideal"
    limits = LIMITS

    def __init__(self) -> None:
        self._program: SpikingProgram | None = None
        self._layers: list[_Spiking | _Pool | _Flatten] = []

    def check(self, program: SpikingProgram) -> list[Violation]:
        """Return every limit that the program exceeds: only widths beyond float64 do."""
        return self.limits.violations(program)

    def load(self, program: SpikingProgram) -> None:
        """Build the neurons of a program."""
        require_fit(self, program)
        self._layers = [
            _BUILDERS[layer.kind](layer, bits)
            for layer, bits in zip(program.layers, program.membrane_bits, strict=True)
        ]
        self._program = program

    @torch.inference_mode()
    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        """Run the loaded program on unsigned counts, uint8, [B, *shape]."""
        if self._program is None:
            raise BackendError("no program is loaded on snntorch; call load(program) first")
        x = torch.from_numpy(check_counts(self._program, counts).astype(np.float32))
        train = [
            x.permute(0, 3, 1, 2) if x.dim() == 4 else x
        ]  # counts enter as current, in one tick
        spikes = []
        for layer in self._layers:
            train = layer(train)
            if layer.fires:
                spikes.append(sum(frame.flatten(1).sum(1, dtype=torch.float64) for frame in train))
        readout = train[0].long().numpy().reshape(-1, *self._program.action_layout)
        totals = [np.asarray(total, np.int64) for total in spikes]
        return Inference(readout, np.array(totals, np.int64).reshape(len(totals), len(readout)))

    def close(self) -> None:
        """Forget the program."""
        self._program, self._layers = None, []


def _leaky(threshold: Tensor) -> Leaky:
    """A stock neuron that the library does not keep alive."""
    neuron = Leaky(
        beta=1.0, threshold=threshold, reset_mechanism="subtract", surrogate_disable=True
    )
    SpikingNeuron.instances.remove(neuron)
    return neuron


class _Spiking:
    """A dense or convolution layer: integrate the incoming train, then fire for L ticks."""

    def __init__(self, layer: Layer, membrane_bits: int) -> None:
        wide = membrane_bits + 2 > SIGNIFICAND["float32"]
        self.dtype = torch.float64 if wide else torch.float32
        self.layer, self.fires = layer, not layer.is_readout
        self.weight = torch.from_numpy(layer.weight.astype(np.float64)).to(self.dtype)
        self.bias = self._per_channel(layer.bias)
        if self.fires:
            self.threshold = self._per_channel(layer.threshold)
            self.neuron = _leaky(self.threshold)

    def _per_channel(self, v: NDArray[Any]) -> Tensor:
        shape = (-1, 1, 1) if self.layer.kind == "conv2d" else (-1,)
        return torch.from_numpy(v.astype(np.float64)).to(self.dtype).view(shape)

    def __call__(self, train: Train) -> Train:
        z = sum(map(self._current, train), torch.zeros(()))  # nothing leaks before anything fires
        if not self.fires:
            return [z + self.bias]
        charge = z * 2.0**self.layer.frac_bits + self.bias + torch.floor(self.threshold / 2) + 0.5
        silence, v_mem, fired = torch.zeros_like(charge), torch.zeros_like(charge), []
        for tick in range(self.layer.levels):
            spikes, v_mem = self.neuron(charge if tick == 0 else silence, v_mem)
            fired.append(spikes)
        return fired

    def _current(self, frame: Tensor) -> Tensor:
        """What the spikes of one tick bring."""
        frame = frame.to(self.dtype)
        if self.layer.kind == "dense":
            return frame @ self.weight.T
        return F.conv2d(_pad(self.layer, frame), self.weight, stride=self.layer.stride)


class _Pool:
    """The largest count of a window: spikes come early first, so each tick takes the OR."""

    fires = False

    def __init__(self, layer: Layer, _: int) -> None:
        self.layer = layer

    def __call__(self, train: Train) -> Train:
        kernel, stride = self.layer.kernel, self.layer.stride
        return [F.max_pool2d(_pad(self.layer, frame), kernel, stride) for frame in train]


class _Flatten:
    """Height, width, channel."""

    fires = False

    def __init__(self, _: Layer, __: int) -> None:
        pass

    def __call__(self, train: Train) -> Train:
        return [frame.permute(0, 2, 3, 1).flatten(1) for frame in train]


def _pad(layer: Layer, frame: Tensor) -> Tensor:
    top, left, bottom, right = layer.padding
    return F.pad(frame, (left, right, top, bottom))


_BUILDERS: Final[dict[str, Callable[[Layer, int], _Spiking | _Pool | _Flatten]]] = {
    "dense": _Spiking,
    "conv2d": _Spiking,
    "maxpool2d": _Pool,
    "flatten": _Flatten,
}
