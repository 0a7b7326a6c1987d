"""`rivc bench learner`: whole training loops, in processor time an env step, against SB3's DQN.

Same task, network, batch and updates an env step. Ours has 4 bits, converts the network, gathers
every sample through the emulator, widens gaps, chooses by double Q, audits and records; the peer
does none of this. Both run in one process by turns: the peer takes its own whenever ours writes a
record.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from rivc.bench.timing import Race, Report, versions
from rivc.errors import MismatchError, MissingError
from rivc.train import Trainer, load_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivc.train import Config

NEVER: Final = 10**9
TOLERANCE: Final = 0.05  # of the updates: rounds of copies and iterations end where they end


@dataclass(frozen=True, slots=True)
class Case:
    """A task and a network.

    Attributes:
        config: a shipped configuration.
        overrides: of it.
        copies: of the environment in ours; a robot's simulator has as many as one likes.
        turn_env_steps: env steps of a turn.
        turns: that count, after two to warm up.
    """

    config: str
    overrides: dict[str, Any]
    copies: int = 8
    turn_env_steps: int = 1000
    turns: int = 8


SMALL: Final = Case(
    "quickstart",
    {
        "net.hidden": [64, 64],
        "train.batch_size": 32,
        "train.updates_per_env_step": 0.25,
        "train.env_steps_per_conversion": 64,
    },
    turn_env_steps=4000,  # an eighth of a second: caches are the peer's when a turn begins
    turns=10,
)
CASES: Final = {
    "CartPole 64-64, batch 32, 0.25 updates": SMALL,
    "CartPole 64-64, batch 32, 0.25 updates, 32 copies": replace(SMALL, copies=32),
    "CartPole 256-256, batch 64, 0.5 updates": Case("quickstart", {"net.hidden": [256, 256]}),
    "VisualTracker 32x32, three convolutions, batch 64, 0.25 updates": Case(
        "tracker", {}, turn_env_steps=400
    ),
}


def run() -> Report:
    """Train both, case by case; see the module."""
    torch.set_num_threads(1)
    races = [lap for name, case in CASES.items() for lap in _races(name, case)]
    facts = {
        "unit": "processor time of the process an env step",
        "threads": "1",
        "equal": "task, layers, batch, updates an env step; the last are counted",
    }
    return Report(tuple(races), facts, versions("torch", "gymnasium", "stable-baselines3", "numba"))


def _races(name: str, case: Case) -> Iterator[Race]:
    config = load_config(case.config, case.overrides | _cadences(case))
    for copies in (1, case.copies):
        turns = _Turns(case, make_peer(config, copies))
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(config, Path(folder) / "run", [turns])
            turns.trainer = trainer
            trainer.run()
        yield turns.race(name, f"SB3 DQN, {copies} env{'s' * (copies > 1)}")


def _cadences(case: Case) -> dict[str, Any]:
    """Nothing but training between two turns."""
    steps = (case.turns + 2) * case.turn_env_steps
    return {
        "train.env_steps": steps + 1000,
        "train.warmup_env_steps": 1000,
        "env.count": case.copies,
        "log.every_env_steps": case.turn_env_steps,
        "eval.every_env_steps": NEVER,
        "eval.episodes": 1,
        "checkpoint.every_env_steps": NEVER,
    }


@dataclass
class _Turns:
    """An observer of our trainer that lets the peer train as much and keeps the times."""

    case: Case
    peer: Any
    trainer: Trainer | None = None
    ours_s: list[float] = field(default_factory=list)
    peer_s: list[float] = field(default_factory=list)
    began: float = 0.0

    def __call__(self, record: dict[str, Any]) -> None:
        if self.began:
            self.ours_s.append(process_time() - self.began)
        began = process_time()
        self.peer.learn(self.case.turn_env_steps, reset_num_timesteps=False, log_interval=NEVER)
        self.peer_s.append(process_time() - began)
        self.began = process_time()

    def race(self, what: str, name: str) -> Race:
        """Compare the turns after the warm-up."""
        self._check_updates()
        count = self.case.turns
        ours, peers = (
            np.array(seconds[1:][-count:]) / self.case.turn_env_steps * 1e6
            for seconds in (self.ours_s, self.peer_s)
        )
        n = min(len(ours), len(peers))
        low, ratio, high = np.quantile(peers[-n:] / ours[-n:], [0.25, 0.5, 0.75])
        ours_us, peer_us = float(np.median(ours)), float(np.median(peers))
        return Race(what, name, ours_us, peer_us, float(ratio), (float(low), float(high)))

    def _check_updates(self) -> None:
        """Make sure that nobody learnt less, or more, than both ought to."""
        assert self.trainer is not None
        session, peer, train = self.trainer.session, self.peer, self.trainer.config.train
        gathered = session.progress.env_steps - train.warmup_env_steps
        learners = {
            "our learner": (session.learner.updates, gathered),
            "the peer": (peer._n_updates, peer.num_timesteps - peer.learning_starts),
        }
        for who, (taken, env_steps) in learners.items():
            wanted = env_steps * train.updates_per_env_step
            if abs(taken - wanted) > TOLERANCE * wanted:
                raise MismatchError(f"{who} took {taken} updates, not {wanted:.0f}")


# `rivc.compare.sb3` makes such a peer as well, and neither package may import the other. They are
# to differ: there the peer learns as ours does, with our exploration, replay and iterations,
# whatever that costs; here only the work of an env step is equal, updates come as soon as SB3 can
# take them, and the copies may be fewer than ours.


def make_peer(config: Config, copies: int) -> Any:
    """SB3's DQN with the configured network, batch and updates an env step."""
    try:
        from stable_baselines3 import DQN
        from stable_baselines3.common.env_util import make_vec_env
        from stable_baselines3.common.logger import configure
    except ModuleNotFoundError as error:
        raise MissingError("the peer is missing: pip install stable-baselines3") from error
    train, is_picture = config.train, bool(config.net.conv)
    env = make_vec_env(config.env.id, copies, env_kwargs=dict(config.env.kwargs))
    freq = max(1, round(1 / train.updates_per_env_step / copies))
    network: dict[str, Any] = {"net_arch": list(config.net.hidden)}
    if is_picture:
        network |= {
            "features_extractor_class": _extractor(),
            "features_extractor_kwargs": {"conv": config.net.conv},
        }
    model = DQN(
        "CnnPolicy" if is_picture else "MlpPolicy",
        env,
        learning_rate=train.learning_rate,
        buffer_size=20_000,
        learning_starts=500,
        batch_size=train.batch_size,
        train_freq=freq,
        gradient_steps=round(freq * copies * train.updates_per_env_step),
        target_update_interval=train.env_steps_per_target_sync,
        gamma=train.discount,
        exploration_fraction=0.1,
        policy_kwargs=network,
        device="cpu",
        seed=0,
    )
    model.set_logger(configure(None, []))
    return model


def _extractor() -> type:
    """The convolutions of our network in SB3's form.

    Even padding, which torch does within the convolution, gives as many sums as ours, of as many
    terms. In `rivc.compare.sb3_nets` weights must fit ours, so it pads as ours, in a copy of every
    picture: that would only slow the peer down here.
    """
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from torch import nn

    class Convolutions(BaseFeaturesExtractor):  # type: ignore[misc]  # untyped here
        def __init__(self, space: Any, conv: Any) -> None:
            channels, side, modules = space.shape[0], space.shape[1], []
            for filters, kernel, stride in conv:
                modules += [nn.Conv2d(channels, filters, kernel, stride, kernel // 2), nn.ReLU()]
                channels, side = filters, (side + 2 * (kernel // 2) - kernel) // stride + 1
            super().__init__(space, channels * side * side)
            self.layers = nn.Sequential(*modules, nn.Flatten())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.layers(x)
            return features

    return Convolutions
