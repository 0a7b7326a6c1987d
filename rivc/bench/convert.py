"""`rivc bench convert`: from parameters to a loaded chip, against building everything afresh.

Both start from the same parameters, which are moved before every call. Ours is what training does
at every iteration: the learner freezes them into the layers of its last program, and the emulator
loads it. The peer derives the integers in torch, builds and validates a program, and loads it onto
another emulator. Their programs are equal by SHA-256.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from rivc.bench.learner import CASES
from rivc.bench.timing import Race, Report, race, versions
from rivc.errors import MismatchError
from rivc.neurochip import load_backend
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import convert
from rivc.train import load_config
from rivc.train.learners import make_learner
from rivc.train.setup import make_network, make_tasks

if TYPE_CHECKING:
    from rivc.bench.learner import Case

ROUNDS, CALLS = 20, 25
MOVES: Final = 16  # sets of parameters


def run() -> Report:
    """Check and time every network of `rivc bench learner`; see the module."""
    torch.set_num_threads(1)
    races = tuple(_race(name.partition(", batch")[0], case) for name, case in CASES.items())
    facts = {"bits": "4", "threads": "1", "equal": f"programs, by SHA-256, {MOVES} a network"}
    return Report(races, facts, versions("torch", "numba"))
