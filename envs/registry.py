"""The tasks that rivc ships, as data: one row a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import gymnasium

if TYPE_CHECKING:
    from collections.abc import Iterator

OBS_MODES: Final = ("rgb", "grey", "depth", "segmentation", "state")


@dataclass(frozen=True, slots=True)
class Variant:
    """Options that change a task's actions, and what they change.

    Attributes:
        options: keyword arguments of the task.
        action_layout: action dimensions `d` and choices `n` in each.
        expert_return: mean undiscounted return of the scripted expert over seeds 0 to 9.
        random_return: the same for random actions.
    """

    options: dict[str, object]
    action_layout: tuple[int, int]
    expert_return: float
    random_return: float


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What is known of a task without building it.

    Attributes:
        id: the Gymnasium id.
        entry_point: module and class.
        description: one line.
        obs_modes: the values of ``obs_mode``.
        action_layout: action dimensions `d` and choices `n` in each.
        max_episode_steps: control steps after which an episode is cut off.
        expert_return: mean undiscounted return of the scripted expert over seeds 0 to 9.
        random_return: the same for random actions.
        variants: other ways to act, by options of the task; layout and returns above are those of
            its defaults.
    """

    id: str
    entry_point: str
    description: str
    obs_modes: tuple[str, ...]
    action_layout: tuple[int, int]
    max_episode_steps: int
    expert_return: float
    random_return: float
    variants: tuple[Variant, ...] = ()

    def all_variants(self) -> Iterator[Variant]:
        """Yield every way to act; the first is the default, without options."""
        yield Variant({}, self.action_layout, self.expert_return, self.random_return)
        yield from self.variants


TASKS: Final = (
    TaskSpec(
        "rivc/ArmReach-v0",
        "rivc.envs.arm_reach:ArmReach",
        "a planar arm of three joints brings its tip over a disc",
        obs_modes=OBS_MODES,
        action_layout=(1, 7),
        max_episode_steps=100,
        expert_return=88.1,
        random_return=-29.6,
        variants=(Variant({"actions": "groups"}, (3, 3), expert_return=90.6, random_return=-26.4),),
    ),
    TaskSpec(
        "rivc/DroneHover-v0",
        "rivc.envs.drone_hover:DroneHover",
        "a quadrotor holds its place above a landing mark",
        obs_modes=OBS_MODES,
        action_layout=(4, 3),
        max_episode_steps=200,
        expert_return=167.2,
        random_return=8.3,
    ),
    TaskSpec(
        "rivc/MazeDrive-v0",
        "rivc.envs.maze_drive:MazeDrive",
        "a two-wheeled robot drives to a column past obstacles",
        obs_modes=OBS_MODES,
        action_layout=(1, 6),
        max_episode_steps=200,
        expert_return=78.1,
        random_return=11.4,
    ),
    TaskSpec(
        "rivc/PanServo-v0",
        "rivc.envs.pan_servo:PanServo",
        "a camera on a pan joint keeps a ball, riding on an arc, in its middle",
        obs_modes=OBS_MODES,
        action_layout=(1, 3),
        max_episode_steps=100,
        expert_return=93.7,
        random_return=13.2,
        variants=(Variant({"actions": 5}, (1, 5), expert_return=94.4, random_return=13.9),),
    ),
    TaskSpec(
        "rivc/PoleBalance-v0",
        "rivc.envs.pole_balance:PoleBalance",
        "a cart on a rail keeps the pole on it upright, 50 decisions a second",
        obs_modes=OBS_MODES,
        action_layout=(1, 3),
        max_episode_steps=300,
        expert_return=290.0,
        random_return=24.4,
    ),
    TaskSpec(
        "rivc/VisualTracker-v0",
        "rivc.envs.tracker:VisualTracker",
        "a two-wheeled robot keeps a wandering ball in the middle of its camera",
        obs_modes=OBS_MODES,
        action_layout=(1, 7),
        max_episode_steps=200,
        expert_return=166.7,
        random_return=17.3,
    ),
)


def task_specs() -> list[TaskSpec]:
    """Return what is known of every task, sorted by id; builds none of them."""
    return sorted(TASKS, key=lambda spec: spec.id)


def register_tasks() -> None:
    """Tell Gymnasium of the tasks."""
    for spec in TASKS:
        gymnasium.register(
            spec.id,
            entry_point=spec.entry_point,
            vector_entry_point=f"rivc.envs.batch:{spec.entry_point.partition(':')[2]}",
            max_episode_steps=spec.max_episode_steps,
        )
