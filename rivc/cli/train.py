"""`rivc train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from rivc.cli.options import OVERRIDES, ConfigCommand
from rivc.cli.output import json_option, note, verb
from rivc.errors import UsageError

BACKEND: Final = "backend.name"


@verb(
    cls=ConfigCommand,
    example="rivc train quickstart --run runs/first --seed 1 --train.gap_coef 0.5",
)
@click.argument("config")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the run, a new one.  [runs/NAME-seedN]",
)
@click.option("--backend", metavar="NAME", help="The chip; short for --backend.name.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, config: str, run: Path | None, backend: str | None, as_json: bool
) -> None:
    """Train a policy through the chip.

    CONFIG is a YAML file or the name of a shipped configuration. Every setting can be given as an
    option; its value is read as YAML. Ctrl-C leaves a run that `rivc resume` goes on with.
    """
    from rivc.train import load_config

    overrides: dict[str, Any] = ctx.meta[OVERRIDES]
    if backend is not None:
        if overrides.get(BACKEND, backend) != backend:
            raise UsageError(f"--backend {backend} and --{BACKEND} {overrides[BACKEND]}: give one")
        overrides = {**overrides, BACKEND: backend}
    settings = load_config(config, overrides)

    from rivc.cli.training import close_run, run_to_the_end
    from rivc.train import Trainer

    trainer = Trainer(settings, run)
    note(f"run: {trainer.folder.path}")
    close_run(run_to_the_end(trainer), as_json=as_json)
