"""`rivc report`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rivc.cli.output import emit_json, json_option, policy_option, verb
from rivc.errors import UsageError

if TYPE_CHECKING:
    from rivc.report.page import Page
    from rivc.train.policy import Which

PAGE_FILE: Final = "report.html"
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
        folder, page = _of_suite(what, results)
    _write(page, out or folder / PAGE_FILE, as_json=as_json)


def _of_run(
    run: Path, states: int, seed: int, backend: str | None, policy: Which | None, *, film: bool
) -> Page:
    import torch

    from rivc.cli.progress import frame_counter, working
    from rivc.report.examine import examine
    from rivc.report.film import film_run
    from rivc.report.run_page import run_page

    torch.set_num_threads(1)
    if film:
        with frame_counter() as observe:
            film_run(run, run / "film.mp4", seed=seed, policy=policy, observe=observe)
    with working("playing and counting"):
        found = examine(run, states, seed=seed, backend=backend, policy=policy)
    said = {"--seed": seed or None, "--backend": backend, "--policy": policy}
    words = ["rivc", "report", run, "--states", states]
    words += [word for name, value in said.items() if value is not None for word in (name, value)]
    return run_page(found, [shlex.join(map(str, words))])


def _of_suite(what: Path, results: Path | None) -> tuple[Path, Page]:
    raise NotImplementedError


def _write(page: Page, out: Path, *, as_json: bool) -> None:
    from rivc.report.page import render
    from rivc.snn_convert.storage import write_atomically

    data = render(page).encode()
    write_atomically(out, data)
    if as_json:
        answers = {card.question: card.answer for card in page.cards}
        emit_json({"path": str(out), "bytes": len(data), "answers": answers})
    else:
        click.echo(f"{out}: {len(data) / 1000:,.0f} kB")
