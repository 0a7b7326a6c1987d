"""A program on a chip, as something that turns frames into commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from rivc.errors import ConfigError, QuantError
from rivc.snn_convert.program import greedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.neurochip import Backend
    from rivc.robot.commands import ActionTable
    from rivc.robot.protocol import Frame
    from rivc.snn_convert import SpikingProgram


class Policy(Protocol):
    """What decides, in the two stages that are timed."""

    def encode(self, observation: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the counts of one observation, uint8, [*shape]."""
        ...

    def infer(self, counts: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the command that counts lead to, before it is bounded, float64, [m]."""
        ...


@runtime_checkable
class FramePolicy(Policy, Protocol):
    """A policy whose command may come from an earlier frame than the present one.

    An answer that was long on its way is as old as the frame that was sent; the watchdog has to
    count from there.

    Attributes:
        decided_from: the frame behind the last command.
    """

    decided_from: Frame

    def see(self, frame: Frame) -> None:
        """Take in the frame whose observation is encoded next."""
        ...


class ProgramPolicy:
    """The greedy policy of a program, as the chip computes it.

    One inference is made at once, because the first is the slowest.

    Args:
        program: is loaded onto the chip.
        chip: any back end.
        actions: what the actions of the program stand for.

    Raises:
        ConfigError: if the table is of another action layout.
        ChipLimitError: if the program does not fit the chip.
        BackendError: if the chip fails.
    """

    def __init__(self, program: SpikingProgram, chip: Backend, actions: ActionTable) -> None:
        if actions.layout != program.action_layout:
            raise ConfigError(
                f"the robot's table is of {actions.layout} groups and actions, the program of "
                f"{program.action_layout}; give a row or level for each action of the program"
            )
        chip.load(program)
        self._program, self._chip, self._actions = program, chip, actions
        self.infer(np.zeros(program.encoding.shape, np.uint8))

    def encode(self, observation: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the counts of one observation.

        Raises:
            QuantError: if it is not what the program was trained on.
        """
        counts = self._program.encode(observation)
        if counts.shape != self._program.encoding.shape:
            raise QuantError(
                f"observation of shape {counts.shape} where {self._program.encoding.shape} was "
                "trained"
            )
        return counts

    def infer(self, counts: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the command of the greedy actions.

        Raises:
            BackendError: if the chip fails.
        """
        return self._actions.command(greedy(self._chip.infer(counts[None]).readout)[0])
