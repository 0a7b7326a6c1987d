"""A suite: tasks x variants x bit widths x seeds, and how what they leave behind is judged."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError

from rivc.compare.job import Evaluation, Job, Width
from rivc.errors import ConfigError, nearest
from rivc.report.comparison import CHIP, EVERY_TASK, FLOAT_BITS, FPNN, bits
from rivc.train.config import load_config
from rivc.train.sections import Positive, Section
from rivc.train.shelf import Shelf, explain, read_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rivc.train.config import Config

SUITES: Final = Shelf("suite", "configs/suites")
MAX_JOBS: Final = 100_000
PEER: Final = "peer"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 .,%()_+-]*$", max_length=60)]
BitWidth = Annotated[int, Field(ge=1, le=8)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class TaskEntry(Section):
    """A task, and the returns between which scores are normalised."""

    config: str
    """A configuration: a file, or the name of a shipped one."""
    random: Finite
    """Return that counts as 0: that of random actions."""
    solved: Finite
    """Return that counts as 1: that of an expert, or of a solved task."""
    seeds: Positive | None = None
    """How many; null: as many as the suite says."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Settings by dotted key."""


class Variant(Section):
    """What is done differently: in a file, settings by dotted key, and `peer` for another one."""

    peer: Literal["sb3"] | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)


def _variant(tree: object) -> object:
    """Settings as they stand in a file, told apart from the peer."""
    if not isinstance(tree, dict):
        return {} if tree is None else tree
    rest = {key: value for key, value in tree.items() if key != PEER}
    return {PEER: tree.get(PEER), "overrides": rest}


def _listed(value: object) -> object:
    return value if isinstance(value, list) or value is None else [value]


class Exclusion(Section):
    """Combinations that are left out: those that match all that is said; null matches any."""

    task: Annotated[tuple[str, ...] | None, BeforeValidator(_listed)] = None
    variant: Annotated[tuple[str, ...] | None, BeforeValidator(_listed)] = None
    bit_width: Annotated[tuple[int, ...] | None, BeforeValidator(_listed)] = None
    seed: Annotated[tuple[int, ...] | None, BeforeValidator(_listed)] = None

    def matches(self, **place: str | int) -> bool:
        """Return whether a combination is among them."""
        said = {key: getattr(self, key) for key in place}
        return all(said[key] is None or value in said[key] for key, value in place.items())


class EffectEntry(Section):
    """What a setting is worth: variants that have it, against the same ones without."""

    variants: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_listed)]
    """That have it."""
    against: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_listed)]
    """That do not."""


