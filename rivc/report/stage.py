"""Playing what a film shows: a policy on a chip, in a task whose world may have no view."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import RivcError
from rivc.report.scene import Moment, spike_rates
from rivc.snn_convert import reference
from rivc.snn_convert.program import greedy
from rivc.train.evaluate import play
from rivc.train.setup import make_tasks
from rivc.train.worlds import Copy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gymnasium import Env
    from numpy.typing import NDArray

    from rivc.envs.factory import Task
    from rivc.neurochip import Backend
    from rivc.snn_convert import SpikingProgram
    from rivc.train.config import Config

DEFAULT_FPS: Final = 30.0
OUTLIERS: Final = 0.01  # share of the readouts, the lowest, that the bars do not span

_log = logging.getLogger(__name__)


class WorldView:
    """The view of a world, or nothing from its first failure on; a warning says why.

    Args:
        env: the environment; None where it has no view.
        name: of the task, for the warning.
    """

    def __init__(self, env: Env[Any, Any] | None, name: str) -> None:
        self._env, self._name = env, name

    def __call__(self) -> NDArray[np.uint8] | None:
        """Return what the world looks like now, uint8, [H, W, 3], or None."""
        if self._env is None:
            return None
        try:
            picture = np.asarray(self._env.render())
        except Exception as error:  # each renderer and each driver fails in its own way
            self._give_up(str(error).partition("\n")[0] or type(error).__name__)
            return None
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            self._give_up(f"render() gave {picture.dtype} {picture.shape}, not uint8 [H, W, 3]")
            return None
        return picture

    def _give_up(self, reason: str) -> None:
        self._env = None
        _log.warning("the film leaves out the world of %s: %s", self._name, reason)


@dataclass(frozen=True, slots=True)
class Stage:
    """A policy at work.

    Attributes:
        task: what it has to do.
        chip: holds the program.
        program: what the chip runs.
        view: of the task's world.
        seeds: one an episode.
    """

    task: Task
    chip: Backend
    program: SpikingProgram
    view: WorldView
    seeds: tuple[int, ...]

    def rehearse(self) -> tuple[int, int]:
        """Play unseen; return the least readout integer, but for outliers, and the greatest."""
        seen: list[NDArray[np.int64]] = []

        def act(observation: NDArray[Any]) -> NDArray[np.int64]:
            seen.append(self.chip.infer(self.program.encode(observation)).readout)
            return greedy(seen[-1])

        play([self.task], act, self.seeds)
        readout = np.concatenate(seen)
        return int(np.quantile(readout, OUTLIERS)), int(readout.max())

    def world_size(self) -> tuple[int, int] | None:
        """Return width and height of the view, or None."""
        self.task.env.reset(seed=self.seeds[0])
        picture = self.view()
        return None if picture is None else (picture.shape[1], picture.shape[0])

    def moments(self) -> Iterator[Moment]:
        """Play greedily; yield every decision as it falls."""
        copy = Copy(self.task)
        for episode, seed in enumerate(self.seeds, 1):
            observation, ended = copy.reset(seed), False
            while not ended:
                world = self.view()
                counts = self.program.encode(observation[None])
                result = self.chip.infer(counts)
                observation, _, _, ended = copy.step(greedy(result.readout)[0])
                yield Moment(
                    episode=episode,
                    step=copy.episode().length,
                    episode_return=copy.episode().episode_return,
                    counts=counts[0],
                    rates=spike_rates(self.program, reference.trace(self.program, counts)),
                    spike_count=int(result.spike_counts.sum()),
                    readout=result.readout[0],
                    world=world,
                )


def film_task(config: Config) -> tuple[Task, WorldView]:
    """Build the configured task, with a view of its world if it has one.

    Raises:
        ConfigError, MissingError: if the configuration asks for what is not there.
    """
    kwargs = {**config.env.kwargs, "render_mode": "rgb_array"}
    with_view = config.model_copy(update={"env": config.env.model_copy(update={"kwargs": kwargs})})
    try:
        (task,) = make_tasks(with_view, 1)
    except RivcError:  # it does not know the option, or the configuration is wrong without it too
        (task,) = make_tasks(config, 1)
        return task, WorldView(None, config.env.id)
    return task, WorldView(task.env, config.env.id)


def action_names(task: Task) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a name for each group of actions, empty if there is only one, and for each action.

    A task may give them as `group_names`, one for each of the d groups, and as `action_names`, one
    for each of the n actions of a group.
    """
    d, n = task.action_layout
    names = _given_names(task, "action_names", n)
    if d == 1:
        return ("",), names or tuple(f"action {i}" for i in range(n))
    groups = _given_names(task, "group_names", d) or tuple(f"joint {i}" for i in range(d))
    return groups, names or tuple(map(str, range(n)))


def _given_names(task: Task, attribute: str, count: int) -> tuple[str, ...]:
    """Return the names that a task gives, or none if it gives another number of them."""
    given = tuple(map(str, getattr(task.env.unwrapped, attribute, ())))
    return given if len(given) == count else ()


def frame_rate(task: Task) -> float:
    """Return the control rate in frames a second, as far as the environment tells."""
    fps = task.env.metadata.get("render_fps")
    return float(fps) if isinstance(fps, int | float) and fps > 0 else DEFAULT_FPS
