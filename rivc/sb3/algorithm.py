"""`RIVC`, an algorithm of Stable-Baselines3 that learns and acts through a chip.

It keeps SB3's side of the contract: vector environments, callbacks, loggers, `predict`. All
learning is `rivc.train.loop.Loop` on a session of rivc; see docs/decisions/0011.

Reference:
    Raffin et al. (2021), Stable-Baselines3: reliable reinforcement learning implementations, JMLR.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from rivc.envs.factory import task_of
from rivc.errors import UsageError
from rivc.nets import QNetwork
from rivc.neurochip import load_backend
from rivc.neurochip.guard import Guarded
from rivc.sb3 import environments, storage
from rivc.sb3.learning import Learning
from rivc.sb3.normalize import Statistics, normalizer_of
from rivc.sb3.settings import CONVOLUTIONS, of_policy, require_no_expert, resolve
from rivc.sb3.storage import Kept
from rivc.snn_convert import convert
from rivc.snn_convert.program import greedy
from rivc.train import session as sessions
from rivc.train.config import overridden
from rivc.train.explore import epsilon_at, explore
from rivc.train.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from rivc.neurochip import Backend
    from rivc.snn_convert import SpikingProgram
    from rivc.train.config import Config
    from rivc.train.learners import AnyLearner
    from rivc.train.session import Progress

OF_CONSTRUCTOR: Final = ("verbose", "tensorboard_log")
IGNORED: Final = ("device", "custom_objects", "print_system_info", "force_reset")


class RIVC(BaseAlgorithm):  # type: ignore[misc]  # SB3 is optional, so mypy never reads it
    """Robust Iterative Value Conversion where an algorithm of Stable-Baselines3 is expected.

    `predict` acts through the chip, so that `evaluate_policy` and `EvalCallback` score what a
    robot would run and not the network it came from.

    Args:
        policy: ``MlpPolicy``, or ``CnnPolicy`` for images, uint8, [H, W, 1] or [H, W, 3].
        env: an environment, a vector environment or an id; None builds what `config` names.
        config: a configuration of rivc, a file or the name of a shipped one.
        policy_kwargs: only ``net_arch``, units of the hidden layers.
        tensorboard_log: folder of SB3's TensorBoard logs.
        verbose: 0, or 1 to print SB3's table.
        seed: of everything random, modulo 2^31; default: the configuration's.
        device: ignored: small networks in integers are trained on the processor.
        settings: of rivc, by dotted key (``**{"quant.weight_bits": 2}``), by its last part
            (``gap_coef=0.5``), or as SB3's DQN calls them (``gamma=0.98``).

    Attributes:
        config: every setting.
        chip: holds `program`.
        program: what the network was last converted into.

    Raises:
        ConfigError: a setting is unknown, or no chip can be trained for such spaces.
        ChipLimitError: the network does not fit the chip.

    Example:
        >>> model = RIVC("MlpPolicy", "CartPole-v1", hidden=[16], learning_starts=64, seed=0)
        >>> actions, _ = model.learn(128).predict(model.get_env().reset(), deterministic=True)
        >>> actions.shape
        (1,)
    """

    num_timesteps: int
    _last_obs: Any
    _episode_num: int
    policy_aliases: ClassVar[dict[str, type[QNetwork]]] = dict.fromkeys(CONVOLUTIONS, QNetwork)

    def __init__(  # noqa: PLR0913 (SB3's own signature)
        self,
        policy: str = "MlpPolicy",
        env: Any = None,
        config: Config | str | Path | None = None,
        *,
        policy_kwargs: Mapping[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: Any = "cpu",
        _init_setup_model: bool = True,
        **settings: Any,
    ) -> None:
        settings |= of_policy(policy_kwargs or {}) | ({} if seed is None else {"seed": seed})
        self.config = resolve(config, policy, settings)
        if _init_setup_model:
            require_no_expert(self.config)
        is_own = env is None and config is not None and _init_setup_model
        if is_own:
            env = environments.configured(self.config)
        super().__init__(
            policy,
            None,
            self.config.train.learning_rate,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device="cpu",
            support_multi_env=True,
            seed=self.config.seed,
        )
        self.chip: Backend = Guarded(
            load_backend(self.config.backend.name, **self.config.backend.options),
            self.config.backend.timeout_s,
        )
        self._kept: Kept | None = None
        self._learning: Learning | None = None
        self._predict_rng = np.random.default_rng([self.config.seed, len(sessions.RNG_STREAMS)])
        if env is not None:
            env = self._wrap_env(env, self.verbose)
            self._take(env, {} if is_own else environments.origin(env, self.config))
            if _init_setup_model:
                self._setup_model()

    # -- what it is made of ----------------------------------------------------------------

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> Any:
        """Make a vector environment of it, without transposing images."""
        return environments.vectorized(env, verbose=verbose, monitor=monitor_wrapper)

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """Take another environment; the number of its copies may differ.

        Raises:
            ConfigError: if the trainer cannot drive such spaces.
            UsageError: if the policy is for other spaces.
        """
        env = self._wrap_env(env, self.verbose)
        self._take(env, environments.origin(env, self.config))
        if force_reset:
            self._last_obs = None

    def _take(self, env: Any, about: Mapping[str, Any]) -> None:
        """Hold a vector environment, and let the configuration say what it is."""
        upright = environments.unturned(env)
        normalizer = normalizer_of(upright)
        task = task_of(upright if normalizer is None else normalizer.venv)
        if self._kept is not None:
            environments.require_same(self.program, task)
        self.env, self._task, self._vec_normalize_env = env, task, normalizer
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.n_envs = env.num_envs
        self.config = overridden(self.config, {"env.count": env.num_envs, **about})
        if self._kept is not None:
            self._kept.config, self._kept.is_multi = self.config, task.is_multi

    def _setup_model(self) -> None:
        """Make the network; its input ranges are a guess until the warm-up has seen some."""
        self.set_random_seed(self.seed)
        learner = sessions.untrained(self.config, self.chip, self._task)
        rng = sessions.generators(self.config.seed)
        kept = Kept(self.config, learner, sessions.Progress(), rng)
        self._hold(replace(kept, is_multi=self._task.is_multi))

    def _hold(self, kept: Kept) -> None:
        """Take what is to be trained, and put it on the chip."""
        self._kept, self.config = kept, kept.config
        self._show(convert(kept.learner.net))
        self.num_timesteps, self._n_updates = kept.progress.env_steps, kept.learner.updates

    def _show(self, program: SpikingProgram) -> None:
        self.program = program
        self.chip.load(program)

    @property
    def _model(self) -> Kept:
        if self._kept is None:
            raise UsageError("RIVC has no network yet: give it an env, or load one")
        return self._kept

    @property
    def learner(self) -> AnyLearner:
        """Networks and optimizer, of rivc."""
        return self._model.learner

    @property
    def progress(self) -> Progress:
        """Counters, of rivc."""
        return self._model.progress

    @property
    def policy(self) -> QNetwork:
        """The network in training; `predict` does not ask it."""
        return self.learner.net

    @property
    def exploration_rate(self) -> float:
        """Share of random actions now."""
        return epsilon_at(self.config.explore, self.num_timesteps)

    # -- acting ----------------------------------------------------------------------------

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Let the chip act.

        Args:
            observation: one or a batch, as the model's environment shows them: normalized if it is
                a VecNormalize, raw otherwise. A loaded model that was given none takes what its
                environment showed when it was saved. Images may have their channels first.
            state: returned as it is; there is no memory.
            episode_start: ignored.
            deterministic: the greedy action; else explored as while training.

        Returns:
            Actions, and `state`.

        Raises:
            UsageError: if the shape is neither that of one observation nor of a batch.
        """

        def choose(shown: NDArray[Any]) -> NDArray[np.int64]:
            statistics = self._statistics()
            raw = shown if statistics is None else statistics.raw(shown)
            readout = self.chip.infer(self.program.encode(raw)).readout
            if deterministic:
                return greedy(readout)
            scale = self.program.readout_scale
            return explore(self.config, self._predict_rng, readout, scale, self.num_timesteps)

        actions = environments.answered(
            observation, self.program, is_multi=self.is_multi, choose=choose
        )
        return actions, state

    def _statistics(self) -> Statistics | None:
        """What makes a shown observation of a raw one, now."""
        if self.env is None:
            return self._model.statistics
        return Statistics.of(self._vec_normalize_env)

    @property
    def is_multi(self) -> bool:
        """Whether an action is an array, not one integer."""
        space = getattr(self, "action_space", None)  # a loaded model that was given no env has none
        return self._model.is_multi if space is None else isinstance(space, spaces.MultiDiscrete)

    # -- learning --------------------------------------------------------------------------

    def learn(
        self,
        total_timesteps: int,
        callback: Any = None,
        log_interval: int | None = 4,
        tb_log_name: str = "RIVC",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Train for so many env steps, of all copies together.

        Args:
            total_timesteps: the learning rate falls over them. The warm-up of a new model is made
                in one go, also if it is longer.
            callback: SB3's, called after every step of all copies; False stops. What is returned
                while the warm-up acts at random counts when that ends.
            log_interval: episodes between two records of the logger; 0 or None: none.
            tb_log_name: of the run in TensorBoard.
            reset_num_timesteps: start counters, exploration and learning rate anew; network,
                optimizer and replay stay.
            progress_bar: show one.

        Raises:
            DivergedError, BackendError, MismatchError: as `rivc.train.Trainer.run`.
            UsageError: if there is no environment.
            ConfigError: if what was loaded learnt from an expert.
        """
        if self.env is None:
            raise UsageError("RIVC has no environment to learn in; call set_env first")
        require_no_expert(self.config)
        kept = self._model
        total, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        self.config = kept.config = overridden(self.config, {"train.env_steps": total})
        if reset_num_timesteps and kept.progress.conversions:
            before = kept.learner.updates  # which stand: Adam's moments are corrected by them
            kept.progress = sessions.Progress(conversions=1, updates_before=before)
        callback.on_training_start(
            {"self": self, "total_timesteps": total, "env": self.env}, globals()
        )
        self._learning = Learning(self, callback, log_interval)
        with one_thread():
            self._learning.run(kept, self._task, total)
        callback.on_training_end()
        return self

    def dump_logs(self) -> None:
        """Write what the logger is told, under SB3's names."""
        if self._learning is not None:
            self._learning.dump_logs()

    # -- on disk ---------------------------------------------------------------------------

    def get_parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return the tensors of the network, and the ranges of its inputs."""
        return self._model.parameters()

    def set_parameters(
        self,
        load_path_or_dict: Mapping[str, Mapping[str, Tensor]] | str | Path,
        exact_match: bool = True,
        device: Any = "cpu",
    ) -> None:
        """Take a network, from `get_parameters` or a saved model, and convert it.

        The target network becomes equal to it. Its input ranges hold from here on: the warm-up of
        a new model leaves both as they are.

        Raises:
            UsageError: if the input ranges are missing, or of other inputs.
        """
        given = load_path_or_dict
        if isinstance(given, str | Path):
            given = storage.load(Path(given)).parameters()
        self._model.take(given, is_strict=exact_match)
        self._show(convert(self.policy))

    def save(
        self,
        path: str | Path,
        exclude: Sequence[str] | None = None,
        include: Sequence[str] | None = None,
    ) -> None:
        """Write the model: a zip that holds the folder of a run, no pickle, no replay.

        One saved by a callback in the warm-up has learnt nothing yet: it loads with 0 steps, and
        warms up anew.

        Args:
            path: ``.zip`` is added if it has no ending.
            exclude: ignored, as `include`.
            include: there is one form of a saved model.
        """
        kept = replace(self._model, statistics=self._statistics())
        if kept.progress.conversions:  # the step that a callback sees is counted after it
            kept.progress = replace(kept.progress, env_steps=self.num_timesteps)
        storage.save(kept, convert(kept.learner.net), Path(path))

    @classmethod
    def load(cls, path: str | Path, env: Any = None, **settings: Any) -> Self:
        """Read what `save` wrote, or the newest checkpoint of a run of `rivc train`.

        Args:
            path: of the file, with or without ``.zip``, or of the run's folder.
            env: to go on in; not needed to act.
            settings: ``verbose``, ``tensorboard_log``, ``seed``, ``config`` or any setting of rivc
                that leaves the network as it is; SB3's own arguments of `load` are ignored.

        Raises:
            MissingError: if there is nothing.
            DamagedFileError: if a part is missing or altered, or it is another library's model.
            ConfigError: if a setting would make another network of it.
        """
        kept = storage.load(Path(path))
        own = {name: settings.pop(name) for name in OF_CONSTRUCTOR if name in settings}
        given = {name: v for name, v in settings.items() if name not in IGNORED and v is not None}
        policy = "CnnPolicy" if kept.config.net.conv else "MlpPolicy"
        storage.reconfigure(kept, resolve(given.pop("config", kept.config), policy, given))
        model = cls(policy, None, kept.config, _init_setup_model=False, **own)
        model._hold(kept)
        if env is not None:
            model.set_env(env)
        return model
