"""`rivc bench`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rivc.cli.output import emit_json, json_option, pairs, table, verb

if TYPE_CHECKING:
    from rivc.bench.timing import Race


@verb(example="rivc bench c99")
@click.argument("name")
@json_option
def command(name: str, as_json: bool) -> None:
    """Time rivc against a peer, side by side in one process.

    NAME is one of the benches: c99, cameras, learner, qat, spikes, worlds. Each checks first that
    both do the same, and prints medians with the quartiles of their ratio over the rounds.
    """
    from rivc.bench import run_bench

    report = run_bench(name)
    if as_json:
        emit_json({"bench": name, **asdict(report)})
        return
    head = ["work", "rivc", "peer", "time", "faster", "quartiles"]
    click.echo(table(head, [_row(race) for race in report.races], right=head[1:2] + head[3:]))
    facts = [*report.facts.items(), ("versions", ", ".join(map(" ".join, report.versions.items())))]
    click.echo(f"\n{pairs(facts)}")


def _row(race: Race) -> list[str]:
    low, high = race.quartiles
    times = [f"{microseconds:,.1f} us" for microseconds in (race.ours_us, race.peer_us)]
    return [
        race.what,
        times[0],
        race.peer,
        times[1],
        f"{race.ratio:.1f}x",
        f"{low:.1f} .. {high:.1f}",
    ]
