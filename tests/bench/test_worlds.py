"""The bench of vectors compares what it times."""

from __future__ import annotations

from typing import Any

import pytest

from rivc.bench import run_bench, worlds
from rivc.envs import batch, task_specs
from rivc.errors import MismatchError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COPIES": 2, "CHECKED_STEPS": 3, "ROUNDS": 1, "CALLS": 1}.items():
        monkeypatch.setattr(worlds, name, value)


def test_every_task_races_in_every_mode() -> None:
    report = run_bench("worlds")
    assert len(report.races) == len(worlds.MODES) * len(task_specs())
    assert all(race.ours_us > 0 for race in report.races)


def test_a_batch_that_differs_does_not_race(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(batch.BatchedTasks):
        def step(self, actions: Any) -> Any:
            observations, rewards, *rest = super().step(actions)
            return observations, rewards + 1e-12, *rest

    monkeypatch.setattr(batch, "BatchedTasks", Wrong)
    with pytest.raises(MismatchError, match="step 0 of the batch is not that of the single tasks"):
        run_bench("worlds")
