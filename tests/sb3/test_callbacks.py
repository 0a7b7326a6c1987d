"""SB3's callbacks beside a run of our own trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.errors import UsageError
from rivc.snn_convert import SpikingProgram
from rivc.train import Trainer, load_config

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("stable_baselines3", reason="pip install 'rivc[sb3]'")

from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback

from rivc.sb3.callbacks import Callbacks

TINY: dict[str, Any] = {
    "net.hidden": [8],
    "train.env_steps": 200,
    "train.warmup_env_steps": 40,
    "eval.every_env_steps": 100,
    "eval.episodes": 1,
    "log.every_env_steps": 40,
    "audit.states": 2,
}


class Stopping(BaseCallback):
    """Acts through the model, and stops after two records."""

    def _on_step(self) -> bool:
        actions, _ = self.model.predict(np.zeros((3, 4), np.float32))
        assert actions.shape == (3,)
        assert self.model.predict(np.zeros(4, np.float32))[0].shape == ()
        with pytest.raises(UsageError, match="a batch of them"):
            self.model.predict(np.zeros((4, 5), np.float32))
        assert self.locals["env_steps"] == self.num_timesteps
        return self.n_calls < 2


def test_a_callback_sees_records_and_stops_a_resumable_run(tmp_path: Path) -> None:
    trainer = Trainer(load_config("quickstart", TINY), tmp_path / "run")
    callback = Stopping()
    Callbacks(trainer, callback)
    assert trainer.run() is None
    assert callback.n_calls == 2
    assert Trainer.resume(tmp_path / "run").run() is not None


def test_a_checkpoint_callback_saves_programs(tmp_path: Path) -> None:
    trainer = Trainer(load_config("quickstart", TINY), tmp_path / "run")
    Callbacks(trainer, CheckpointCallback(save_freq=1, save_path=str(tmp_path / "all")))
    trainer.run()
    saved = sorted((tmp_path / "all").iterdir())
    assert len(saved) >= 3
    assert SpikingProgram.load(saved[0]).action_layout == (1, 2)
