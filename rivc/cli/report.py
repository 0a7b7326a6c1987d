"""`rivc report`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from rivc.cli.output import emit_json, json_option, policy_option, verb
from rivc.errors import MissingError, UsageError

if TYPE_CHECKING:
    from rivc.report.page import Page
    from rivc.train.policy import Which

PAGE_FILE, FILM_FILE = "report.html", "film.mp4"
NEITHER: Final = "there is no config.yaml"
SUFFIXES: Final = (".html", ".htm")


@verb(example="rivc report runs/tracker-seed0 --film")
@click.argument("what", metavar="RUN|SUITE", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The page to write.  [report.html in the folder of RUN, or of SUITE's results]",
)
@click.option("--film", is_flag=True, help="Film an episode of RUN first, into its folder.")
@click.option(
    "--states",
    type=click.IntRange(min=2, max=100_000),
    default=512,
    show_default=True,
    help="States of RUN's greedy episodes to count in.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of those episodes."
)
@click.option("--backend", metavar="NAME", help="The chip whose errors are measured.  [RUN's]")
@policy_option
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where SUITE's results are.  [runs/compare/NAME]",
)
@json_option
def command(  # noqa: PLR0913, PLR0917 (one argument an option)
    what: Path,
    out: Path | None,
    film: bool,
    states: int,
    seed: int,
    backend: str | None,
    policy: Which | None,
    results: Path | None,
    as_json: bool,
) -> None:
    """Write a page about a run, or about the results of a suite.

    The page is one file of HTML that needs no network: whether the policy works, whether the chip
    agrees, why, what a decision costs, how each layer is quantized. SUITE is a file, or the name of
    a shipped suite, of which `rivc compare` has results.
    """
    if out is not None and out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"cannot write {out}: a page ends in one of {', '.join(SUFFIXES)}")
    if (what / "config.yaml").is_file():
        folder = what
        page = _of_run(what, states, seed, backend, policy, film=film)
    else:
        _refuse_for_suites()
        folder, page = _of_suite(what, results)
    _write(page, out or folder / PAGE_FILE, as_json=as_json)


def _refuse_for_suites() -> None:
    """Raise UsageError if an option was given that a suite's page has no use for."""
    context = click.get_current_context()
    for name in ("film", "states", "seed", "backend", "policy"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--{name} is for the page of a run; a suite's has what was judged")


def _of_run(
    run: Path, states: int, seed: int, backend: str | None, policy: Which | None, *, film: bool
) -> Page:
    from rivc.cli.progress import frame_counter, working
    from rivc.report.examine import examine
    from rivc.report.film import film_run
    from rivc.report.run_page import find_film, run_page
    from rivc.train.threads import one_thread

    path = find_film(run)
    if film:
        with one_thread(), frame_counter() as observe:
            path = film_run(run, run / FILM_FILE, seed=seed, policy=policy, observe=observe).path
    with one_thread(), working("playing and counting"):
        found = examine(run, states, seed=seed, backend=backend, policy=policy)
    said = {"--states": states, "--seed": seed or None, "--backend": backend, "--policy": policy}
    return run_page(found, [_command("report", run, **said)], path)


def _of_suite(what: Path, results: Path | None) -> tuple[Path, Page]:
    """The folder of a suite's results, and the page of what is there."""
    from rivc.cli.compare import RESULTS
    from rivc.cli.progress import working
    from rivc.compare.page import comparison_page
    from rivc.compare.pool import known
    from rivc.compare.publish import Comparison
    from rivc.compare.suite import load_suite
    from rivc.compare.table import TABLE_FILE

    if what.is_dir():
        has_results = (what / TABLE_FILE).is_file()
        remedy = f"name the suite: rivc report SUITE --results {what}" if has_results else NEITHER
        raise MissingError(f"no run at {what}: {remedy}")
    if not what.exists() and len(what.parts) > 1:
        raise MissingError(f"nothing at {what}: name the folder of a run, or a suite")
    suite = load_suite(what)
    folder, jobs = results or RESULTS / suite.name, suite.jobs()
    table = known(jobs, folder)
    if not table.rows:
        raise MissingError(
            f"no results of {suite.name} at {folder}: rivc compare --suite {what} makes them"
        )
    commands = [
        _command("compare", "--suite", what, **{"--out": results}),
        _command("report", what, **{"--results": results}),
    ]
    with working("taking statistics"):
        found = Comparison.of_suite(suite, jobs, table)
        return folder, comparison_page(found, commands)


def _command(*words: object, **options: object) -> str:
    """The command line of some words, and of the options that have a value."""
    given = [word for name, value in options.items() if value is not None for word in (name, value)]
    return shlex.join(map(str, ["rivc", *words, *given]))


def _write(page: Page, out: Path, *, as_json: bool) -> None:
    from rivc.report.page import render
    from rivc.snn_convert.storage import write_atomically

    data = render(page).encode("utf-8", "replace")  # JSON may hold halves of letters
    write_atomically(out, data)
    if as_json:
        answers = {card.question: card.answer for card in page.cards}
        emit_json({"path": str(out), "bytes": len(data), "answers": answers})
    else:
        click.echo(f"{out}: {len(data) / 1000:,.0f} kB")
