"""Runs of one kind are seeds of one variant, and runs of another kind are not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from rivc.compare.job import Evaluation
from rivc.compare.publish import state
from rivc.compare.runs import rows_of, task_name, variant_names
from rivc.errors import DivergedError
from rivc.train import Trainer, load_config
from rivc.train.record import METRICS
from rivc.train.run import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.compare.publish import Comparison


@pytest.mark.parametrize(
    "setting", [{"env.count": 1}, {"env.train_episode_steps": 20}, {"train.gap_coef": 0.0}]
)
def test_another_setting_is_another_variant(setting: dict[str, object]) -> None:
    configs = [load_config("quickstart", {"seed": seed}) for seed in (0, 1)]
    configs.append(load_config("quickstart", {"seed": 2, **setting}))
    assert variant_names(configs) == ["quickstart", "quickstart", "quickstart (2)"]


def test_another_task_is_the_same_variant_on_another_task() -> None:
    configs = [load_config("quickstart", {"env.kwargs": k}) for k in ({}, {"sutton": True})]
    assert variant_names(configs) == ["quickstart", "quickstart"]
    assert [task_name(config) for config in configs] == ["CartPole-v1", "CartPole-v1 sutton=True"]


def test_a_run_that_is_under_way_or_was_disturbed_is_told(tmp_path: Path) -> None:
    overrides = {
        "net.hidden": [8],
        "train.env_steps": 400,
        "train.warmup_env_steps": 80,
        "eval.every_env_steps": 80,
        "eval.episodes": 1,
        "log.every_env_steps": 80,
    }
    runs = [tmp_path / f"seed{seed}" for seed in (0, 1)]
    for seed, run in enumerate(runs):
        trainer = Trainer(load_config("quickstart", {**overrides, "seed": seed}), run)
        if seed == 0:
            trainer.observers.append(lambda _, one=trainer: setattr(one, "stop_requested", True))
        trainer.run()
    RunFolder.open(runs[1]).note_failure(160, DivergedError("gone"))
    (runs[1] / METRICS).unlink()  # as a saved model, which has none
    evaluation = Evaluation(episodes=1, states=8)
    rows = rows_of(runs, evaluation, lambda _: None)
    assert [row["failures"] for row in rows] == [0, 1]
    assert rows[0]["env_steps"] < 400 <= rows[1]["env_steps"]
    found = SimpleNamespace(jobs=2, rows=rows, failed=[])
    told = "\n".join(state(cast("Comparison", found)))
    assert f"- at {rows[0]['env_steps']} of 400 env steps: {runs[0]}" in told
    assert f"- went on after 1 failures: {runs[1]}" in told
