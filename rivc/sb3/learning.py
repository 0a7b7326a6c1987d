"""One call of `RIVC.learn`: our loop between the callbacks of Stable-Baselines3."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.errors import ConfigError
from rivc.sb3.logs import records
from rivc.sb3.normalize import Statistics, normalized_encoding
from rivc.sb3.worlds import VecWorlds
from rivc.train import session as sessions
from rivc.train.collect import Collector
from rivc.train.config import overridden
from rivc.train.distill import load_teacher
from rivc.train.learners import make_learner
from rivc.train.loop import Loop
from rivc.train.replay import Replay, require_room
from rivc.train.setup import make_encoding, profile_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.envs.factory import Task
    from rivc.neurochip import Backend
    from rivc.quant.encoding import InputEncoding
    from rivc.sb3.algorithm import RIVC
    from rivc.sb3.storage import Kept
    from rivc.train.config import Config


class Learning:
    """Gathers and learns until the steps are done or the callback has said stop.

    Args:
        model: one that has an environment; its counters, episodes and program are kept up.
        callback: SB3's, called after every step of all copies, those of a warm-up too.
        log_interval: episodes between two records of the logger; 0 or None: none.

    Attributes:
        is_running: False after the callback has said stop.
    """

    def __init__(self, model: RIVC, callback: Any, log_interval: int | None) -> None:
        self._model, self._callback, self._log_interval = model, callback, log_interval
        self._loop: Loop | None = None
        self.is_running = True

    def run(self, kept: Kept, task: Task, total: int) -> None:
        """Learn until the model has made `total` steps; at first, see what the task shows.

        Args:
            kept: what is trained.
            task: says what the environment takes and shows.
            total: env steps, of all copies together.
        """
        model, normalizer = self._model, self._model.get_vec_normalize_env()
        worlds = VecWorlds(
            model.env,
            normalizer,
            shape=task.observation_shape,
            is_multi=model.is_multi,
            shown=model._last_obs,
            watch=self._watch,
        )
        session = _resumed(kept, model.chip, worlds)
        if session is not None and model.num_timesteps >= total:
            return  # nothing is learnt, and a replay that was not kept has nothing to audit on
        if session is None:
            session = _begun(kept, model.chip, worlds, task, normalizer)
        self._loop = loop = Loop(session)
        self._refill(loop, total)
        while self.is_running and model.num_timesteps < total:
            self._iterate(loop)
        self._convert(loop)

    def _refill(self, loop: Loop, total: int) -> None:
        """Let the chip fill a replay that was not kept, without updates on the little it holds."""
        model, progress, replay = self._model, loop.session.progress, loop.session.replay
        is_resumed = progress.env_steps > 0
        enough = model.n_envs + loop.session.config.train.warmup_env_steps
        while self.is_running and replay.head < enough and model.num_timesteps < total:
            progress.refill_env_steps += model.n_envs * is_resumed
            loop.gather()

    def _iterate(self, loop: Loop) -> None:
        """Convert, gather, learn."""
        progress, train = loop.session.progress, loop.session.config.train
        self._convert(loop)
        progress.gather_until = progress.env_steps + train.env_steps_per_conversion
        self._callback.on_rollout_start()
        while self.is_running and progress.is_gathering:
            loop.gather()
        progress.gather_until = progress.env_steps
        self._callback.on_rollout_end()
        loop.learn()
        loop.sync_target()
        self._model._n_updates = loop.session.learner.updates

    def _convert(self, loop: Loop) -> None:
        loop.convert()
        self._model.program = loop.program

    def _watch(self, step: dict[str, Any]) -> None:
        """Count a step of all copies, and show it to the callback."""
        model = self._model
        model.num_timesteps += model.n_envs
        model._last_obs = step["new_obs"]
        model._update_info_buffer(step["infos"], step["dones"])
        if self.is_running:
            self._callback.update_locals(step)
            self.is_running = bool(self._callback.on_step())
        before = model._episode_num
        model._episode_num += int(step["dones"].sum())
        every = self._log_interval
        if every and before // every < model._episode_num // every:
            self.dump_logs()

    def dump_logs(self) -> None:
        """Write what the logger is told, under SB3's names."""
        model = self._model
        for name, value in records(model, model.progress).items():
            model.logger.record(name, value)
        model.logger.dump(model.num_timesteps)


def _resumed(kept: Kept, chip: Backend, worlds: VecWorlds) -> sessions.Session | None:
    """Go on with what has been trained, with an empty replay if none was kept."""
    if not kept.progress.conversions:
        return None
    _follow(kept)
    require_room(kept.config.train.replay_capacity, kept.config.env.count)  # copies may be more now
    if kept.replay is None:
        net, capacity = kept.learner.net, kept.config.train.replay_capacity
        kept.replay = Replay(capacity, net.encoding.shape, np.uint8, net.action_layout[0])
    collector = Collector(worlds, kept.replay, kept.rng["explore"])
    return sessions.Session(kept.config, chip, kept.learner, collector, kept.rng, kept.progress)


def _follow(kept: Kept) -> None:
    """Let the learner go on under the kept settings, made anew if it was made for other ones.

    Raises:
        ConfigError: if a student is to learn from rewards, or what learnt from them is to be one.
    """
    learner, config = kept.learner, kept.config
    if bool(learner.config.distill.parent) != bool(config.distill.parent):
        raise ConfigError("a model cannot change whether it has a distill.parent; make a new one")
    if _but_length(learner.config) != _but_length(config):
        state = copy.deepcopy(learner.state())  # whose tensors are the network's own
        kept.learner = make_learner(config, learner.net)
        kept.learner.restore(state)
    kept.learner.config = config


def _but_length(config: Config) -> Config:
    """Everything a learner is made of: the length of a run is asked for at every update."""
    return overridden(config, {"train.env_steps": 1})


def _begun(
    kept: Kept, chip: Backend, worlds: VecWorlds, task: Task, normalizer: Any
) -> sessions.Session:
    """Act at random, then fix input ranges by what was seen and by what VecNormalize made of it.

    A network that was given keeps its ranges, and a student has those of its teacher.
    """

    def fix(seen: NDArray[Any]) -> InputEncoding:
        if kept.is_given:
            return kept.learner.net.encoding
        if kept.config.distill.parent is not None:
            return load_teacher(kept.config).program.encoding
        encoding = make_encoding(task, seen, profile_name(kept.config, chip.profile))
        statistics = Statistics.of(normalizer)
        if statistics is None:
            return encoding
        return normalized_encoding(seen, statistics, float(normalizer.clip_obs), encoding.bit_width)

    session = sessions.warmed_up(kept.config, chip, task, worlds, kept.rng, fix)
    if kept.is_given:
        session.learner.net.load_state_dict(kept.learner.net.state_dict())
        session.learner.sync_target(blend=1.0)
    kept.learner, kept.progress, kept.replay = session.learner, session.progress, session.replay
    return session
