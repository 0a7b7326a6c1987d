"""`rivc compare`."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rivc.cli.main import INTERRUPTED
from rivc.cli.output import check_folder, emit_json, json_option, note, table, verb
from rivc.cli.progress import counted, suite_display

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivc.compare.job import Job
    from rivc.compare.publish import Comparison
    from rivc.compare.suite import Suite

RESULTS: Final = Path("runs/compare")


@verb(example="rivc compare --suite smoke --jobs 2")
@click.argument("runs", metavar="[RUN...]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--suite", metavar="FILE", help="A YAML file, or the name of a shipped suite.")
@click.option(
    "--jobs",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Jobs side by side, one thread each; 0 only reports what is there.",
)
@click.option(
    "--episodes",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="Of every form of RUN; a suite has its own.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the results.  [runs/compare/NAME]",
)
@click.option("--list", "is_list", is_flag=True, help="List the jobs of the suite, and stop.")
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw figures.")
@json_option
def command(  # noqa: PLR0913, PLR0917 (one argument an option)
    runs: tuple[Path, ...],
    suite: str | None,
    jobs: int,
    episodes: int,
    out: Path | None,
    is_list: bool,
    figures: bool,
    as_json: bool,
) -> None:
    """Compare variants over seeds: train a suite, or judge runs.

    A suite trains and judges every job that is not done yet; stopped or killed, the same command
    goes on. RUN is the folder of a run: runs of one configuration are seeds of one variant. Tables
    and figures hold interquartile means with intervals, pairs, profiles, curves and flip rates.
    """
    if bool(runs) == (suite is not None):
        raise click.UsageError("give either --suite FILE or folders of runs")
    if suite is None:
        if is_list:
            raise click.UsageError("--list is for a suite; runs have no jobs")
        folder = out or RESULTS / "runs"
        _check_figures(figures=figures)
        check_folder(folder)
        found = _of_runs(runs, episodes)
        _close(found, folder, figures=figures, as_json=as_json)
        return
    from rivc.compare.suite import load_suite

    loaded = load_suite(suite)
    folder, work = out or RESULTS / loaded.name, loaded.jobs()
    if is_list:
        _list(work, folder, as_json=as_json)
        return
    _check_figures(figures=figures)
    found = _of_suite(loaded, work, folder, jobs)
    _close(found, folder, figures=figures, as_json=as_json)
    if found.failed:
        raise click.exceptions.Exit(1)


def _of_suite(suite: Suite, work: list[Job], folder: Path, workers: int) -> Comparison:
    """Do what is left of a suite."""
    from rivc.compare.judge import opened
    from rivc.compare.pool import run_jobs
    from rivc.compare.publish import Comparison

    if workers:
        with opened(suite.evaluation):
            pass  # a name that is wrong is told now, not after the first training
    note(f"{len(work):,} jobs in {folder}")
    with _resumable(), suite_display(len(work)) as observe:
        results = run_jobs(work, folder, workers, observe)
    return Comparison.of_suite(suite, work, results)


def _of_runs(runs: tuple[Path, ...], episodes: int) -> Comparison:
    """Judge runs that are there."""
    from rivc.compare.job import Evaluation
    from rivc.compare.publish import Comparison
    from rivc.compare.runs import rows_of
    from rivc.train.threads import one_thread

    with one_thread(), counted("judging", len(runs)) as observe:
        rows = rows_of(runs, Evaluation(episodes=episodes), observe)
    references = {row["task"]: None for row in rows}
    return Comparison("Runs", rows, references, jobs=len(rows))


def _close(found: Comparison, folder: Path, *, figures: bool, as_json: bool) -> None:
    """Write the report, and tell the essence of it."""
    from rivc.cli.progress import working
    from rivc.compare.publish import publish

    with working("taking statistics"):
        paths = publish(found, folder, figures=figures)
    for row in found.failed:
        note(f"failed: {row['job']}: {row['error']}")
    if as_json:
        emit_json(_facts(found, folder))
        return
    click.echo(_table([line for line in found.lines if line.contender.is_plain]))
    note(f"{paths[0]} and {len(paths) - 1} more files")


def _table(summary: list[Any]) -> str:
    from rivc.report.tables import span

    head = ["contender", "runs", "score", "flips", "CPU s"]
    tasks = list(dict.fromkeys(task for line in summary for task in line.returns))
    rows = [
        [
            line.contender.label,
            str(sum(line.runs.values())),
            span(line.score) if line.score and len(tasks) > 1 else "",
            "" if line.flip_rate is None else f"{line.flip_rate:.2%}",
            "" if line.cpu_seconds is None else f"{line.cpu_seconds:,.0f}",
            *(span(line.returns[task], 1) if task in line.returns else "" for task in tasks),
        ]
        for line in summary
    ]
    return table([*head, *tasks], rows, right=[*head[1:], *tasks])


def _facts(found: Comparison, folder: Path) -> dict[str, Any]:
    return {
        "out": str(folder),
        "jobs": found.jobs,
        "done": len(found.rows),
        "failed": {row["job"]: row["error"] for row in found.failed},
        "contenders": [
            {
                "variant": line.contender.variant,
                "bit_width": line.contender.bit_width,
                "form": line.contender.form,
                "runs": sum(line.runs.values()),
                "score": _interval(line.score),
                "returns": {task: _interval(value) for task, value in line.returns.items()},
                "flip_rate": line.flip_rate,
                "cpu_seconds": line.cpu_seconds,
            }
            for line in found.lines
        ],
    }


def _interval(value: Any) -> dict[str, float | None] | None:
    from rivc.report.tables import ends

    return None if value is None else dict(zip(("iqm", "low", "high"), ends(value), strict=True))


def _list(work: list[Job], folder: Path, *, as_json: bool) -> None:
    """Tell what the jobs are and how far they have come."""
    from rivc.compare.pool import State, known

    found = known(work, folder)
    status = {row["hash"]: row["status"] for row in found.of(work)}
    states = [(job, status.get(job.hash, "waiting")) for job in work]
    left = State(work, found, 1).cpu_seconds_left()
    if as_json:
        facts = [{"job": job.name, "status": state, "hash": job.hash} for job, state in states]
        emit_json({"out": str(folder), "cpu_seconds_left": left, "jobs": facts})
        return
    click.echo(table(["job", "state"], [[job.name, state] for job, state in states]))
    note(f"{len(work):,} jobs" + ("" if left is None else f", {left / 3600:.2g} CPU hours left"))


def _check_figures(*, figures: bool) -> None:
    """Find out now, not after two days, that figures cannot be drawn."""
    if figures:
        from rivc.report.plots import require

        require()


@contextmanager
def _resumable() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        note("stopped; the same command goes on")
        raise click.exceptions.Exit(INTERRUPTED) from None
