"""The frozen `SpikingProgram`, how a network becomes one, and what it means, in int64.

`convert` needs torch and is loaded when it is first asked for; everything else runs on numpy alone.
"""

from typing import TYPE_CHECKING

from rivc.snn_convert import reference
from rivc.snn_convert.program import Layer, SpikingProgram, greedy

if TYPE_CHECKING:
    from rivc.snn_convert.freeze import convert

__all__ = ["Layer", "SpikingProgram", "convert", "greedy", "reference"]


def __getattr__(name: str) -> object:
    if name == "convert":
        from rivc.snn_convert.freeze import convert

        return convert
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