class Suite(Section):
    """A whole comparison."""

    name: Name = "suite"
    """Names the folder of the results."""
    tasks: Annotated[dict[Name, TaskEntry], Field(min_length=1)]
    """By name."""
    variants: Annotated[
        dict[Name, Annotated[Variant, BeforeValidator(_variant)]], Field(min_length=1)
    ]
    """By name; all others are compared with the first."""
    bit_widths: Annotated[tuple[BitWidth, ...], Field(min_length=1)] = (4,)
    """Widths of weights and activations."""
    weight_bits: dict[BitWidth, BitWidth] = Field(default_factory=dict)
    """Width of the weights where it is not the bit width: `{1: 2}`, ternary weights at 1 bit."""
    seeds: Positive = 5
    """How many, from 0."""
    exclude: tuple[Exclusion, ...] = ()
    """Combinations that are left out."""
    evaluation: Evaluation = Evaluation()
    """Of every policy."""
    effects: dict[Name, EffectEntry] = Field(default_factory=dict)
    """What is to be said of settings, by name."""

    def jobs(self) -> list[Job]:
        """Return every job, seed by seed, so that an unfinished suite is balanced.

        Raises:
            ConfigError: if a setting is wrong; names the nearest key.
        """
        most = max(entry.seeds or self.seeds for entry in self.tasks.values())
        places = list(self._places())
        self._check_count(most * len(places))
        resolved = {at: self._resolve(*at) for at in places}
        jobs = [
            self._job(at, config, seed)
            for seed in range(most)
            for at, config in resolved.items()
            if seed < (self.tasks[at[0]].seeds or self.seeds) and not self._excluded(*at, seed)
        ]
        self._check_count(len(jobs))
        self._check_hashes(jobs)
        return jobs

    def _check_hashes(self, jobs: list[Job]) -> None:
        """Refuse two jobs in one: those whose configuration and joined names are equal."""
        seen: dict[str, Job] = {}
        for job in jobs:
            other = seen.setdefault(job.hash, job)
            if other is not job:
                told = (f"{x.variant!r} of task {x.task!r}" for x in (other, job))
                raise ConfigError(f"suite {self.name!r}: {' and '.join(told)} are the same job")

    def _check_count(self, count: int) -> None:
        if not 0 < count <= MAX_JOBS:
            raise ConfigError(f"suite {self.name!r} has {count:,} jobs, not 1..{MAX_JOBS:,}")

    def references(self) -> dict[str, tuple[float, float]]:
        """Return the returns that count as 0 and as 1, by task."""
        return {name: (entry.random, entry.solved) for name, entry in self.tasks.items()}

    def sides(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Return the variants with and without each setting that something is to be said of."""
        return {name: (effect.variants, effect.against) for name, effect in self.effects.items()}

    def _places(self) -> Iterator[tuple[str, str, int]]:
        """Task, variant and bit width of every job; a peer trains once, in floating point."""
        for task, (name, variant) in product(self.tasks, self.variants.items()):
            for width in (FLOAT_BITS,) if variant.peer else self.bit_widths:
                yield task, name, width

    def _excluded(self, task: str, variant: str, bit_width: int, seed: int) -> bool:
        place: dict[str, str | int] = {"task": task, "variant": variant}
        place |= {"bit_width": bit_width, "seed": seed}
        return any(entry.matches(**place) for entry in self.exclude)

    def _resolve(self, task: str, variant: str, bit_width: int) -> Config:
        entry, overrides = self.tasks[task], self.variants[variant].overrides
        named = {"name": f"{slug(task)}-{slug(variant)}-{bit_width}bit"}
        widths = {} if bit_width == FLOAT_BITS else self._width(bit_width).overrides()
        try:
            config = load_config(entry.config, {**entry.overrides, **widths, **overrides, **named})
        except ConfigError as error:
            raise ConfigError(f"task {task!r}, variant {variant!r}: {error}") from error
        is_other = config.quant.activation_bits != bit_width
        if is_other and bit_width != FLOAT_BITS:
            raise ConfigError(
                f"task {task!r}, variant {variant!r}: quant.activation_bits is "
                f"{config.quant.activation_bits} where the suite says {bits(bit_width)}; list it "
                "under bit_widths"
            )
        if config.eval.every_env_steps % config.log.every_env_steps:
            raise ConfigError(
                f"task {task!r}, variant {variant!r}: eval.every_env_steps must be a multiple of "
                f"log.every_env_steps ({config.log.every_env_steps}) to give a curve, not "
                f"{config.eval.every_env_steps}"
            )
        return config

    def _job(self, at: tuple[str, str, int], config: Config, seed: int) -> Job:
        task, variant, bit_width = at
        peer = self.variants[variant].peer
        kept = [k for k in self.bit_widths if not self._excluded(task, variant, k, seed)]
        return Job(
            name=f"{slug(task)}/{slug(variant)}-{bit_width}bit/seed{seed}",
            task=task,
            variant=variant,
            bit_width=bit_width,
            config=config.model_copy(update={"seed": seed}),
            peer=peer,
            widths=tuple(self._width(k) for k in kept) if peer else (),
            evaluation=self.evaluation,
        )

    def _width(self, bit_width: int) -> Width:
        return Width(weights=self.weight_bits.get(bit_width, bit_width), activations=bit_width)


def load_suite(source: str | Path) -> Suite:
    """Read a suite.

    Args:
        source: a YAML file, or the name of a shipped suite.

    Raises:
        MissingError: if there is neither such a file nor such a name.
        ConfigError: if a key is unknown or a value is wrong; names the nearest key.

    Example:
        >>> len(load_suite("smoke").jobs())
        8
    """
    tree = read_tree(str(source), SUITES)
    try:
        suite = Suite.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error, _known_keys(tree))}") from error
    for what, names in (("task", [*suite.tasks]), ("variant", [*suite.variants])):
        _check_names(str(source), what, names)
        for entry in suite.exclude:
            _check_known(f"{source}: exclude", what, getattr(entry, what) or (), names)
    _check_forms(str(source), suite.evaluation.forms)
    _check_effects(str(source), suite)
    _check_references(str(source), suite.tasks)
    return suite


def slug(name: str) -> str:
    """Return a name as part of a path.

    >>> slug("No gap, 2 ticks")
    'no-gap-2-ticks'
    """
    return re.sub(r"[^a-z0-9._+]+", "-", name.lower()).strip("-.")


def _check_names(source: str, what: str, names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if slug(name) in seen:
            raise ConfigError(f"{source}: {what}s {seen[slug(name)]!r} and {name!r} are too alike")
        seen[slug(name)] = name


def _check_forms(source: str, forms: Iterable[str]) -> None:
    where = f"{source}: evaluation.forms"
    if CHIP not in forms:
        raise ConfigError(f"{where}: one must be {CHIP!r}, by which variants are compared")
    if FPNN in forms:
        raise ConfigError(f"{where}: {FPNN!r} is the network, which is always judged")


def _check_effects(source: str, suite: Suite) -> None:
    for name, effect in suite.effects.items():
        said = [*effect.variants, *effect.against]
        _check_known(f"{source}: effects.{name}", "variant", said, [*suite.variants])
        if len(effect.variants) != len(effect.against) or len({*said}) != len(said):
            raise ConfigError(
                f"{source}: effects.{name}: variants and against must be as many, each named once"
            )


def _check_references(source: str, tasks: Mapping[str, TaskEntry]) -> None:
    for name, task in tasks.items():
        if name == EVERY_TASK:
            raise ConfigError(f"{source}: tasks.{name}: it is the name of all tasks together")
        if task.solved == task.random:
            raise ConfigError(f"{source}: tasks.{name}: random and solved are both {task.random}")


def _check_known(where: str, what: str, said: Iterable[str], names: list[str]) -> None:
    for name in said:
        if name not in names:
            raise ConfigError(f"{where}: no {what} {name!r}{nearest(name, names)}")


def _known_keys(tree: Mapping[str, Any]) -> list[str]:
    """Every dotted key that this very suite could hold."""
    named, told = (
        part if isinstance(part := tree.get(key), dict) else {} for key in ("tasks", "effects")
    )
    return [
        *Suite.model_fields,
        *(f"tasks.{name}.{key}" for name in named for key in TaskEntry.model_fields),
        *(f"evaluation.{key}" for key in Evaluation.model_fields),
        *(f"effects.{name}.{key}" for name in told for key in EffectEntry.model_fields),
        *(f"exclude.{i}.{key}" for i in range(64) for key in Exclusion.model_fields),
    ]
