"""Every setting of a run: one frozen model a section, one field a line of help.

A configuration file holds only what differs from these defaults. Unknown keys are errors that name
the nearest key. The resolved configuration is written beside every result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from rivc.errors import ConfigError, MissingError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.resources.abc import Traversable

    from pydantic.fields import FieldInfo

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of a file of settings: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=False,
        use_attribute_docstrings=True,
        ser_json_inf_nan="constants",
    )


class EnvConfig(Section):
    """The robot task."""

    id: str = "CartPole-v1"
    """Gymnasium id, also `module:id`."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the environment."""
    count: Annotated[int, Field(ge=1, le=4096)] = 8
    """Copies stepped side by side."""
    bins: Annotated[int, Field(ge=2)] | tuple[float, ...] | None = None
    """Bins a joint, for Box actions; or their shares of the range, ascending, from -1 to 1."""
    history: bool | Annotated[int, Field(ge=1, le=100)] = False
    """Observe the last three pictures, in grey, as three channels; or three so many steps apart."""
    train_episode_steps: Positive | None = None
    """Cut episodes off so early while training, to see more starts; null: the task's time limit."""


class NetConfig(Section):
    """The Q-network; convolutions need images."""

    conv: tuple[tuple[Positive, Positive, Positive], ...] = ()
    """Filters, kernel, stride of each convolution."""
    hidden: tuple[Positive, ...] = (128, 128)
    """Units of each hidden dense layer."""


class QuantConfig(Section):
    """Widths, and the arithmetic they live in."""

    enabled: bool = True
    """Train in integers; false: float training, quantized only at conversion."""
    weight_bits: Annotated[int, Field(ge=1, le=8)] = 4
    """Width of hidden weights."""
    activation_bits: Annotated[int, Field(ge=1, le=8)] = 4
    """Width of a spike count; a neuron emits at most 2^bits - 1 spikes."""
    profile: str = "auto"
    """Arithmetic profile; auto: the back end's."""


class BackendConfig(Section):
    """The chip that gathers every sample."""

    name: str = "emulator"
    """As in `rivc backends`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the back end."""
    on_failure: Literal["stop", "emulator"] = "stop"
    """If the chip fails: stop with a checkpoint, or go on in the emulator, in equal integers."""
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    """Seconds that an inference may take before the chip counts as failed; null: any time."""


class TrainConfig(Section):
    """The loop; every cadence is in env steps, all copies counted."""

    env_steps: Positive = 30_000
    """Length of the run."""
    objective: Literal["value", "imitation"] = "value"
    """value: Bellman targets of the rewards; imitation: the task's expert's choices."""
    warmup_env_steps: Positive = 1_000
    """Random steps first: they fill the replay and fix input ranges and activation steps."""
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Discount of a step."""
    gap_coef: Share = 0.9
    """How much the target widens the action gap; 0 is (soft) DQN."""
    gap_clip: Annotated[float, Field(le=0)] = -1.0
    """Lower clip of the gap term, in scaled value; -.inf: none."""
    inverse_temperature: Annotated[float, Field(gt=0)] = 100.0
    """Of the soft maximum, per scaled value; .inf is the hard maximum."""
    reward_scale: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    """Factor on rewards; auto: 1 - discount."""
    margin: NonNegative = 16.0
    """Readout steps by which the greedy action ought to lead."""
    margin_coef: NonNegative = 0.01
    """Weight of the margin loss; 0: none."""
    certify_noise: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    """Noise, in thresholds, whose drop adds to the margin and is certified against; 0: off."""
    huber_delta: Annotated[float, Field(gt=0)] = 0.03
    """Error, in scaled value, from which on the loss is linear."""
    double_q: bool = True
    """The online network chooses, the target network values."""
    n_step: Positive = 1
    """Rewards summed before bootstrapping."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Adam's, at the start."""
    learning_rate_end: Share = 0.1
    """Share of the learning rate left at the end, linear in env steps."""
    sampler: Literal["chip", "network"] = "chip"
    """What acts while training; network: the FPNN itself, the baseline that never meets a chip."""
    learner: Literal["auto", "torch", "fused"] = "auto"
    """fused: compiled loops; auto: fused where it can, else torch."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Transitions an update."""
    updates_per_env_step: Annotated[float, Field(gt=0)] = 0.5
    """Gradient steps for every env step."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 10.0
    """Clip on the gradient's norm."""
    replay_capacity: Positive = 100_000
    """Observations kept."""
    env_steps_per_conversion: Positive = 32
    """Convert and load on the chip this often."""
    env_steps_per_target_sync: Positive = 100
    """Copy the network to the target network this often."""
    target_blend: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the network in the new target; 1 is a plain copy."""

    @model_validator(mode="after")
    def _soft_enough(self) -> Self:
        """Choices have a likelihood only under a soft policy."""
        if self.objective == "imitation" and math.isinf(self.inverse_temperature):
            message = "objective=imitation needs a finite inverse_temperature"
            raise ValueError(message)
        return self


class ExploreConfig(Section):
    """How the chip's greedy actions are varied, drawn for each environment and group by itself."""

    kind: Literal["epsilon", "boltzmann"] = "epsilon"
    """epsilon: sometimes uniform; boltzmann: softmax of the action values."""
    epsilon_start: Share = 1.0
    """Share of random actions after warm-up."""
    epsilon_end: Share = 0.05
    """Share of random actions in the end."""
    epsilon_env_steps: Positive = 5_000
    """Length of the linear fall."""
    expert_start: Share = 0.0
    """Share of actions, warm-up included, that the task's scripted expert chooses at first."""
    expert_env_steps: Positive = 5_000
    """Length of its linear fall to none."""


