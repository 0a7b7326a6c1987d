"""Training passes in integers against fp32: what is timed computes the same as the program."""

from __future__ import annotations

from typing import Any

import pytest

from rivc.bench import qat
from rivc.errors import MismatchError

SMALL: dict[str, dict[str, Any]] = {
    "dense": {"kind": "mlp", "input_shape": (5,), "hidden": (6,)},
    "conv": {"kind": "conv", "input_shape": (6, 6, 1), "conv": ((2, 3, 2),), "hidden": (4,)},
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("NETWORKS", SMALL), ("BATCHES", (2,)), ("ROUNDS", 1), ("CALLS", 1)):
        monkeypatch.setattr(qat, name, value)


def test_every_network_meets_its_peer() -> None:
    report = qat.run()
    assert [race.what for race in report.races] == ["dense, batch 2", "conv, batch 2"]
    assert all(race.ours_us > 0 < race.peer_us for race in report.races)


def test_a_forward_pass_that_is_not_the_programs_is_not_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fused = qat._fused

    def off(*arguments: Any) -> Any:
        work = fused(*arguments)
        return lambda i: work(i) * 1.5 + 1

    monkeypatch.setattr(qat, "_fused", off)
    with pytest.raises(MismatchError, match="dense in training is not its program"):
        qat.run()
