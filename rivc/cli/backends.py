"""`rivc backends`."""

from __future__ import annotations

from dataclasses import asdict

import click

from rivc.cli.output import emit_json, json_option, table, verb
from rivc.cli.progress import counted


@verb(example="rivc backends --check emulator --programs 200 --states 1000")
@click.option("--check", "name", metavar="NAME", help="Prove this chip with the conformance kit.")
@click.option(
    "--programs",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    help="Random programs of a check.",
)
@click.option(
    "--states",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Random states for each of them, beside the hard ones.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of a check."
)
@json_option
def command(name: str | None, programs: int, states: int, seed: int, as_json: bool) -> None:
    """List the chips, and what installs a missing one; or prove one of them.

    A check runs random programs within the chip's limits on random and hard states, and compares
    every integer with the int64 reference. It leaves with 1 if anything differs.
    """
    if name is None:
        _list(as_json=as_json)
    else:
        _check(name, (programs, states, seed), as_json=as_json)


def _list(*, as_json: bool) -> None:
    from rivc.neurochip import backend_infos

    infos = backend_infos()
    if as_json:
        rows = [
            {
                "name": info.name,
                "installed": info.is_installed,
                "summary": info.summary,
                "remedy": None if info.is_installed else info.remedy,
            }
            for info in infos
        ]
        emit_json({"backends": rows})
        return
    cells = [
        [info.name, "installed" if info.is_installed else info.remedy, info.summary]
        for info in infos
    ]
    click.echo(table(["name", "state", "what it is"], cells))


def _check(name: str, sizes: tuple[int, int, int], *, as_json: bool) -> None:
    from rivc.neurochip import load_backend
    from rivc.neurochip.testing import check_backend

    programs, states, seed = sizes
    chip = load_backend(name)
    with counted(f"checking {name}", programs) as tell:
        conformance = check_backend(
            chip, programs=programs, states=states, seed=seed, on_program=tell
        )
    if as_json:
        emit_json({"ok": conformance.ok, **asdict(conformance)})
    else:
        click.echo(str(conformance))
    conformance.raise_if_failed()
