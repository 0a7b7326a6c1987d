"""`rivc publish`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rivc.cli.output import (
    check_folder,
    emit_json,
    json_option,
    pairs,
    policy_option,
    run_argument,
    verb,
)
from rivc.cli.progress import working

if TYPE_CHECKING:
    from rivc.train.policy import Which

CARD_FILE, CONFIG_FILE = "README.md", "config.yaml"
UNKNOWN: Final = "unknown"


@verb(example="rivc publish runs/quickstart-seed1 --out zoo/quickstart --licence mit")
@run_argument()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="A new or empty folder, or an earlier one to replace.",
)
@click.option(
    "--licence",
    "--license",
    "licence",
    default=UNKNOWN,
    show_default=True,
    metavar="NAME",
    help="Under which others may use it, as model hubs abbreviate it: mit, apache-2.0.",
)
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="That the card's return is the mean of.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the episodes."
)
@policy_option
@json_option
def command(  # noqa: PLR0913, PLR0917 (one argument an option)
    run: Path,
    out: Path,
    licence: str,
    episodes: int,
    seed: int,
    policy: Which | None,
    as_json: bool,
) -> None:
    """Make a folder for a model hub: program, golden vectors and card.

    RUN is the folder of a run. The policy plays greedy episodes first, and the card tells what came
    of them. Nothing is sent anywhere; load_verified of rivc.neurochip.export reads the folder back.
    """
    from rivc.cli.eval import evaluate
    from rivc.neurochip.export import export_program
    from rivc.neurochip.export.folder import require_own
    from rivc.report.card import Card
    from rivc.train.checkpoint import env_steps_made
    from rivc.train.run import RunFolder
    from rivc.train.task_world import known_rate_hz

    folder = RunFolder.open(run)
    check_folder(out)
    require_own(out)
    config, versions = folder.config(), folder.read_manifest().get("versions")
    with working("playing episodes"):
        found = evaluate(run, episodes, backend=None, seed=seed, which=policy)
    program = found.policy.program
    card = Card(
        config,
        program,
        found.results[-1],
        seed,
        licence,
        versions if isinstance(versions, dict) else {},
        env_steps_made(run),
    )
    export = export_program(
        program,
        out,
        origin={
            "name": config.name,
            "env_id": config.env.id,
            "seed": config.seed,
            "rate_hz": known_rate_hz(config),
        },
        extra={CARD_FILE: card.text().encode(), CONFIG_FILE: config.to_yaml().encode()},
    )
    score = found.results[-1].score
    if as_json:
        facts = {"return_mean": score.return_mean, "return_std": score.return_std}
        emit_json({"out": str(out), "licence": licence, **facts, **export.manifest})
        return
    rows = [
        ("program", f"{program.sha256[:12]}, the {found.policy.which} policy of {run}"),
        ("return", f"{score.return_mean:.1f} ± {score.return_std:.1f}, {episodes} episodes"),
        ("files", ", ".join([*export.manifest["files"], "manifest.json"])),
        ("next", f"rivc verify {out}"),
    ]
    click.echo(pairs(rows))
