"""`rivc bench convert`: from parameters to a loaded chip, against building everything afresh.

Ours is what training does at every iteration: the learner freezes its network into the layers of
its last program, and the emulator loads that. The peer derives the integers in torch, builds and
validates a program, and loads it. Their programs are equal, by SHA-256, whatever the parameters
are moved to; what they are does not change what either costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from rivc.bench.acting import observations
from rivc.bench.learner import CASES
from rivc.bench.timing import Race, Report, race, versions
from rivc.errors import MismatchError
from rivc.neurochip import load_backend
from rivc.snn_convert import convert
from rivc.train import load_config
from rivc.train.learners import make_learner
from rivc.train.setup import make_encoding, make_network, make_tasks

if TYPE_CHECKING:
    from rivc.bench.learner import Case
    from rivc.train.learners import AnyLearner

MOVES: Final = 16
ROUNDS, CALLS = 20, 25


def run() -> Report:
    """Check and time every network of `rivc bench learner`; see the module."""
    torch.set_num_threads(1)
    races = tuple(_race(name.partition(", batch")[0], case) for name, case in CASES.items())
    facts = {"bits": "4", "threads": "1", "equal": f"{MOVES} programs of each, by SHA-256"}
    return Report(races, facts, versions("torch", "numba"))


def _race(name: str, case: Case) -> Race:
    config = load_config(case.config, case.overrides)
    [task] = make_tasks(config, 1)
    encoding = make_encoding(task, observations(task), "ideal")
    task.env.close()
    learner = make_learner(config, make_network(config, encoding, task.action_layout, "ideal"))
    _check(name, learner)
    chip = load_backend("emulator")
    return race(
        name,
        "afresh",
        lambda _: chip.load(learner.freeze()),
        lambda _: chip.load(convert(learner.net)),
        rounds=ROUNDS,
        calls=CALLS,
    )


@torch.no_grad()
def _check(name: str, learner: AnyLearner) -> None:
    """Raise MismatchError unless both make the same programs while the parameters move."""
    torch.manual_seed(0)
    for _ in range(MOVES):
        for parameter in learner.net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        if learner.freeze().sha256 != convert(learner.net).sha256:
            raise MismatchError(f"{name}: the learner's program is not that of its network")
