"""SB3's callbacks beside a run of our own trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.errors import BackendError, DivergedError, UsageError
from rivc.snn_convert import SpikingProgram
from rivc.train import Trainer, load_config

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("stable_baselines3", reason="pip install 'rivc[sb3]'")

from stable_baselines3.common.callbacks import BaseCallback, CallbackList, CheckpointCallback

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


class Ending(BaseCallback):
    """Counts ends, at which the model still acts."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = 0

    def _on_training_end(self) -> None:
        self.ends += 1
        assert self.model.predict(np.zeros(4, np.float32))[0].shape == ()

    def _on_step(self) -> bool:
        return True


class Stopping(Ending):
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
    assert callback.ends == 1
    assert Trainer.resume(tmp_path / "run").run() is not None


class Failing(Ending):
    """Fails at the second record."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def _on_step(self) -> bool:
        if self.n_calls == 2:
            raise self.error
        return True


def test_a_callback_is_told_of_the_end_once(tmp_path: Path) -> None:
    trainer = Trainer(load_config("quickstart", TINY), tmp_path / "run")
    callback = Ending()
    Callbacks(trainer, CallbackList([callback]))  # which passes on what it is told
    assert trainer.run() is not None
    assert callback.ends == 1
    trainer.run()  # nothing to do: nothing begins, and nothing ends
    assert callback.ends == 1


@pytest.mark.parametrize("error", [DivergedError, BackendError, ValueError, KeyboardInterrupt])
def test_a_callback_is_told_of_the_end_of_a_run_that_fails(
    tmp_path: Path, error: type[BaseException]
) -> None:
    trainer = Trainer(load_config("quickstart", TINY), tmp_path / "run")
    callback = Failing(error)
    Callbacks(trainer, callback)
    with pytest.raises(error):
        trainer.run()
    assert (callback.n_calls, callback.ends) == (2, 1)


def test_a_callback_that_did_not_begin_is_not_told_of_an_end(tmp_path: Path) -> None:
    trainer = Trainer(load_config("quickstart", TINY), tmp_path / "run")
    callback = Ending()
    Callbacks(trainer, callback)
    trainer.stop_requested = True
    assert trainer.run() is None
    assert (callback.n_calls, callback.ends) == (0, 0)


def test_a_checkpoint_callback_saves_programs(tmp_path: Path) -> None:
    trainer = Trainer(load_config("quickstart", TINY), tmp_path / "run")
    Callbacks(trainer, CheckpointCallback(save_freq=1, save_path=str(tmp_path / "all")))
    trainer.run()
    saved = sorted((tmp_path / "all").iterdir())
    assert len(saved) >= 3
    assert SpikingProgram.load(saved[0]).action_layout == (1, 2)
