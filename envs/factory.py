"""Any Gymnasium environment in the form that the trainer drives, or an error that says why not."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator

from rivc.envs.gl import missing_library
from rivc.envs.picture import picture_shape
from rivc.envs.text import one_line
from rivc.envs.wrappers import BinnedAction, GreyHistory
from rivc.errors import ConfigError, MissingError, RivcError, nearest

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

    from rivc.envs.wrappers import Bins

MAX_CHOICES: Final = 32_767  # what a replay holds an action in has 16 bits
ObservationKind = Literal["image", "vector"]


@dataclass(frozen=True)
class Task:
    """An environment without a time limit of its own, and what a policy for it looks like.

    Attributes:
        env: the environment; it never truncates by time.
        max_episode_steps: the time limit for the caller to keep, or None.
        action_layout: action dimensions `d` and choices `n` in each; ``Discrete(n)`` is (1, n).
        observation_kind: ``"image"`` is uint8, [H, W, 1] or [H, W, 3]; ``"vector"`` is float, [O].
        observation_shape: shape of one observation.
    """

    env: gym.Env[Any, Any]
    max_episode_steps: int | None
    action_layout: tuple[int, int]
    observation_kind: ObservationKind
    observation_shape: tuple[int, ...]

    @property
    def env_id(self) -> str:
        """The id the environment was registered under."""
        return self.env.spec.id if self.env.spec else type(self.env.unwrapped).__name__

    @property
    def observation_dtype(self) -> type[np.generic]:
        """The type that holds an observation: uint8 for images, float32 for vectors."""
        return np.uint8 if self.observation_kind == "image" else np.float32

    @cached_property
    def is_multi(self) -> bool:
        """True if the environment takes an array of actions, not one integer."""
        return isinstance(self.env.action_space, spaces.MultiDiscrete)


def make(
    env_id: str, /, *, bins: Bins | None = None, history: bool | int = False, **kwargs: object
) -> Task:
    """Make any registered environment, without its time limit and without Gymnasium's checker.

    Args:
        env_id: a Gymnasium id, or ``module:id`` for one that importing `module` registers.
        bins: choices for each number of a continuous action, or their shares of its range; see
            `rivc.envs.wrappers.BinnedAction`.
        history: observe the last three pictures, or three so many control steps apart; see
            `rivc.envs.wrappers.GreyHistory`.
        kwargs: options of the environment.

    Raises:
        MissingError: no such id, or what it needs is not installed.
        ConfigError: an option is wrong, or the trainer cannot drive such spaces.

    Example:
        >>> make("CartPole-v1").action_layout
        (1, 2)
    """
    spec = _find_spec(env_id)
    env = _build(spec, kwargs)
    try:
        if history:
            env = GreyHistory(env, every=int(history))
        if bins is not None:  # outside, where it is found by those who ask what a bin stands for
            env = BinnedAction(env, bins)
        return task_of(env, spec.max_episode_steps)
    except ConfigError as error:
        env.close()
        raise ConfigError(f"{env_id}: {error}") from error


def task_of(env: gym.Env[Any, Any], max_episode_steps: int | None = None) -> Task:
    """Return an environment as a task; only its spaces are looked at.

    Args:
        env: the environment.
        max_episode_steps: the time limit for the caller to keep, or None.

    Raises:
        ConfigError: the trainer cannot drive such spaces.
    """
    kind, shape = _observation(env.observation_space)
    return Task(env, max_episode_steps, _action_layout(env.action_space), kind, shape)


def _find_spec(env_id: str) -> EnvSpec:
    module, _, name = env_id.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever a stranger's module raises
            reason = one_line(error)
            raise MissingError(f"{env_id}: {module!r} does not import: {reason}") from error
    if name not in gym.registry:
        hint = nearest(name, gym.registry) or "; write module:id if importing a module registers it"
        raise MissingError(f"no environment is registered as {name!r}{hint}")
    return gym.registry[name]


def _build(spec: EnvSpec, kwargs: dict[str, object]) -> gym.Env[Any, Any]:
    creator = _load_creator(spec)
    try:
        return gym.make(spec.id, max_episode_steps=-1, disable_env_checker=True, **kwargs)
    except RivcError:
        raise
    except gym.error.DependencyNotInstalled as error:
        raise MissingError(f"{spec.id}: {one_line(error)}") from error
    except Exception as error:  # whatever a stranger's constructor raises
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown:
            name = unknown[1]
            known = _option_names(creator)
            hint = nearest(name, known) or f"; it has {', '.join(known)}"
            raise ConfigError(f"{spec.id} has no option {name!r}{hint}") from error
        raise ConfigError(f"{spec.id}: {type(error).__name__}: {one_line(error)}") from error


def _load_creator(spec: EnvSpec) -> object:
    if not isinstance(spec.entry_point, str):
        return spec.entry_point
    try:
        return load_env_creator(spec.entry_point)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise MissingError(f"{spec.id} needs more: {error}; pip install {package}") from error
    except Exception as error:  # MUJOCO_GL names a missing library, or a stranger's module fails
        setting = missing_library()
        reason = f"{setting}; unset MUJOCO_GL" if setting else one_line(error)
        raise MissingError(f"{spec.id} does not import: {reason}") from error


def _option_names(creator: object) -> list[str]:
    """Return the named arguments of a class's constructor and of those it may pass the rest to."""
    constructors = [vars(cls).get("__init__") for cls in getattr(creator, "__mro__", ())]
    return [
        name
        for constructor in constructors
        if inspect.isfunction(constructor)
        for name, parameter in inspect.signature(constructor).parameters.items()
        if name != "self"
        and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]


def _action_layout(space: spaces.Space[Any]) -> tuple[int, int]:
    """Return action dimensions and choices in each."""
    groups, choices = _groups_and_choices(space)
    if choices < 2:
        raise ConfigError(f"action space {one_line(space)} leaves nothing to choose")
    if choices > MAX_CHOICES:
        raise ConfigError(f"action space {one_line(space)} has more than {MAX_CHOICES:,} choices")
    return groups, choices


def _groups_and_choices(space: spaces.Space[Any]) -> tuple[int, int]:
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return 1, int(space.n)
    if isinstance(space, spaces.MultiDiscrete) and not space.start.any():
        choices = np.unique(space.nvec)
        if space.nvec.ndim == 1 and len(choices) == 1:
            return len(space.nvec), int(choices[0])
    name = f"action space {one_line(space)}"
    if isinstance(space, spaces.Box):
        raise ConfigError(f"{name} is continuous; set bins, for example bins=3 (--env.bins 3)")
    raise ConfigError(
        f"{name} is not Discrete from 0, MultiDiscrete with as many choices in each dimension, or "
        "Box with bins"
    )


def _observation(space: spaces.Space[Any]) -> tuple[ObservationKind, tuple[int, ...]]:
    """Return kind and shape of an observation."""
    picture = picture_shape(space)
    if picture:
        return "image", picture
    is_float = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    if is_float and space.shape is not None and len(space.shape) == 1:
        return "vector", space.shape
    raise ConfigError(
        f"observation space {one_line(space)} is neither an image, uint8, [H, W, 1] or [H, W, 3], "
        "nor a vector of floats; wrap the environment and name it as module:id"
    )
