"""A search space: for some settings, a range or a few choices; read from YAML, nothing evaluated.

::

    train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
    train.batch_size: {low: 32, high: 128, step: 32}
    net.hidden: [[64, 64], [128, 128]]
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import Field, RootModel, ValidationError, model_validator

from rivc.errors import ConfigError
from rivc.train.config import overridden
from rivc.train.sections import Section
from rivc.train.shelf import Shelf, explain, read_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rivc.train.config import Config

SPACES: Final = Shelf("search space", "configs/spaces")
DEFAULT: Final = "learner"
MAX_SETTINGS, MAX_CHOICES = 32, 64
_SOMEWHERE: Final = (5**0.5 - 1) / 2


class Range(Section):
    """Numbers from `low` to `high`, both included; whole ones if both are whole."""

    low: int | float
    high: int | float
    log: bool = False
    """Equal chances for equal ratios."""
    step: int | float | None = None
    """Only every so many."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError("a range needs low < high, both finite")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a logarithmic range is positive and has no step")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError("a step is positive and no longer than its range")
        return self

    @property
    def is_whole(self) -> bool:
        """True if it holds integers only."""
        numbers = (self.low, self.high, 1 if self.step is None else self.step)
        return all(isinstance(number, int) for number in numbers)

    @property
    def examples(self) -> list[Any]:
        """What must be allowed for the whole range to be."""
        if self.is_whole:
            return [self.low, self.high]
        between = _SOMEWHERE * (self.high - self.low) if self.step is None else self.step
        return [self.low, self.low + between, self.high]  # a setting of whole numbers refuses it

    def draw(self, trial: Any, key: str) -> Any:
        """Let a trial of Optuna choose."""
        if self.is_whole:
            step = {} if self.log else {"step": self.step or 1}
            return trial.suggest_int(key, self.low, self.high, log=self.log, **step)
        return trial.suggest_float(key, self.low, self.high, log=self.log, step=self.step)


class Choices(RootModel[list[Any]]):
    """A few values, of any kind."""

    root: list[Any] = Field(min_length=2, max_length=MAX_CHOICES)

    @property
    def examples(self) -> list[Any]:
        """All of them."""
        return self.root

    def draw(self, trial: Any, key: str) -> Any:
        """Let a trial of Optuna choose; it knows them by their text."""
        texts = dict.fromkeys(json.dumps(value) for value in self.root)
        return _value(trial.suggest_categorical(key, list(texts)))


@dataclass(frozen=True)
class Space:
    """What is searched, by dotted key."""

    settings: dict[str, Range | Choices]

    def draw(self, trial: Any) -> dict[str, Any]:
        """Return the settings that a trial of Optuna chooses, by dotted key."""
        return {key: domain.draw(trial, key) for key, domain in self.settings.items()}

    def to_tree(self) -> dict[str, Any]:
        """Return what a file would hold."""
        return {key: domain.model_dump(mode="json") for key, domain in self.settings.items()}


def chosen(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the parameters of a trial of Optuna stand for, by dotted key.

    Example:
        >>> chosen({"train.gap_coef": 0.5, "train.margin": "1e-05", "net.hidden": "[64, 64]"})
        {'train.gap_coef': 0.5, 'train.margin': 1e-05, 'net.hidden': [64, 64]}
    """
    return {key: _value(kept) for key, kept in params.items()}


def _value(kept: Any) -> Any:
    """The value that Optuna keeps: a number of a range, or the text of a choice."""
    return json.loads(kept) if isinstance(kept, str) else kept


def load_space(source: str, config: Config) -> Space:
    """Read a search space, and try every end and choice of it on a configuration.

    Args:
        source: a YAML file, or the name of a shipped space.
        config: that is tuned.

    Raises:
        MissingError: if there is neither such a file nor such a name.
        ConfigError: if it is no space, or the configuration does not take a value of it.
    """
    tree = {key: value for key, value in read_tree(source, SPACES).items() if key != "name"}
    if not 1 <= len(tree) <= MAX_SETTINGS:
        raise ConfigError(
            f"{source} names {len(tree)} settings; 1 to {MAX_SETTINGS} can be searched"
        )
    unnamed = [key for key in tree if not isinstance(key, str)]
    if unnamed:
        raise ConfigError(f"{source} names a setting {unnamed[0]!r}, which is no text")
    space = Space({key: _domain(source, key, value) for key, value in tree.items()})
    for key, domain in space.settings.items():
        for value in domain.examples:
            overridden(config, {key: value})
    return space


def _domain(source: str, key: str, value: object) -> Range | Choices:
    kind = Choices if isinstance(value, list) else Range
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        reason = explain(error, kind.model_fields).removeprefix(": ")
        raise ConfigError(f"{source}, {key}: {reason}") from error
