"""`rivc bench`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rivc.cli.output import emit_json, json_option, pairs, table, verb

if TYPE_CHECKING:
    from rivc.bench.timing import Coded, Race


_CODED = ["map", "coder", "bytes", "of fp32", "of packed", "bits", "encode", "decode"]


@verb(example="rivc bench c99")
@click.argument("name")
@json_option
def command(name: str, as_json: bool) -> None:
    """Time rivc against a peer, side by side in one process.

    NAME is one of the benches: acting, c99, cameras, codec, convert, learner, qat, spikes,
    worlds. Each checks first that both do the same, and prints medians with the quartiles of their
    ratio over the rounds; codec prints bytes a frame and million symbols a second.
    """
    from rivc.bench import run_bench

    report = run_bench(name)
    if as_json:
        emit_json({"bench": name, **asdict(report)})
        return
    if report.races:
        head = ["work", "rivc", "peer", "time", "faster", "quartiles"]
        click.echo(table(head, [_row(race) for race in report.races], right=head[1:2] + head[3:]))
    if report.coded:
        click.echo(table(_CODED, [_coded(one) for one in report.coded], right=_CODED[2:]))
    facts = [*report.facts.items(), ("versions", ", ".join(map(" ".join, report.versions.items())))]
    click.echo(f"\n{pairs(facts)}")


def _coded(one: Coded) -> list[str]:
    speeds = ["" if speed is None else _speed(speed) for speed in (one.encode, one.decode)]
    return [
        one.frames,
        one.coder,
        f"{one.bytes_per_frame:,.1f}",
        f"{one.below_fp32:.1f}x",
        f"{one.below_packed:.2f}x",
        f"{one.bits_per_symbol:.3f}",
        *speeds,
    ]


def _speed(million: float) -> str:
    return f"{million:,.0f}" if million >= 5 else f"{million:.1f}"


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
