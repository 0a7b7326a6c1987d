"""`rivc resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivc.cli.output import json_option, note, run_argument, verb

if TYPE_CHECKING:
    from pathlib import Path


@verb(example="rivc resume runs/quickstart-seed1")
@run_argument()
@json_option
def command(run: Path, as_json: bool) -> None:
    """Go on with a run that was stopped.

    RUN is the folder of a run. It continues from its newest checkpoint exactly as if it had never
    stopped; before the first checkpoint it starts again.
    """
    from rivc.cli.training import close_run, run_to_the_end
    from rivc.train import Trainer
    from rivc.train.checkpoint import latest_checkpoint

    trainer = Trainer.resume(run)
    if latest_checkpoint(trainer.folder.checkpoints) is None:
        note(f"{run} has no checkpoint yet: it starts again")
    close_run(run_to_the_end(trainer), as_json=as_json)
