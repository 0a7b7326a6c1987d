"""`rivc video`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rivc.cli.output import emit_json, json_option, policy_option, run_argument, verb
from rivc.cli.progress import frame_counter

if TYPE_CHECKING:
    from rivc.train.policy import Which


@verb(example="rivc video runs/tracker-seed0 --out videos/tracker.mp4")
@run_argument()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The film to write.",
)
@click.option(
    "--episodes", type=click.IntRange(min=1), default=1, show_default=True, help="How many."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the episodes."
)
@click.option("--backend", metavar="NAME", default="emulator", show_default=True, help="The chip.")
@policy_option
@json_option
def command(  # noqa: PLR0913, PLR0917 (one argument an option)
    run: Path,
    out: Path,
    episodes: int,
    seed: int,
    backend: str,
    policy: Which | None,
    as_json: bool,
) -> None:
    """Film a policy at work.

    RUN is the folder of a run. The film shows the world, what the chip sees, the action values and
    the spikes.
    """
    from rivc.report.film import film_run

    with frame_counter() as observe:
        film = film_run(
            run, out, episodes=episodes, seed=seed, backend=backend, policy=policy, observe=observe
        )
    if as_json:
        emit_json(
            {"path": str(film.path), "frames": film.frames, "episode_return": film.episode_return}
        )
    else:
        click.echo(f"{film.path}: {film.frames} frames, return {film.episode_return:.1f}")
