"""What users of Stable-Baselines3 call the settings of a run."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import ConfigError, nearest
from rivc.train.config import Config, config_keys, load_config, overridden
from rivc.train.worlds import MAX_SEED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ALIASES: Final = {
    "gamma": "train.discount",
    "buffer_size": "train.replay_capacity",
    "learning_starts": "train.warmup_env_steps",
    "tau": "train.target_blend",
    "target_update_interval": "train.env_steps_per_target_sync",
    "n_steps": "train.n_step",
    "exploration_initial_eps": "explore.epsilon_start",
    "exploration_final_eps": "explore.epsilon_end",
}
INSTEAD: Final = {
    "train_freq": "env_steps_per_conversion, counted in env steps of all copies",
    "gradient_steps": "updates_per_env_step",
    "exploration_fraction": "epsilon_env_steps",
}
CONVOLUTIONS: Final = {"MlpPolicy": (), "CnnPolicy": ((16, 3, 2), (32, 3, 2))}


@cache
def known_settings() -> dict[str, str]:
    """Return the dotted key of every name: itself, its last part if no other has it, an alias.

    Example:
        >>> known_settings()["gap_coef"], known_settings()["gamma"]
        ('train.gap_coef', 'train.discount')
    """
    keys = config_keys()
    parts = Counter(key.rpartition(".")[2] for key in keys)
    short = {key.rpartition(".")[2]: key for key in keys if parts[key.rpartition(".")[2]] == 1}
    return {**ALIASES, **short, **{key: key for key in keys}}


def overrides(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by dotted key.

    Raises:
        ConfigError: if there is no such setting; names what takes its place, or the nearest.

    Example:
        >>> overrides({"gamma": 0.98, "quant.weight_bits": 2})
        {'train.discount': 0.98, 'quant.weight_bits': 2}
    """
    known, found = known_settings(), dict[str, Any]()
    for name, value in settings.items():
        if name in INSTEAD:
            raise ConfigError(f"RIVC has no {name!r}; it has {INSTEAD[name]}")
        if name not in known:
            raise ConfigError(f"RIVC has no setting {name!r}{nearest(name, known)}")
        found |= _READ.get(known[name], _as_it_is)(known[name], value)
    return found


def of_policy(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that SB3's `policy_kwargs` stand for.

    Raises:
        ConfigError: if there is more than ``net_arch``.

    Example:
        >>> of_policy({"net_arch": [64, 64]})
        {'net.hidden': (64, 64)}
    """
    others = [name for name in kwargs if name != "net_arch"]
    if others:
        raise ConfigError(f"RIVC takes net_arch in policy_kwargs, not {others[0]!r}")
    return {"net.hidden": tuple(kwargs["net_arch"])} if kwargs else {}


def _as_it_is(key: str, value: Any) -> dict[str, Any]:
    return {key: value}


def _seed(key: str, value: Any) -> dict[str, Any]:
    """SB3's seeds, and the ones that rl-zoo3 draws, have 32 bits; ours 31."""
    is_long = isinstance(value, int) and MAX_SEED <= value < 2 * MAX_SEED
    return {key: value - MAX_SEED if is_long else value}


def _learning_rate(key: str, value: Any) -> dict[str, Any]:
    """A number, or a schedule of SB3: from the share of steps that is left to a number.

    A constant one is that number, as it is in SB3; ours falls from it to `learning_rate_end`.
    """
    if not callable(value):
        return {key: value}
    first, middle, last = (float(value(left)) for left in (1.0, 0.5, 0.0))
    if first == middle == last:
        return {key: first}
    if not (0.0 <= last < first and math.isclose(middle, (first + last) / 2)):
        raise ConfigError(
            f"RIVC's learning rate falls in a straight line, not {first}, {middle}, {last}; "
            "set learning_rate and learning_rate_end"
        )
    return {key: first, f"{key}_end": last / first}


_READ: Final[dict[str, Callable[[str, Any], dict[str, Any]]]] = {
    "seed": _seed,
    "train.learning_rate": _learning_rate,
}


def require_no_expert(config: Config) -> None:
    """Raise a `ConfigError` if a configuration learns from what a task's expert does."""
    if config.imitates or config.explore.expert_start:
        raise ConfigError("RIVC knows no expert of an environment; imitate with `rivc train`")


def resolve(config: Config | str | Path | None, policy: str, settings: Mapping[str, Any]) -> Config:
    """Return a configuration with some of it overridden, and the network that a policy stands for.

    Args:
        config: a configuration, a file or the name of a shipped one; None: the defaults.
        policy: ``MlpPolicy`` or ``CnnPolicy``.
        settings: by any of their names.

    Raises:
        ConfigError: if the policy or a setting is unknown, or a value is wrong.
    """
    if policy not in CONVOLUTIONS:
        known = ", ".join(CONVOLUTIONS)
        raise ConfigError(
            f"RIVC has no policy {policy!r}; known: {known}{nearest(policy, CONVOLUTIONS)}"
        )
    chosen = overrides(settings)
    if isinstance(config, Config):
        found = overridden(config, chosen)
    elif config is None:
        found = overridden(Config(), chosen)
    else:
        found = load_config(config, chosen)
    if found.net.conv or not CONVOLUTIONS[policy]:
        return found
    return overridden(found, {"net.conv": CONVOLUTIONS[policy]})
