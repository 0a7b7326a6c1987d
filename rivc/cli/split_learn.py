"""`rivc split learn`: the tail goes on learning on the server, over a link."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rivc.cli.output import (
    check_folder,
    cut_option,
    emit_json,
    json_option,
    note,
    pairs,
    policy_option,
    run_argument,
    table,
    verb,
)
from rivc.cli.split_facts import word
from rivc.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rivc.robot import Clock
    from rivc.split.link import LinkTrace
    from rivc.split.server import Server
    from rivc.split.throughput import Load
    from rivc.split.transport import Transport
    from rivc.train.lessons import Taught, TeachingPlan

_PATH: Final = click.Path(path_type=Path)
KBIT_PER_S: Final = 250.0  # of the link that is reckoned with if there is no trace


def _at_least(name: str, default: int, told: str, low: int = 1) -> Callable[[Any], Any]:
    return click.option(
        name, type=click.IntRange(min=low), default=default, show_default=True, help=told
    )


@verb(example="rivc split learn runs/tracker-seed0 --layer 2 --groups 8 --edge --out taught")
@run_argument("run")
@cut_option
@_at_least("--groups", 16, "Maps that stand for the channels.")
@_at_least("--stripes", 4, "Bands of rows with a step of their own.")
@click.option(
    "--bit-width",
    type=click.IntRange(1, 8),
    default=4,
    show_default=True,
    help="Of maps, and of gradients, which take at least 2.",
)
@click.option("--edge", is_flag=True, help="Let the robot's half learn too, from gradients.")
@_at_least("--frames", 2000, "Lessons to give.")
@_at_least("--episodes", 20, "Of each evaluation.")
@_at_least("--record-episodes", 8, "That groups and codec are fitted to.")
@_at_least("--seed", 0, "Of what is drawn.", low=0)
@click.option(
    "--over",
    metavar="udp://HOST:PORT|tcp://...",
    help="Let the server listen there, and the robot talk to it.  [no socket]",
)
@click.option("--key", type=_PATH, metavar="FILE", help="Shared key, as in rivc split serve.")
@click.option(
    "--link",
    type=_PATH,
    metavar="TRACE.csv",
    help="A poor link to teach over, in simulated time; see docs/split.md. Frames a second are "
    f"reckoned for it.  [for {KBIT_PER_S:g} kbit/s each way]",
)
@click.option("--out", type=_PATH, metavar="DIR", help="To write: a folder for serve and drive.")
@policy_option
@json_option
def learn(run: Path, link: Path | None, out: Path | None, as_json: bool, **how: Any) -> None:
    """Teach the server's half what group quantization takes from it, over a link.

    Features go up as maps of groups of channels; the server acts, learns from what the whole
    policy says to them, and with --edge sends gradients down. Then both halves are programs again.
    """
    from rivc.codec import GroupPlan
    from rivc.split.folder import require_own
    from rivc.split.link import LinkTrace, Phase, load_trace
    from rivc.train.lessons import TeachingPlan, teach
    from rivc.train.run import RunFolder
    from rivc.train.tail import LessonPlan

    if link and how["over"]:
        raise UsageError("--link is simulated, --over is a real way; leave one out")
    if out:
        check_folder(out)
        require_own(out)
    trace = load_trace(link) if link else LinkTrace((Phase(kbit_per_s=KBIT_PER_S),))
    bits = how["bit_width"]
    plan = TeachingPlan(
        how["layer"],
        GroupPlan(how["groups"], how["stripes"], bits),
        max(2, bits) if how["edge"] else 0,
        LessonPlan(lessons=how["frames"], seed=how["seed"]),
        how["record_episodes"],
        how["episodes"],
        how["policy"],
        _key(how["key"]),
    )
    over, simulated = how["over"], trace if link else None
    taught = teach(RunFolder.open(run), plan, lambda server: _way(server, over, simulated), note)
    if out:
        taught.folder.save(out)
    facts = taught_facts(taught, plan, trace)
    if as_json:
        emit_json(facts)
    else:
        click.echo(_text(facts))


@contextmanager
def _way(
    server: Server, over: str | None, trace: LinkTrace | None
) -> Iterator[tuple[Transport, Clock]]:
    """The robot's end of a way to a server in this process: socket, simulated link, or neither."""
    from rivc.robot import MonotonicClock, SimulatedClock
    from rivc.split.hosted import listening_in_a_thread
    from rivc.split.link import LinkModel
    from rivc.split.serve import Host
    from rivc.split.simulated import SimulatedTransport
    from rivc.split.transport import InProcess, connect, parse_address

    if over is not None:
        clock = MonotonicClock()
        with (
            listening_in_a_thread(Host(server), parse_address(over)) as address,
            closing(connect(address, clock)) as transport,
        ):
            yield transport, clock
        return
    simulated = SimulatedClock()
    if trace is None:
        yield InProcess(server, simulated), simulated
    else:
        link = LinkModel(trace, 0), LinkModel(trace, 1)
        yield SimulatedTransport(server, simulated, link), simulated


def _key(path: Path | None) -> bytes:
    from rivc.cli.splitting import read_key

    return read_key(path)


def taught_facts(taught: Taught, plan: TeachingPlan, trace: LinkTrace) -> dict[str, Any]:
    """Return what came of the lessons as `--json` prints it."""
    from rivc.train.lessons import loads

    costs = loads(taught, plan)
    traffic, returns, [row] = taught.traffic, taught.returns, taught.folder.ladder.rows
    return {
        "identity": taught.folder.identity.hex(),
        "layer": plan.layer,
        **plan.groups.__dict__,
        "gradient_bits": plan.gradient_bits,
        "frames": traffic.frames,
        "lost": dict(traffic.lost),
        "dropped": taught.dropped,
        "updates": taught.updates,
        "returns": returns,
        "recovered": returns["after"] / returns["whole"] if returns["whole"] > 0 else None,
        "packet_bytes": {
            "features_mean": row.mean_bytes,
            "features_p95": row.p95_bytes,
            "gradients_mean": traffic.each("gradient packets"),
        },
        "pipeline_frames_per_s": traffic.frames / traffic.seconds if traffic.seconds else None,
        "traffic": {
            name: {
                "up_bytes": load.up_bytes,
                "down_bytes": load.down_bytes,
                "times_sgq": _total(load) / _total(costs["sgq"]),
                "frames_per_s": _frames_per_second(load, trace),
            }
            for name, load in costs.items()
        },
    }


def _frames_per_second(load: Load, trace: LinkTrace) -> float | None:
    """None where the link is out before enough of them are through."""
    from rivc.split.throughput import frames_per_second

    try:
        return frames_per_second(load, trace)
    except ConfigError:
        return None


def _total(load: Load) -> float:
    return load.up_bytes + load.down_bytes


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def _text(facts: dict[str, Any]) -> str:
    head = ["traffic", "up [B]", "down [B]", "times", "frames/s"]
    rows = [[name, *map(_number, row.values())] for name, row in facts["traffic"].items()]
    returns = facts["returns"]
    told = [
        *((f"return {name}", f"{value:.2f}") for name, value in returns.items()),
        ("recovered", "" if facts["recovered"] is None else f"{facts['recovered']:.1%}"),
        *((name.replace("_", " "), word(facts[name])) for name in
          ("frames", "lost", "dropped", "updates", "packet_bytes", "pipeline_frames_per_s")),
    ]  # fmt: skip
    return f"{table(head, rows, right=head[1:])}\n\n{pairs(told)}"
