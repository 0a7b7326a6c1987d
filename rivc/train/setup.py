"""From a configuration to tasks, input encoding and network."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.envs.factory import make
from rivc.errors import ConfigError
from rivc.nets import build_network
from rivc.quant.encoding import InputEncoding
from rivc.quant.profile import load_profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.envs.factory import Task
    from rivc.nets import QNetwork
    from rivc.train.config import Config

_MARGIN: Final = 1.5
_ABSURD: Final = 1e3


def make_tasks(config: Config, count: int) -> list[Task]:
    """Build copies of the configured task; if one fails, those before it are closed.

    One that has no time limit gets that of training.
    """
    env = config.env
    tasks: list[Task] = []
    with ExitStack() as undo:
        for _ in range(count):
            tasks.append(make(env.id, bins=env.bins, history=env.history, **env.kwargs))
            undo.callback(tasks[-1].env.close)
        undo.pop_all()
    limit = env.train_episode_steps
    return [task if limit is None else _ending(task, limit) for task in tasks]


def make_training_tasks(config: Config) -> list[Task]:
    """Build the copies that samples are gathered in, with the time limit that holds there."""
    limit = config.env.train_episode_steps
    tasks = make_tasks(config, config.env.count)
    return tasks if limit is None else [_limited(task, limit) for task in tasks]


def _ending(task: Task, steps: int) -> Task:
    """The task, cut off after so many steps if it has no time limit."""
    return replace(task, max_episode_steps=task.max_episode_steps or steps)


def _limited(task: Task, steps: int) -> Task:
    """The task, cut off after so many steps if nothing cuts it off before."""
    return replace(task, max_episode_steps=min(steps, task.max_episode_steps or steps))


def profile_name(config: Config, backend_profile: str) -> str:
    """Return the arithmetic profile to train in: the configured one, or the back end's."""
    return load_profile(
        backend_profile if config.quant.profile == "auto" else config.quant.profile
    ).name


def make_encoding(task: Task, seen: NDArray[Any], profile: str) -> InputEncoding:
    """Fix how observations become counts.

    Images pass as they are. A feature of a vector spans the bounds that the environment declares
    or, where there are none worth the name, half as much again as was seen while warming up.

    Args:
        task: says what it observes, and its declared bounds.
        seen: observations of the warm-up, [N, *shape].
        profile: says how wide an encoded vector is.
    """
    if task.observation_kind == "image":
        return InputEncoding.image(task.observation_shape)
    low, high = usual_range(seen)
    space: Any = task.env.observation_space
    declared_low, declared_high = space.low.astype(np.float64), space.high.astype(np.float64)
    usable = (np.abs(declared_low) < _ABSURD) & (np.abs(declared_high) < _ABSURD)
    return InputEncoding.over_range(
        np.where(usable, declared_low, low),
        np.where(usable, declared_high, high),
        bit_width=load_profile(profile).vector_bits,
    )


def usual_range(seen: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lowest and highest value of each feature, half as far apart again as was seen."""
    low, high = seen.min(0).astype(np.float64), seen.max(0).astype(np.float64)
    centre, reach = (low + high) / 2, np.maximum((high - low) / 2, 1e-6) * _MARGIN
    return centre - reach, centre + reach


def make_network(
    config: Config, encoding: InputEncoding, action_layout: tuple[int, int], profile: str
) -> QNetwork:
    """Build the configured network.

    Raises:
        ConfigError: if the architecture does not suit the observation.
    """
    if encoding.kind == "image" and not config.net.conv:
        raise ConfigError(
            "net.conv is empty, but the task observes images; give filters, kernel and stride"
        )
    net = build_network(
        "conv" if config.net.conv else "mlp",
        input_shape=encoding.shape,
        action_layout=action_layout,
        hidden=config.net.hidden,
        conv=config.net.conv,
        weight_bits=config.quant.weight_bits,
        activation_bits=config.quant.activation_bits,
        profile=profile,
        encoding=encoding,
        readout=config.net.readout,
        seed=config.seed,
    )
    net.quantized = config.quant.enabled
    return net
