"""How well a trained program holds up under each disturbance by itself, and under all together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rivc.envs.disturb import FAMILIES, read_difficulty
from rivc.envs.gl import gl_status
from rivc.errors import MissingError, UsageError
from rivc.train.appraise import appraisal_seeds
from rivc.train.evaluate import emulated, play
from rivc.train.policy import load_program
from rivc.train.run import RunFolder
from rivc.train.setup import make_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rivc.envs.factory import Task
    from rivc.train.config import Config
    from rivc.train.evaluate import Act, Score
    from rivc.train.policy import Which

NOMINAL, RENDERER, ALL = "nominal", "other_renderer", "all"
CONDITIONS: Final = (NOMINAL, *FAMILIES, RENDERER, ALL)
SEEN: Final = (  # these change nothing for a policy that gets no pictures
    "light",
    "colours",
    "camera",
    "field_of_view",
    "textures",
    "distractors",
    RENDERER,
)


@dataclass(frozen=True, slots=True)
class Robustness:
    """What a program made of every condition.

    Attributes:
        run: name of the run's folder.
        bit_width: of its weights.
        env_id: of the task.
        policy: which of the run's.
        sha256: of the program.
        scores: by condition, the nominal one first; None where this machine cannot draw it.
    """

    run: str
    bit_width: int
    env_id: str
    policy: Which
    sha256: str
    scores: dict[str, Score | None]

    def share(self, condition: str) -> float | None:
        """Return the mean return as a share of the nominal one; None if that is not positive."""
        score, nominal = self.scores.get(condition), self.scores[NOMINAL]
        if score is None or nominal is None or nominal.return_mean <= 0:
            return None
        return score.return_mean / nominal.return_mean


def stress(
    run: Path,
    *,
    episodes: int,
    difficulty: float,
    seed: int = 0,
    which: Which | None = None,
    observe: Callable[[str], None] = lambda condition: None,
) -> Robustness:
    """Play the same episodes on the emulator under every condition.

    An episode begins alike and its target moves alike under all of them: disturbances draw from a
    stream of their own.

    Args:
        run: folder of a run of a MuJoCo task of rivc.
        episodes: of each condition.
        difficulty: share of the full extents, 0 to 1; see `rivc.envs.disturb.FULL`.
        seed: of the episodes.
        which: of the run's policies.
        observe: told of each condition when it is done.

    Raises:
        UsageError: the task of the run knows no disturbances.
    """
    read_difficulty(difficulty)
    folder = RunFolder.open(run)
    config = folder.config()
    policy, program = load_program(folder, which)
    seeds, act = appraisal_seeds(seed, episodes), emulated(program)
    scores = {}
    for condition in _conditions(config):
        scores[condition] = _try(config, condition, difficulty, act, seeds)
        observe(condition)
    return Robustness(
        folder.path.resolve().name,
        config.quant.weight_bits,
        config.env.id,
        policy,
        program.sha256,
        scores,
    )


def conditions_of(run: Path, which: Which | None = None) -> list[str]:
    """Return the conditions that a run is played under, having looked whether it can be at all.

    Raises:
        UsageError: the task of the run knows no disturbances.
        MissingError: there is no such run, or it has no program yet.
    """
    folder = RunFolder.open(run)
    load_program(folder, which)
    return _conditions(folder.config())


def _conditions(config: Config) -> list[str]:
    """Return the conditions that make a difference to a run's task."""
    from rivc.envs.base import MujocoTask

    (task,) = make_tasks(config, 1)
    try:
        if not isinstance(task.env.unwrapped, MujocoTask):
            raise UsageError(
                f"{config.env.id} knows no disturbances; only the MuJoCo tasks of rivc do, "
                "`rivc envs` lists them"
            )
        has_pictures = task.observation_kind == "image"
    finally:
        task.env.close()
    return [name for name in CONDITIONS if has_pictures or name not in SEEN]


def _try(
    config: Config, condition: str, difficulty: float, act: Act, seeds: Sequence[int]
) -> Score | None:
    """Play under one condition; None if it is another renderer that does not work here."""
    tasks: list[Task] = []
    try:
        tasks = make_tasks(_under(config, condition, difficulty), min(config.env.count, len(seeds)))
        return play(tasks, act, seeds)
    except MissingError:
        if condition != RENDERER:
            raise
        return None
    finally:
        for task in tasks:
            task.env.close()


def _under(config: Config, condition: str, difficulty: float) -> Config:
    """Return the configuration under a condition and no other."""
    kwargs: dict[str, Any] = {**config.env.kwargs, "disturbances": None}
    if condition == RENDERER:
        kwargs["camera"] = "ray" if _draws_with_gl(kwargs.get("camera", "auto")) else "gl"
    elif condition != NOMINAL:
        kwargs |= {"disturbances": condition, "difficulty": difficulty}
    return config.model_copy(update={"env": config.env.model_copy(update={"kwargs": kwargs})})


def _draws_with_gl(camera: str) -> bool:
    """Return whether OpenGL draws where an option asks for a camera."""
    return camera == "gl" or (camera == "auto" and gl_status().backend is not None)
