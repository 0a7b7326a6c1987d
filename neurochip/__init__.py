"""Chips, real and emulated, that run a `SpikingProgram`.

A chip is one small class with the methods of `Backend`. `load_backend` finds it by name: built in,
or registered by another package under the entry point group `rivc.backends`.
"""

from rivc.neurochip.backend import Backend, Inference, Violation
from rivc.neurochip.cost import count_synops, measure_cost
from rivc.neurochip.limits import ChipLimits
from rivc.neurochip.registry import BackendInfo, backend_infos, backend_names, load_backend

__all__ = [
    "Backend",
    "BackendInfo",
    "ChipLimits",
    "Inference",
    "Violation",
    "backend_infos",
    "backend_names",
    "count_synops",
    "load_backend",
    "measure_cost",
]
