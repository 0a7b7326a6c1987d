"""`rivc tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rivc.cli.main import INTERRUPTED
from rivc.cli.options import OVERRIDES, ConfigCommand
from rivc.cli.output import emit_json, json_option, note, verb
from rivc.cli.progress import trial_display
from rivc.cli.training import stopping

if TYPE_CHECKING:
    from rivc.train import Trainer
    from rivc.tune.study import Study, Trial

STUDIES: Final = Path("runs/tune")


@verb(cls=ConfigCommand, example="rivc tune quickstart --trials 20 --train.env_steps 10000")
@click.argument("config")
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="So many in all, those of earlier calls included.",
)
@click.option(
    "--space",
    metavar="FILE",
    default="learner",
    show_default=True,
    help="What is searched: a YAML file, or the name of a shipped one.",
)
@click.option(
    "--study",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the study.  [runs/tune/NAME]",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context, config: str, trials: int, space: str, study: Path | None, as_json: bool
) -> None:
    """Search settings with which a configuration learns well.

    CONFIG is a YAML file or the name of a shipped configuration; every setting can be given as an
    option. Trials that fall behind are stopped early. Ctrl-C leaves a checkpoint of the trial at
    work; stopped or killed, the same command goes on. Prints the best trial as YAML that
    `rivc train` takes, and leaves it in best.yaml.
    """
    from rivc.train import load_config
    from rivc.tune.space import load_space
    from rivc.tune.study import Study

    settings = load_config(config, ctx.meta[OVERRIDES])
    found = Study(settings, load_space(space, settings), study or STUDIES / settings.name)
    note(f"study: {found.folder}")
    if not _search(found, trials):
        note("stopped; the same command goes on")
        raise click.exceptions.Exit(INTERRUPTED)
    text = found.best_config()
    if as_json:
        emit_json(_facts(found))
        return
    click.echo(text, nl=False)
    note(f"next: rivc train {found.folder / 'best.yaml'}")


def _search(study: Study, trials: int) -> bool:
    """Make the trials, and tell whether all of them were made.

    The first Ctrl-C lets the trial at work finish the iteration and write a checkpoint; the second
    aborts.
    """
    try:
        with stopping(study.stop):
            study.run(trials, _tell, _train)
    except KeyboardInterrupt:
        return False
    return len(study.ended()) >= trials


def _train(trainer: Trainer) -> None:
    note(f"run: {trainer.folder.path}")
    with trial_display(trainer.config.train.env_steps) as display:
        trainer.observers.append(display)
        trainer.run()


def _tell(trial: Trial) -> None:
    value = "" if trial.value is None else f"return {trial.value:.1f}"
    settings = (f"{key} {value!r}" for key, value in trial.settings.items())
    parts = (f"trial {trial.number}", trial.state, value, *settings, trial.error)
    note("  ".join(filter(None, parts)))


def _facts(study: Study) -> dict[str, Any]:
    from dataclasses import asdict

    best = study.best()
    return {
        "study": str(study.folder),
        "trials": [asdict(trial) for trial in study.ended()],
        "best": None if best is None else asdict(best),
    }
