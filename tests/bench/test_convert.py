"""Conversions: what is timed makes the programs that building afresh makes."""

from __future__ import annotations

from typing import Any

import pytest

from rivc.bench import convert, run_bench
from rivc.errors import MismatchError
from rivc.train.fused import FusedLearner


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    first = dict([next(iter(convert.CASES.items()))])
    for name, value in {"CASES": first, "MOVES": 2, "ROUNDS": 1, "CALLS": 2}.items():
        monkeypatch.setattr(convert, name, value)


def test_a_network_meets_its_peer() -> None:
    [race] = run_bench("convert").races
    assert (race.what, race.peer) == ("CartPole 64-64", "afresh")
    assert race.ours_us > 0 < race.peer_us


def test_a_learner_that_keeps_an_old_program_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    freeze, kept = FusedLearner.freeze, []

    def late(learner: FusedLearner) -> Any:
        kept.append(freeze(learner))
        return kept[0]

    monkeypatch.setattr(FusedLearner, "freeze", late)
    with pytest.raises(MismatchError, match="not that of its network"):
        run_bench("convert")
