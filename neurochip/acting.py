"""From one observation to an action, as a robot asks for it: the emulator without a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.neurochip.emulator import Emulator
from rivc.snn_convert.program import greedy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rivc.snn_convert import SpikingProgram

_REALS: Final = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
_BYTES: Final = frozenset({np.dtype(np.uint8)})


class Actor:
    r"""The greedy policy of a program: call it with an observation.

    .. math:: a_g = argmax_j r_{gj}(x), \quad x = encode(observation)

    with the readout r of the definition and the lowest index on ties. Encoding, layers and argmax
    are one compiled call where `Emulator` has one; what this call does not take goes through
    `Emulator.infer`. One thread at a time: the observation is copied to the same place.

    Args:
        program: the policy.
        compiled: take the compiled loops; by default, where numba works.

    Raises:
        ChipLimitError: if the program has membranes beyond float64.
        MissingError: if compiled loops are asked for and numba does not work here.

    Example:
        >>> from rivc.neurochip import Actor
        >>> from rivc.quant.encoding import InputEncoding
        >>> from rivc.snn_convert import Layer, SpikingProgram
        >>> readout = Layer("dense", np.eye(3, dtype=np.int8), np.zeros(3, np.int32), weight_bits=2)
        >>> encoding = InputEncoding.over_range([0, 0, 0], [1, 1, 1], bit_width=8)
        >>> act = Actor(SpikingProgram(encoding, (readout,), 1.0, (1, 3), "ideal"))
        >>> act([0.1, 0.9, 0.3])
        array([1])
    """

    def __init__(self, program: SpikingProgram, *, compiled: bool | None = None) -> None:
        self._program, self._chip = program, Emulator(compiled=compiled)
        self._chip.load(program)
        self._shape, self._groups = program.encoding.shape, program.action_layout[0]
        is_image = program.encoding.kind == "image"
        self._seen = np.zeros(self._shape, np.uint8 if is_image else np.float64)
        self._types = _BYTES if is_image else _REALS
        self._act = self._chip.act
        self(self._seen)  # compiles

    def __call__(self, observation: ArrayLike) -> NDArray[np.int64]:
        """Return the greedy action of each group, int64, [d].

        Args:
            observation: shape [*shape]; uint8 for images, real for vectors.

        Raises:
            QuantError: if the shape or the type of an image is wrong, or a value is NaN.
        """
        x = np.asarray(observation)
        if self._act is not None and x.dtype in self._types and x.shape == self._shape:
            self._seen[...] = x
            actions = np.empty(self._groups, np.int64)
            if self._act(self._seen, actions):
                return actions
        return self._long_way(x)

    def _long_way(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """Encode, infer, choose: for any program, and to say what is wrong with an observation."""
        counts = self._program.encode(x)
        return np.asarray(greedy(self._chip.infer(counts[None]).readout)[0])
