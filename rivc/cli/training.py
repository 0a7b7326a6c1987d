"""Running a trainer from the command line: progress, Ctrl-C, and what is told at the end."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from rivc.cli.main import INTERRUPTED
from rivc.cli.output import emit_json, note, pairs, widths
from rivc.cli.progress import open_display
from rivc.compiled import is_kept, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from rivc.train import Trainer


def run_to_the_end(trainer: Trainer) -> dict[str, Any]:
    """Run a trainer under a progress display, and return what came of it.

    The first Ctrl-C lets it finish the iteration and write a checkpoint; the second aborts.

    Returns:
        The facts that `--json` prints; `finished` is false if the run was stopped.
    """

    def stop() -> None:
        trainer.stop_requested = True

    train = trainer.config.train
    if train.env_steps <= train.warmup_env_steps:
        note(f"nothing is learnt: the warm-up takes {train.warmup_env_steps:,} env steps")
    if train.learner != "torch" and not why_not() and not is_kept("updates.learn"):
        note("compiling loops for this machine, once: about a minute")
    with open_display(trainer.config.train.env_steps) as display, stopping(stop):
        trainer.observers.append(display)
        score = trainer.run()
    facts = _facts(trainer)
    facts["already_finished"] = facts["finished"] and score is None
    return facts


def close_run(facts: dict[str, Any], *, as_json: bool) -> None:
    """Tell how a run ended; leave with 130 if it was stopped."""
    if as_json:
        emit_json(facts)
    if facts["already_finished"]:
        note(f"{facts['run']} was finished already")
    if not facts["finished"]:
        note(f"stopped at {facts['env_steps']:,} env steps; go on with: rivc resume {facts['run']}")
        raise click.exceptions.Exit(INTERRUPTED)
    if not as_json:
        click.echo(summary(facts))


def summary(facts: dict[str, Any]) -> str:
    """Return the facts of a finished run for people."""
    equal = "every form equal in every integer"
    if not facts["chip_is_exact"]:
        equal += "; the chip, which errs on purpose, left out"
    rows = [
        ("task", f"{facts['env_id']}, seed {facts['seed']}, {facts['env_steps']:,} env steps"),
        ("integers", facts["integers"]),
        ("return", f"{_number(facts['return_mean'])}, best {_number(facts['best_return'])}"),
        ("audit", f"{facts['audited_states']:,} states, {equal}"),
        ("run", facts["run"]),
        ("next", f"rivc eval {facts['run']}"),
    ]
    return pairs(rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _facts(trainer: Trainer) -> dict[str, Any]:
    from rivc.neurochip.backend import is_exact
    from rivc.train.record import read_metrics

    folder, progress = trainer.folder, trainer.session.progress
    manifest, records = folder.read_manifest(), read_metrics(folder.path)
    last = records[-1] if records else {}
    return {
        "run": str(folder.path),
        "env_id": trainer.config.env.id,
        "seed": trainer.config.seed,
        "integers": widths(trainer.loop.program),
        "chip_is_exact": is_exact(trainer.session.chip),
        "finished": progress.finished,
        "env_steps": progress.env_steps,
        "updates": trainer.session.learner.updates,
        "return_mean": last.get("eval_return"),
        "best_return": last.get("best_return"),
        "action_gap": last.get("action_gap"),
        "action_agreement": last.get("action_agreement"),
        "audited_states": progress.audited_states,
        "program_sha256": manifest.get("program_sha256"),
        "best_program_sha256": manifest.get("best_program_sha256"),
    }


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C ask for a stop, and the second one be an interrupt as usual.

    Args:
        stop: asks for it; what is trained stops after the present iteration, with a checkpoint.
    """

    def ask(_: int, __: FrameType | None) -> None:
        stop()
        signal.signal(signal.SIGINT, before)
        note("stopping after this iteration; Ctrl-C again aborts")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
