"""Callbacks of Stable-Baselines3 beside a run of `rivc.train.Trainer`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stable_baselines3.common.logger import Logger

from rivc.sb3.environments import answered
from rivc.snn_convert.program import greedy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from rivc.train import Trainer


class Callbacks:
    """Calls SB3's callback with every record of a trainer: an observer of it.

    The callback is called once a record (`log.every_env_steps`) and not once a step; what counts
    calls (``eval_freq``, ``save_freq``) counts records. Its ``model`` can `predict` through what
    acts in the run, and `save` its program; its ``locals`` hold the record. False stops the run
    with a checkpoint. It is told of the end of a run, of one that stops early or fails as well.
    For callbacks that must see steps, train with `rivc.sb3.RIVC`.

    Args:
        trainer: the run; this adds itself to its observers, and to what is called at its end.
        callback: a BaseCallback.
    """

    def __init__(self, trainer: Trainer, callback: Any) -> None:
        self._trainer, self._callback = trainer, callback
        self._model: _Model | None = None
        trainer.observers.append(self)
        trainer.at_end.append(self._end)

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Show a record to the callback, and stop the run if it says so."""
        if self._model is None:
            self._model = self._begun()
        self._model.num_timesteps = record["env_steps"]
        self._callback.update_locals(dict(record))
        if not self._callback.on_step():
            self._trainer.stop_requested = True

    def _begun(self) -> _Model:
        """Tell the callback of the beginning, and return the model that it may ask."""
        model = _Model(self._trainer)
        self._callback.init_callback(model)
        self._callback.on_training_start({"self": model}, {})
        return model

    def _end(self) -> None:
        """Tell the callback of the end, if it knows of a beginning; another run begins anew."""
        if self._model is not None:
            self._model = None
            self._callback.on_training_end()


class _Model:
    """What a callback may ask of the model: to act, to be saved, how far it is."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.logger, self.num_timesteps = Logger(None, []), 0

    def get_env(self) -> None:
        """Return None: the copies of a run are no vector environment."""

    def get_vec_normalize_env(self) -> None:
        """Return None: an encoding does its work."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """Return the greedy actions of what acts in the run, and the state.

        Raises:
            UsageError: if the shape is neither that of one observation nor of a batch.
        """
        loop = self._trainer.loop
        actions = answered(
            observation,
            loop.program,
            is_multi=loop.program.action_layout[0] > 1,
            choose=lambda shown: greedy(loop.sampler.infer(loop.program.encode(shown)).readout),
        )
        return actions, state

    def save(self, path: str | Path) -> None:
        """Write the present program; ``.npz`` is added if the path has no ending."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._trainer.loop.program.save(path if path.suffix else path.with_suffix(".npz"))
