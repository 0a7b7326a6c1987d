"""The sections of a configuration: one frozen model each, one field a line of help."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Finite = Annotated[float, Field(gt=0, allow_inf_nan=False)]
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
    """Cut episodes off so early while training, to see more starts; null: the task's time limit.
    For a task that has none it holds in evaluations, too."""

    @field_validator("kwargs")
    @classmethod
    def _own(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        """What wraps the environment is no argument of it."""
        for name in {"bins", "history"} & kwargs.keys():
            raise ValueError(f"{name} is no argument of the environment; write env.{name}")
        return kwargs


class NetConfig(Section):
    """The Q-network; convolutions need images."""

    conv: tuple[tuple[Positive, Positive, Positive], ...] = ()
    """Filters, kernel, stride of each convolution."""
    hidden: tuple[Positive, ...] = (128, 128)
    """Units of each hidden dense layer."""
    readout: Literal["plain", "centred"] = "plain"
    """centred: the chip gets only what decides between the actions of a group; see algorithm.md."""

    @model_serializer(mode="wrap")
    def _plain(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only a centred readout says so, so the hash of any other run stays what it was."""
        tree: dict[str, Any] = write(self)
        if self.readout == "plain":
            tree.pop("readout", None)
        return tree


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

    def options_of(self, name: str) -> dict[str, Any]:
        """Return the options of a back end that was named: those of the run, if it is the run's."""
        return self.options if name == self.name else {}


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
    reward_scale: Literal["auto"] | Finite = "auto"
    """Factor on rewards; auto: 1 - discount."""
    margin: NonNegative = 16.0
    """Readout steps by which the greedy action ought to lead."""
    margin_coef: NonNegative = 0.01
    """Weight of the margin loss; 0: none."""
    certify_noise: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    """Noise, in thresholds, whose drop adds to the margin and is certified against; 0: off."""
    huber_delta: Finite = 0.03
    """Error, in scaled value, from which on the loss is linear."""
    double_q: bool = True
    """The online network chooses, the target network values."""
    n_step: Positive = 1
    """Rewards summed before bootstrapping."""
    learning_rate: Finite = 1e-3
    """Adam's, at the start."""
    learning_rate_end: Share = 0.1
    """Share of the learning rate left at the end, linear in env steps."""
    sampler: Literal["chip", "network"] = "chip"
    """What acts while training; network: the FPNN itself, the baseline that never meets a chip."""
    learner: Literal["auto", "torch", "fused"] = "auto"
    """fused: compiled loops; auto: fused where it can, else torch."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Transitions an update."""
    updates_per_env_step: Finite = 0.5
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
