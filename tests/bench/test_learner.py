"""Whole training loops side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rivc.bench import learner
from rivc.errors import MismatchError
from rivc.train.loop import Loop

pytest.importorskip("stable_baselines3", reason="pip install stable-baselines3")
NAME = next(iter(learner.CASES))


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