class DistillConfig(Section):
    """What makes a run the student of another: see `rivc.train.distill`."""

    parent: str | None = None
    """Folder of the run whose policy is the teacher; null: learn from rewards."""
    layer: Positive | None = None
    """Layer of the program whose counts are sent, 1 for the first; null: none is."""
    rate: NonNegative = 0.0
    """Price of a thousand bits of a frame of these counts, in the loss."""
    weight_rate: NonNegative = 0.0
    """Price of a bit a weight, in the loss."""
    rise: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the run in which prices rise from nothing."""


class EvalConfig(Section):
    """Greedy episodes on the chip while training; the best program is kept."""

    every_env_steps: Positive = 2_500
    """How often."""
    episodes: Positive = 10
    """Episodes an evaluation."""


class CheckpointConfig(Section):
    """What makes a run resumable."""

    every_env_steps: Positive = 5_000
    """How often."""


class AuditConfig(Section):
    """Equality of all forms, checked while training."""

    every_conversions: Positive = 50
    """How often."""
    states: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Replayed states an audit."""


class LogConfig(Section):
    """Metrics, to JSON lines and TensorBoard."""

    every_env_steps: Positive = 500
    """How often."""
    wandb: Annotated[str, Field(min_length=1)] | None = None
    """Project on Weights & Biases to send them to as well; null: none."""


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


@dataclass(frozen=True, slots=True)
class Shelf:
    """YAML files that are shipped with rivc.

    Attributes:
        what: they are called in an error.
        folder: that holds them, from the top of the source tree.
    """

    what: str
    folder: str

    def names(self) -> list[str]:
        """Return the names of the files on it."""
        entries = self._place().iterdir()
        return sorted(Path(x.name).stem for x in entries if x.name.endswith(".yaml"))

    def text(self, name: str) -> str:
        """Return what is in one of the files."""
        return (self._place() / f"{name}.yaml").read_text()

    def _place(self) -> Traversable:
        return files("rivc").joinpath(*self.folder.split("/"))


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


def read_tree(source: str, shelf: Shelf) -> dict[str, Any]:
    """Return what a YAML file, or a shipped one, holds; its `name` is the file's if it has none.

    Raises:
        MissingError: if there is neither such a file nor such a name.
        ConfigError: if it is not YAML, or not keys and values.
    """
    text, name = _read(source, shelf)
    try:
        tree = yaml.safe_load(text) or {}
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{source} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{source} must hold keys and values, not a {type(tree).__name__}")
    tree.setdefault("name", name)
    return tree


def _read(source: str, shelf: Shelf) -> tuple[str, str]:
    path = Path(source)
    try:
        if path.is_file():
            return path.read_text(), path.stem
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {source}: {error}") from error
    names = shelf.names()
    if (
        path.stem in names
        and path.parent in {Path(), Path(shelf.folder)}
        and path.suffix in {"", ".yaml"}
    ):
        return shelf.text(path.stem), path.stem
    raise MissingError(
        f"no {shelf.what} {source!r}; shipped: {', '.join(names)}{nearest(source, names)}"
    )


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        below = tree.setdefault(section, {})
        if not isinstance(below, dict):
            raise ConfigError(f"{key}: {section!r} holds a value, not keys")
        tree = below
    tree[leaf] = value


def explain(error: ValidationError, known: Iterable[str]) -> str:
    """Return one problem in one line: an unknown key, with the nearest known one, or the first."""
    problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(
        str(part) for part in problem["loc"] if not (isinstance(part, str) and "[" in part)
    )
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest(key, known)}"
    return f"{key}: {problem['msg']}, got {problem['input']!r}"
