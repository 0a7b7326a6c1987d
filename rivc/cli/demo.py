"""`rivc demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import numpy as np

from rivc.cli.output import emit_json, json_option, note, pairs, verb
from rivc.cli.progress import frame_counter
from rivc.errors import MismatchError, RivcError

if TYPE_CHECKING:
    from rivc.cli.eval import Evaluation
    from rivc.neurochip.compare import FormResult

CONFIG: Final = "tracker"
EPISODES: Final = 10
STATES: Final = 128
SPIKING_CHIP: Final = "snntorch"


@verb(example="rivc demo --seed 1 --out videos/demo.mp4")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the run."
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the run, a new one.  [runs/tracker-seedN]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=Path("videos/demo.mp4"),
    show_default=True,
    help="The film to write.",
)
@json_option
def command(seed: int, run: Path | None, out: Path, as_json: bool) -> None:
    """Train, evaluate, verify and film the visual tracker.

    A small robot learns, through a 4-bit spiking chip, to keep a ball in the middle of its camera.
    Then the same episodes are played by the FPNN, by the program on the emulator and by real spikes
    in snnTorch neurons, and all forms are compared integer by integer.
    """
    from rivc.cli import eval as evaluation
    from rivc.cli import verify as verification
    from rivc.cli.training import close_run, run_to_the_end
    from rivc.train import Trainer, load_config

    trainer = Trainer(load_config(CONFIG, {"seed": seed}), run)
    folder = trainer.folder.path
    note(f"1/4 train: {folder}")
    trained = run_to_the_end(trainer)
    if not trained["finished"]:
        close_run(trained, as_json=as_json)
    note(f"2/4 evaluate: {EPISODES} episodes in three forms")
    found = evaluation.evaluate(folder, EPISODES, backend=SPIKING_CHIP, seed=seed, which=None)
    note("3/4 verify: every form, integer by integer")
    subject = verification.open_subject(folder, found.policy.which)
    results = verification.verify(subject, None, STATES, np.random.default_rng(seed))
    failure = verification.first_failure(subject, results)
    note(f"4/4 film: {out}")
    film = _film(folder, out, seed)
    if as_json:
        verified = verification.facts(subject, results, ok=failure is None)
        emit_json(
            {"run": str(folder), "video": film, "eval": evaluation.facts(found), "verify": verified}
        )
    else:
        click.echo(_report(found, results, folder, film))
    if failure is not None:
        raise MismatchError(failure)


def _film(folder: Path, out: Path, seed: int) -> str | None:
    """Film the policy; what keeps it from being filmed is a warning."""
    try:
        from rivc.report.film import film_run

        with frame_counter() as observe:
            return str(film_run(folder, out, seed=seed, observe=observe).path)
    except RivcError as error:
        note(f"warning: no film: {error}")
        return None


def _report(
    found: Evaluation, results: dict[str, FormResult], folder: Path, film: str | None
) -> str:
    from rivc.cli.eval import comparison

    states = max(result.states for result in results.values())
    different = [name for name, result in results.items() if result.mismatches]
    verdict = f"{', '.join(different)} differ" if different else "every integer equal"
    rows = [
        ("verified", f"{states:,} states in {len(results)} forms: {verdict}"),
        ("video", film or "none"),
        ("run", str(folder)),
    ]
    return f"\n{comparison(found.results)}\n\n{pairs(rows)}"
