"""`rivc backends`."""

from __future__ import annotations

import click

from rivc.cli.output import emit_json, json_option, table, verb


@verb(example="rivc backends")
@json_option
def command(as_json: bool) -> None:
    """List the chips, and what installs a missing one."""
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
