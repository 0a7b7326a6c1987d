"""Learning a scripted expert's choices from samples that the chip gathers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.envs.factory import make
from rivc.errors import ConfigError
from rivc.train import Trainer, load_config
from rivc.train.collect import Collector
from rivc.train.record import read_metrics
from rivc.train.replay import Replay
from rivc.train.worlds import Worlds

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.train import Config

PAN: dict[str, Any] = {
    "env.kwargs.obs_mode": "state",
    "net.conv": [],
    "net.hidden": [32, 32],
    "train.objective": "imitation",
    "train.env_steps": 1200,
    "train.warmup_env_steps": 200,
    "train.batch_size": 32,
    "train.inverse_temperature": 100,
    "explore.expert_start": 0.5,
    "explore.expert_env_steps": 600,
    "eval.every_env_steps": 600,
    "eval.episodes": 2,
}


def pan(**overrides: Any) -> Config:
    return load_config("pan_servo", {**PAN, **overrides})


def test_the_chip_comes_close_to_its_expert(tmp_path: Path) -> None:
    Trainer(pan(), tmp_path / "run").run()
    returns = [r["eval_return"] for r in read_metrics(tmp_path / "run") if "eval_return" in r]
    assert max(returns) > 75  # the expert has 93.7, random actions 13.2


def test_the_replay_holds_the_choices_and_not_the_actions() -> None:
    task = make("rivc/PanServo-v0", obs_mode="state")
    world = Worlds([task], 0)
    replay = Replay(200, task.observation_shape, task.observation_dtype, 1)
    collector = Collector(world, replay, np.random.default_rng(0), imitates=True)
    wanted = []
    for _ in range(20):
        wanted.append(int(world.expert_action()[0, 0]))
        collector.warm_up(1, task.action_layout)
    kept = replay.rows(replay.tail, replay.head)["action"].ravel()[:20]
    np.testing.assert_array_equal(kept, wanted)
    assert world.copies[0].actions != [[a] for a in wanted]


def test_a_run_that_stops_goes_on_to_the_same_policy(tmp_path: Path) -> None:
    short = {"train.env_steps": 400, "log.every_env_steps": 100}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Trainer(pan(**short), whole).run()
    stopped = Trainer(pan(**short), parts)
    stopped.observers.append(
        lambda record: setattr(stopped, "stop_requested", record["env_steps"] > 250)
    )
    assert stopped.run() is None
    Trainer.resume(parts).run()
    assert (whole / "program.npz").read_bytes() == (parts / "program.npz").read_bytes()


def test_a_hard_maximum_has_no_likelihood() -> None:
    with pytest.raises(ConfigError, match="finite inverse_temperature"):
        pan(**{"train.inverse_temperature": float("inf")})


@pytest.mark.parametrize(
    "setting", [{"train.objective": "imitation"}, {"explore.expert_start": 0.5}]
)
def test_a_task_without_an_expert_says_so_before_anything_is_written(
    tmp_path: Path, setting: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="no scripted expert"):
        Trainer(load_config("quickstart", setting), tmp_path / "run")
    assert not (tmp_path / "run").exists()
