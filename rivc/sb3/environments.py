"""From whatever SB3's users call an environment to a vector environment, and what it is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from gymnasium.vector import VectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit
from stable_baselines3.common.base_class import maybe_make_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecTransposeImage,
)

from rivc.envs.wrappers import BinnedAction, GreyHistory
from rivc.errors import UsageError
from rivc.sb3.vector import GymnasiumVecEnv
from rivc.train.setup import make_training_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from gymnasium.envs.registration import EnvSpec
    from numpy.typing import NDArray

    from rivc.envs.factory import Task
    from rivc.snn_convert import SpikingProgram
    from rivc.train.config import Config

    Choose = Callable[[NDArray[Any]], NDArray[np.int64]]

UNREGISTERED: Final = "unregistered"
OF_DISPLAY: Final = frozenset({"render_mode"})
OF_VECTOR: Final = OF_DISPLAY | {
    "num_envs",
    "vectorization_mode",
    "vector_kwargs",
    "wrappers",
    "max_episode_steps",
    "autoreset_mode",
    "threads",
}
"""What `gymnasium.make_vec` and the vectors of rivc keep among the options of a task."""

BUILT_IN: Final = frozenset({"gymnasium", "rivc"})
"""Packages whose tasks are registered wherever a run is read."""


def _entry(wrapper: type) -> str:
    return f"{wrapper.__module__}:{wrapper.__name__}"


SETTINGS: Final = {
    _entry(BinnedAction): ("env.bins", "bins"),
    _entry(GreyHistory): ("env.history", "every"),
}
"""The setting that a wrapper stands for, and the wrapper's own name of it."""
PLAIN: Final = {"env.bins": None, "env.history": False}
"""What an environment without them has."""
UNSEEN: Final = frozenset(map(_entry, (Monitor, RecordEpisodeStatistics, TimeLimit)))
"""Wrappers that a policy does not notice."""


def vectorized(env: Any, *, verbose: int = 0, monitor: bool = True) -> Any:
    """Return an environment, or the one of an id, as a VecEnv; images stay [H, W, C]."""
    env = maybe_make_env(env, verbose)
    if isinstance(env, VecEnv):
        return env
    if isinstance(env, VectorEnv):
        return GymnasiumVecEnv(env)
    wrapped = Monitor(env) if monitor and not isinstance(env, Monitor) else env
    return DummyVecEnv([lambda: wrapped])


def unturned(env: Any) -> Any:
    """Return what a VecTransposeImage turns, or else the vector environment itself."""
    return env.venv if isinstance(env, VecTransposeImage) else env


def channels_last(shown: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return observations of `shape`, one or a batch, which a VecTransposeImage may have turned."""
    if len(shape) == 3 and shown.shape[-3:] == (shape[2], *shape[:2]) != shape:
        return np.moveaxis(shown, -3, -1)
    return shown


def answered(
    observation: Any, program: SpikingProgram, *, is_multi: bool, choose: Choose
) -> NDArray[Any]:
    """Return the action of one observation, or those of a batch, as SB3 expects them.

    Args:
        observation: one or a batch, images with their channels first or last.
        program: says what one is.
        is_multi: whether an action is an array, not one integer.
        choose: from a batch, [N, *shape], to actions, [N, d].

    Raises:
        UsageError: if it is neither one observation nor a batch.
    """
    shape = program.encoding.shape
    shown = channels_last(np.asarray(observation), shape)
    is_one = shown.shape == shape
    if not is_one and shown.shape[1:] != shape:
        raise UsageError(
            f"observations have shape {shown.shape}, the policy takes {shape} or a batch of them"
        )
    chosen = choose(shown[None] if is_one else shown)
    actions = chosen if is_multi else chosen[:, 0]
    return actions[0] if is_one else actions


def configured(config: Config) -> Any:
    """Return the training copies that a configuration names, as a VecEnv."""
    return DummyVecEnv([_monitored(task) for task in make_training_tasks(config)])


def origin(env: Any, config: Config) -> dict[str, Any]:
    """Return what a configuration ought to say of an environment that was not built from it.

    Args:
        env: a VecEnv.
        config: keeps its own id where that names the same task as ``module:id``.
    """
    spec = _spec(env)
    wrappers = _wrappers(spec)
    if spec is None or wrappers is None:
        return {"env.id": UNREGISTERED, "env.kwargs": {}, **PLAIN}
    is_same = config.env.id.rpartition(":")[2] == spec.id
    env_id = config.env.id if is_same else _full_id(spec)
    return {"env.id": env_id, "env.kwargs": _options(spec.kwargs), **PLAIN, **wrappers}


def _spec(env: Any) -> EnvSpec | None:
    """What the first copy says that it is.

    A SubprocVecEnv is not asked: a spec that holds a function cannot be sent, and its process dies.
    """
    if isinstance(env.unwrapped, SubprocVecEnv):
        return None
    try:
        spec: EnvSpec | None = env.get_attr("spec")[0]
    except AttributeError:
        return None
    return spec


def _full_id(spec: EnvSpec) -> str:
    """The id, with the package that registers it unless it is known without an import."""
    if not isinstance(spec.entry_point, str):
        return spec.id
    package = re.split(r"[.:]", spec.entry_point)[0]
    return spec.id if package in BUILT_IN else f"{package}:{spec.id}"


def _wrappers(spec: EnvSpec | None) -> dict[str, Any] | None:
    """The settings that wrappers stand for; None if one is a stranger's."""
    options = dict[str, Any]()
    if spec is None or spec.kwargs.get("wrappers"):  # of the copies of a vector
        return None
    for wrapper in spec.additional_wrappers:
        if wrapper.entry_point in UNSEEN:
            continue
        if wrapper.entry_point not in SETTINGS:
            return None
        setting, argument = SETTINGS[wrapper.entry_point]
        options |= _plain({setting: (wrapper.kwargs or {})[argument]})
    return options


def require_same(program: SpikingProgram, task: Task) -> None:
    """Refuse an environment that shows or takes something else than a policy was made for.

    Raises:
        UsageError: if it does.
    """
    ours = program.encoding.shape, program.action_layout
    theirs = task.observation_shape, task.action_layout
    if ours != theirs:
        raise UsageError(
            f"the policy is for observations {ours[0]} and actions {ours[1]}, "
            f"the environment has {theirs[0]} and {theirs[1]}"
        )


def _monitored(task: Task) -> Callable[[], Any]:
    limit = task.max_episode_steps
    env = task.env if limit is None else TimeLimit(task.env, limit)
    return lambda: Monitor(env)


def _options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those that make the task what it is: not how it is shown, or stepped side by side."""
    others = OF_VECTOR if "vectorization_mode" in kwargs else OF_DISPLAY
    return _plain({name: value for name, value in kwargs.items() if name not in others})


def _plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those options that a file can hold."""
    plain = {}
    for name, value in kwargs.items():
        try:
            plain[name] = json.loads(json.dumps(value))
        except (TypeError, ValueError):
            continue
    return plain
