"""Acting on one observation: what is timed takes the program's actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rivc.bench import acting, run_bench
from rivc.errors import MismatchError

pytest.importorskip("stable_baselines3", reason="pip install stable-baselines3")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    first = dict([next(iter(acting.CASES.items()))])
    for name, value in {"CASES": first, "OBSERVATIONS": 4, "ROUNDS": 1, "CALLS": 2}.items():
        monkeypatch.setattr(acting, name, value)


def test_a_network_meets_the_peer() -> None:
    [race] = run_bench("acting").races
    assert (race.what, race.peer) == ("CartPole 64-64", "SB3 DQN.predict")
    assert race.ours_us > 0 < race.peer_us


def test_an_emulator_that_acts_otherwise_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = acting.Actor

    def contrary(program: Any) -> Any:
        act = actor(program)
        return lambda observation: 1 - np.asarray(act(observation))

    monkeypatch.setattr(acting, "Actor", contrary)
    with pytest.raises(MismatchError, match="does not act as its program"):
        run_bench("acting")
