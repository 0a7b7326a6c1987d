"""Every setting of a run: its sections, and how they are read.

A configuration file holds only what differs from the defaults. Unknown keys are errors that name
the nearest key. The resolved configuration is written beside every result.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Final

import yaml
from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from rivc.errors import ConfigError
from rivc.train.sections import (
    AuditConfig,
    BackendConfig,
    CheckpointConfig,
    DistillConfig,
    EnvConfig,
    EvalConfig,
    ExploreConfig,
    LogConfig,
    NetConfig,
    QuantConfig,
    Section,
    TrainConfig,
)
from rivc.train.shelf import Shelf, explain, parse_tree, read_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo


class Config(Section):
    """A whole run."""

    name: str = "run"
    """Of the experiment; names the run folder."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of everything random."""
    env: EnvConfig = EnvConfig()
    net: NetConfig = NetConfig()
    quant: QuantConfig = QuantConfig()
    backend: BackendConfig = BackendConfig()
    train: TrainConfig = TrainConfig()
    explore: ExploreConfig = ExploreConfig()
    distill: DistillConfig = DistillConfig()
    eval: EvalConfig = EvalConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    audit: AuditConfig = AuditConfig()
    log: LogConfig = LogConfig()

    @model_serializer(mode="wrap")
    def _plain(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only a student says whose it is, so the hash of any other run stays what it was."""
        tree: dict[str, Any] = write(self)
        if self.distill == DistillConfig():
            tree.pop("distill", None)  # gone already where defaults are left out
        return tree

    @property
    def reward_scale(self) -> float:
        """The factor on rewards, resolved."""
        scale = self.train.reward_scale
        return 1.0 - self.train.discount if scale == "auto" else scale

    @property
    def imitates(self) -> bool:
        """Whether the scripted expert's choices are learnt."""
        return self.train.objective == "imitation"

    @property
    def temperature(self) -> float:
        """tau, the inverse of the inverse temperature; 0 for the hard maximum."""
        return (
            0.0
            if math.isinf(self.train.inverse_temperature)
            else 1.0 / self.train.inverse_temperature
        )

    def to_yaml(self) -> str:
        """Return every setting as YAML text, with a mark at the end that a cut-off file lacks."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, explicit_end=True)


CONFIGS: Final = Shelf("configuration", "configs")


def config_names() -> list[str]:
    """Return the names of the shipped configurations."""
    return CONFIGS.names()


def config_keys() -> list[str]:
    """Return every dotted key."""
    return list(config_fields())


def config_fields() -> dict[str, FieldInfo]:
    """Return every setting by its dotted key, with its type, default and description."""
    return dict(_leaves(Config, ""))


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from _leaves(section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def load_config(source: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration and override some of it.

    Args:
        source: a YAML file, or the name of a shipped configuration.
        overrides: values by dotted key, ``{"seed": 3, "train.gap_coef": 0.0}``; a key below a
            mapping adds to it, ``{"env.kwargs.size": 64}``.

    Returns:
        The resolved configuration.

    Raises:
        MissingError: if there is neither such a file nor such a name.
        ConfigError: if a key is unknown or a value is wrong; names the nearest key.

    Example:
        >>> load_config("quickstart", {"seed": 3}).seed
        3
    """
    tree = read_tree(str(source), CONFIGS)
    for key, value in (overrides or {}).items():
        _set(tree, key, value)
    return parse_config(tree, str(source))


def read_config(text: str, source: str) -> Config:
    """Return the configuration that a text holds; errors name `source`.

    Raises:
        ConfigError: if it is not YAML, a key is unknown or a value is wrong.
    """
    return parse_config(parse_tree(text, source), source)


def overridden(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a configuration with some values, by dotted key, in place of its own.

    Raises:
        ConfigError: if a key is unknown or a value is wrong.

    Example:
        >>> overridden(Config(), {"train.gap_coef": 0.5}).train.gap_coef
        0.5
    """
    tree = config.model_dump()
    for key, value in values.items():
        _set(tree, key, value)
    return parse_config(tree, config.name)


def parse_config(tree: Mapping[str, Any], source: str) -> Config:
    """Return the configuration of a tree of plain values; errors name `source`."""
    try:
        return Config.model_validate(dict(tree))
    except ValidationError as error:
        known = [*config_keys(), *Config.model_fields]
        raise ConfigError(f"{source}: {explain(error, known)}") from error


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        below = tree.setdefault(section, {})
        if not isinstance(below, dict):
            raise ConfigError(f"{key}: {section!r} holds a value, not keys")
        tree = below
    if isinstance(value, dict) and _is_section(key):  # all else in it would be lost
        told = next(iter(value), "NAME")
        raise ConfigError(f"{key} is a section; write its settings one by one, as {key}.{told}")
    tree[leaf] = value


def _is_section(key: str) -> bool:
    field = Config.model_fields.get(key)
    kind = None if field is None else field.annotation
    return isinstance(kind, type) and issubclass(kind, Section)
