"""Whole training loops side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from rivc.bench import learner
from rivc.errors import MismatchError
from rivc.neurochip import load_backend
from rivc.train import load_config
from rivc.train.loop import Loop
from rivc.train.session import untrained
from rivc.train.setup import make_tasks

pytest.importorskip("stable_baselines3", reason="pip install stable-baselines3")
CASES = dict(learner.CASES)
NAME = next(iter(CASES))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    case = replace(learner.CASES[NAME], turn_env_steps=300, turns=2)
    monkeypatch.setattr(learner, "CASES", {NAME: case})


def test_both_learn_as_often_and_are_timed_turn_by_turn() -> None:
    races = learner.run().races
    assert [race.peer for race in races] == ["SB3 DQN, 1 env", "SB3 DQN, 8 envs"]
    assert all(race.ours_us > 0 < race.peer_us for race in races)


def test_a_peer_that_learns_less_often_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = learner.make_peer

    def lazy(*arguments: object) -> object:
        model = peer(*arguments)
        model.gradient_steps = 0
        return model

    monkeypatch.setattr(learner, "make_peer", lazy)
    with pytest.raises(MismatchError, match="the peer took 0 updates"):
        learner.run()


def test_ours_is_not_timed_if_it_learns_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loop, "learn", lambda _: None)
    with pytest.raises(MismatchError, match="our learner took 0 updates"):
        learner.run()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_layers_of_the_peer_are_as_large_as_ours(case: learner.Case) -> None:
    config = load_config(case.config, case.overrides)
    peer = learner.make_peer(config, 1)
    layers = [m for m in peer.q_net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    [task] = make_tasks(config, 1)
    net = untrained(config, load_backend("emulator"), task).net
    ours = [layer.weight.shape for layer, _ in net.chain()]
    assert [layer.weight.shape for layer in layers] == ours
