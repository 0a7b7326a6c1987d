"""The usual way to simulate a spiking network: a loop over ticks of stock `snn.Leaky` neurons.

It is the peer of `rivc bench spikes` and knows nothing of counts. Layers fire in the
layer-synchronous schedule, so that the outputs are the program's own integers. As in the library's
tutorials every layer is called at every tick, the first one too, which gets the observation as
current in the first tick and silence after it; `lean` spares it the silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from snntorch import Leaky, SpikingNeuron
from torch import Tensor, nn

from rivc.neurochip.floats import sum_type
from rivc.quant.exact import SIGNIFICAND

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert import Layer, SpikingProgram


class LeakyLoop:
    """A program as stock neurons and the usual loop.

    Args:
        program: dense, conv2d and flatten layers.
        lean: call the first layer once and not at every tick.
    """

    def __init__(self, program: SpikingProgram, *, lean: bool = False) -> None:
        self.silent_frames = 0 if lean else program.layers[0].levels - 1
        self.layout = program.action_layout
        self.stages = [
            _Flatten() if layer.kind == "flatten" else _Stage(layer, levels_in, bits)
            for layer, levels_in, bits in zip(
                program.layers, program.levels_in, program.membrane_bits, strict=True
            )
        ]

    @torch.inference_mode()
    def __call__(self, counts: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the readout of counts, uint8 [B, *shape], as integers [B, d, n]."""
        x = torch.from_numpy(counts).float()
        x = x.permute(0, 3, 1, 2) if x.dim() == 4 else x
        train = [x, *[torch.zeros_like(x)] * self.silent_frames]
        for stage in self.stages:
            train = stage(train)
        return np.asarray(train[0].long().numpy().reshape(-1, *self.layout))


class _Stage:
    """A layer of synapses and a layer of neurons, each in the narrowest exact float type."""

    def __init__(self, layer: Layer, levels_in: int, membrane_bits: int) -> None:
        wide = membrane_bits + 2 > SIGNIFICAND["float32"]
        self.dtype = torch.float64 if wide else torch.float32
        self.sums = torch.float32 if sum_type(layer, levels_in) == np.float32 else torch.float64
        self.layer = layer
        self.synapses = (self._tensor(layer.weight) * 2.0**layer.frac_bits).to(self.sums)
        shape = (-1, 1, 1) if layer.kind == "conv2d" else (-1,)
        self.charge = self._tensor(layer.bias).view(shape)
        self.neurons: nn.Module | None = None
        if layer.levels:
            threshold = self._tensor(layer.threshold).view(shape)
            self.charge = self.charge + torch.floor(threshold / 2) + 0.5
            self.neurons = Leaky(beta=1.0, threshold=threshold, reset_mechanism="subtract")
            SpikingNeuron.instances.remove(self.neurons)

    def _tensor(self, values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(values.astype(np.float64)).to(self.dtype)

    def __call__(self, train: list[Tensor]) -> list[Tensor]:
        current = self.charge
        for frame in train:
            current = current + self._synapses(frame.to(self.sums))
        if self.neurons is None:
            return [current]
        silence, v_mem, fired = torch.zeros_like(current), torch.zeros_like(current), []
        for tick in range(self.layer.levels):
            spikes, v_mem = self.neurons(current if tick == 0 else silence, v_mem)
            fired.append(spikes)
        return fired

    def _synapses(self, frame: Tensor) -> Tensor:
        if self.layer.kind == "dense":
            return F.linear(frame, self.synapses)
        top, left, bottom, right = self.layer.padding
        padded = F.pad(frame, (left, right, top, bottom))
        return F.conv2d(padded, self.synapses, stride=self.layer.stride)


class _Flatten:
    def __call__(self, train: list[Tensor]) -> list[Tensor]:
        return [frame.permute(0, 2, 3, 1).flatten(1) for frame in train]
