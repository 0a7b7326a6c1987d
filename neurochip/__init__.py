"""Chips, real and emulated, that run a `SpikingProgram`.

A chip is one small class with the methods of `Backend`. `load_backend` finds it by name: built in,
or registered by another package under the entry point group `rivc.backends`.
"""

from rivc.neurochip.acting import Actor
from rivc.neurochip.backend import (
    Backend,
    Inference,
    Violation,
    is_exact,
    require_fit,
    spikes_are_counts,
)
from rivc.neurochip.cost import count_synops, measure_cost
from rivc.neurochip.guard import Guarded, StandIn
from rivc.neurochip.limits import ChipLimits
from rivc.neurochip.registry import BackendInfo, backend_infos, backend_names, load_backend
from rivc.neurochip.states import random_states

__all__ = [
    "Actor",
    "Backend",
    "BackendInfo",
    "ChipLimits",
    "Guarded",
    "Inference",
    "StandIn",
    "Violation",
    "backend_infos",
    "backend_names",
    "count_synops",
    "is_exact",
    "load_backend",
    "measure_cost",
    "random_states",
    "require_fit",
    "spikes_are_counts",
]
