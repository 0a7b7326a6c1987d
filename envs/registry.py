"""The tasks that rivc ships, as data: one row a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import gymnasium

OBS_MODES: Final = ("rgb", "grey", "depth", "segmentation", "state")


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
    """

    id: str
    entry_point: str
    description: str
    obs_modes: tuple[str, ...]
    action_layout: tuple[int, int]
    max_episode_steps: int
    expert_return: float
    random_return: float


TASKS: Final = (
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
