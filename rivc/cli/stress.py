"""`rivc stress`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rivc.cli.output import (
    check_folder,
    emit_json,
    json_option,
    note,
    policy_option,
    table,
    verb,
)
from rivc.cli.progress import counted
from rivc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivc.train.policy import Which
    from rivc.train.stress import Robustness


@verb(example="rivc stress runs/tracker-seed0 --episodes 20 --difficulty 0.5 --out runs/stress")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Of each condition.",
)
@click.option(
    "--difficulty",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of the full extents.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the episodes."
)
@policy_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for robustness.md and robustness.png.",
)
@json_option
def command(  # noqa: PLR0913, PLR0917 (one argument an option)
    runs: tuple[Path, ...],
    episodes: int,
    difficulty: float,
    seed: int,
    policy: Which | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Tell what each disturbance by itself costs a policy.

    RUN is the folder of a run of one of rivc's MuJoCo tasks; several stand side by side. Each
    program plays the same episodes on the emulator: as they are, under each disturbance, with the
    other renderer, and under all disturbances together.
    """
    from rivc.report import robustness
    from rivc.train.stress import conditions_of, stress

    total = sum(len(conditions_of(run, policy)) for run in runs)
    if out is not None:
        check_folder(out)
    with counted("playing", total) as observe:
        results = [
            stress(
                run,
                episodes=episodes,
                difficulty=difficulty,
                seed=seed,
                which=policy,
                observe=_naming(run, observe),
            )
            for run in runs
        ]
    task = ", ".join(dict.fromkeys(found.env_id for found in results))
    title = f"{task} at difficulty {difficulty:g}, {episodes} episodes"
    if as_json:
        settings = {"difficulty": difficulty, "episodes": episodes, "seed": seed}
        emit_json({**settings, "runs": [robustness.facts(found) for found in results]})
    else:
        head = ["disturbance", *map(robustness.label, results)]
        click.echo(f"{title}: {robustness.LEGEND}\n")
        click.echo(table(head, robustness.rows(results), right=head[1:]))
    if out is not None:  # last: what hours have shown is on the screen by now
        _write(out, results, title)


def _naming(run: Path, observe: Callable[[str], None]) -> Callable[[str], None]:
    return lambda condition: observe(f"{run}: {condition}")


def _write(out: Path, results: list[Robustness], title: str) -> None:
    """Write table and chart into a folder."""
    from io import BytesIO

    from rivc.report import robustness
    from rivc.snn_convert.storage import write_atomically

    picture = BytesIO()
    robustness.chart(results, title).save(picture, "PNG", optimize=True)
    files = {
        "robustness.md": robustness.markdown(results, title).encode(),
        "robustness.png": picture.getvalue(),
    }
    for name, content in files.items():
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_atomically(out / name, content)
        except OSError as error:
            raise UsageError(f"cannot write {out / name}: {error}") from error
        note(f"{out / name}")
