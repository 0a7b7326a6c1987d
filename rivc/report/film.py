"""A film of a run's policy: the world, what the chip sees, its spikes and its action values."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rivc.errors import UsageError
from rivc.neurochip import load_backend
from rivc.neurochip.backend import require_fit
from rivc.report.draw import draw_frame
from rivc.report.scene import Scene, spiking_layers
from rivc.report.stage import Stage, action_names, film_task, frame_rate
from rivc.report.writer import film_path, write_film
from rivc.train.appraise import appraisal_seeds
from rivc.train.policy import load_program
from rivc.train.run import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from rivc.train.config import Config
    from rivc.train.policy import Which


@dataclass(frozen=True, slots=True)
class FilmInfo:
    """What was filmed.

    Attributes:
        path: of the film; a GIF beside what was asked for, if that needs a package that is missing.
        frames: one a decision.
        episode_return: mean over the episodes.
    """

    path: Path
    frames: int
    episode_return: float


def film_run(  # noqa: PLR0913 (every option of a film is a keyword)
    run_folder: Path,
    out: Path,
    *,
    episodes: int = 1,
    seed: int = 0,
    backend: str = "emulator",
    policy: Which | None = None,
    observe: Callable[[int], None] | None = None,
) -> FilmInfo:
    """Film greedy episodes of a run's program on a chip, one frame a decision.

    Every episode is played twice: first to learn which action values occur, so that the bars keep
    one scale throughout, then for the film. A world that cannot be drawn here is left out.

    Args:
        run_folder: the folder of the run.
        out: the film, ``.mp4``, ``.gif``, ``.png`` or ``.apng``.
        episodes: how many.
        seed: of the episodes; neither training nor its evaluations have met one of them.
        backend: the chip that decides.
        policy: program of the "best" evaluation so far, or the "latest"; default: the best, or the
            latest until there was an evaluation.
        observe: called with the number of frames drawn so far, for a progress display.

    Raises:
        MissingError: if there is no such run, or it has no program yet.
        UsageError: if an argument is wrong, or the film cannot be written.
        ChipLimitError: if the program does not fit the chip.
        FailedError: if chip or file fail on the way; a film of that name stays as it was.

    Example:
        >>> film_run(Path("runs/tracker-seed0"), Path("tracker.mp4"))  # doctest: +SKIP
        FilmInfo(path=PosixPath('tracker.mp4'), frames=200, episode_return=158.2)
    """
    if episodes < 1:
        raise UsageError(f"a film shows at least 1 episode, not {episodes}")
    folder, path = RunFolder.open(run_folder), film_path(Path(out))
    config, (_, program) = folder.config(), load_program(folder, policy)
    with closing(load_backend(backend, **config.backend.options_of(backend))) as chip:
        require_fit(chip, program)
        chip.load(program)
        task, view = film_task(config)
        with closing(task.env):
            stage = Stage(task, chip, program, view, tuple(appraisal_seeds(seed, episodes)))
            return _film(stage, _scene(stage, config), path, observe)


def _scene(stage: Stage, config: Config) -> Scene:
    program, quant = stage.program, config.quant
    group_names, names = action_names(stage.task)
    facts = (
        f"{quant.weight_bits}-bit weights, {quant.activation_bits}-bit spikes",
        stage.chip.name,
        f"program {program.sha256[:8]}",
    )
    value_step = program.readout_scale / config.reward_scale
    low, high = stage.rehearse()
    return Scene(
        title=config.env.id,
        subtitle="  ·  ".join(facts),
        input_shape=program.encoding.shape,
        input_levels=program.encoding.levels,
        layers=spiking_layers(program),
        group_names=group_names,
        action_names=names,
        value_step=value_step,
        value_range=(low * value_step, high * value_step),
        world_size=stage.world_size(),
        episodes=len(stage.seeds),
    )


def _film(
    stage: Stage, scene: Scene, path: Path, observe: Callable[[int], None] | None
) -> FilmInfo:
    returns: dict[int, float] = {}

    def frames() -> Iterator[NDArray[np.uint8]]:
        for count, moment in enumerate(stage.moments(), 1):
            returns[moment.episode] = moment.episode_return
            yield draw_frame(scene, moment)
            if observe is not None:
                observe(count)

    count = write_film(path, frames(), frame_rate(stage.task))
    return FilmInfo(path, count, float(np.mean(list(returns.values()))))
