"""`rivc split`: fit, serve, drive."""

from __future__ import annotations

import asyncio
import math
import signal
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np

from rivc.cli.main import INTERRUPTED
from rivc.cli.output import (
    emit_json,
    json_option,
    note,
    pairs,
    policy_option,
    run_argument,
    table,
    verb,
)
from rivc.cli.progress import working
from rivc.cli.split_learn import learn

if TYPE_CHECKING:
    from rivc.cli.splitting import SplitDriven
    from rivc.split.folder import SplitFolder
    from rivc.split.server import Server

_PATH: Final = click.Path(path_type=Path)
_POSITIVE: Final = click.FloatRange(0, min_open=True)
_ADDRESS: Final = "udp://127.0.0.1:7447"
folder_argument = click.argument("folder", type=_PATH)
key_option = click.option(
    "--key",
    type=_PATH,
    metavar="FILE",
    help="Shared key, at least 16 bytes; without it nothing is authenticated.",
)


@click.group(
    epilog="\b\nExample:\n"
    "  rivc split fit runs/tracker-seed0 --layer 2 --out split\n"
    "  rivc split serve split &\n"
    "  rivc split drive split --connect udp://127.0.0.1:7447 --link trace.csv"
)
def command() -> None:
    """Hold the first layers on the robot and the rest on a server.

    fit makes the folder that both ends need, and so does learn. Each verb takes --json.
    """


@verb(example="rivc split fit runs/tracker-seed0 --layer 2 --out split")
@run_argument("run")
@click.option(
    "--layer",
    type=click.IntRange(min=1),
    required=True,
    help="How many layers stand before the cut, 1 for the first.",
)
@click.option("--out", type=_PATH, required=True, metavar="DIR", help="To write.")
@click.option(
    "--episodes", type=click.IntRange(min=1), default=8, show_default=True, help="To record."
)
@click.option(
    "--row-episodes",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="To play with each row of the ladder.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of these.")
@policy_option
@json_option
def fit(run: Path, layer: int, out: Path, as_json: bool, **how: Any) -> None:
    """Cut the policy of a run, fit codecs, and measure the ladder of rates."""
    from rivc.train.ladders import LadderPlan, fit_split
    from rivc.train.run import RunFolder

    plan = LadderPlan(how["episodes"], how["row_episodes"], how["seed"])
    with working("fitting a split"):
        folder = fit_split(RunFolder.open(run), layer, plan, how["policy"])
    folder.save(out)
    _tell(_folder_facts(folder, out), _ladder_table(folder), as_json)


@verb(example="rivc split serve split --bind udp://0.0.0.0:7447 --key robot.key")
@folder_argument
@click.option("--bind", default=_ADDRESS, show_default=True, metavar="udp://HOST:PORT|tcp://...")
@key_option
@click.option("--backend", metavar="NAME", default="emulator", show_default=True, help="The chip.")
@click.option(
    "--window-ms",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="From the first frame that waits to its batch.",
)
@click.option("--max-robots", type=click.IntRange(1), default=64, show_default=True)
@click.option(
    "--idle-s", type=_POSITIVE, default=30.0, show_default=True, help="Forget a silent robot."
)
@click.option("--seconds", type=_POSITIVE, help="For how long.  [until it is stopped]")
@json_option
def serve(folder: Path, bind: str, as_json: bool, **how: Any) -> None:
    """Serve the second half of a policy to many robots.

    FOLDER is what fit wrote. Ctrl-C ends it with a report.
    """
    from rivc.cli.splitting import new_server, read_key
    from rivc.split.folder import SplitFolder
    from rivc.split.serve import Host
    from rivc.split.server import ServerLimits
    from rivc.split.transport import parse_address

    address, key = parse_address(bind), read_key(how["key"])
    limits = ServerLimits(how["max_robots"], how["idle_s"])
    server = new_server(SplitFolder.load(folder), key, limits, how["backend"])
    if not key:
        note("no --key: whoever reaches this address is served")

    async def run() -> None:
        host = Host(server, how["window_ms"] / 1000)
        async with host.listening(address) as listening:
            note(f"serving {folder} at {listening}")
            for ending in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(ending, host.stop)
            await host.until_ended(how["seconds"])

    asyncio.run(run())
    facts = server_facts(server)
    _tell(facts, pairs([(name, str(value)) for name, value in facts.items()]), as_json)


@verb(example="rivc split drive split --simulated --link trace.csv --seconds 600")
@folder_argument
@click.option("--connect", metavar="ADDRESS", help="Of a server.  [one in this process]")
@click.option("--link", type=_PATH, metavar="TRACE.csv", help="A poor link; see docs/split.md.")
@key_option
@click.option("--robots", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--rate", type=_POSITIVE, metavar="HZ", help="Frames a second.  [the task's, or 20]")
@click.option("--seconds", type=_POSITIVE, default=60.0, show_default=True, help="For how long.")
@click.option("--simulated", is_flag=True, help="In simulated time: as fast as it computes.")
@click.option(
    "--deadline-ms",
    type=_POSITIVE,
    metavar="MS",
    help="An answer is used so long after the capture of its frame.  [2 slots]",
)
@click.option(
    "--wait-ms",
    type=click.FloatRange(0),
    metavar="MS",
    help="How long a slot waits for the answer to its own frame.  [0.7 slots]",
)
@click.option(
    "--fallback",
    type=_PATH,
    metavar="DIR",
    help="A run or export that decides when no answer is young enough.  [the robot rests]",
)
@click.option("--faults", metavar="NAME|FILE.yaml", help="Of the mock robot, as in rivc drive.")
@click.option("--backend", metavar="NAME", default="emulator", show_default=True, help="The chip.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@json_option
def drive(folder: Path, as_json: bool, **options: Any) -> None:
    """Drive mock robots whose policy continues on a server.

    FOLDER is what fit wrote; the robots stand in the task of its run.
    """
    from rivc.cli.splitting import SplitWords, drive_split
    from rivc.split.folder import SplitFolder

    loaded = SplitFolder.load(folder)
    driven, server = drive_split(loaded, SplitWords(**options))
    facts = drive_facts(loaded, driven)
    if server is not None:
        facts["server"] = server_facts(server)
    _tell(facts, _drive_text(loaded, driven, facts), as_json)
    if any(robot.report.interrupted for robot in driven):
        raise click.exceptions.Exit(INTERRUPTED)


def server_facts(server: Server) -> dict[str, Any]:
    """Return what a server did as `--json` prints it."""
    return {
        "answered": server.answered,
        "batches": server.batches,
        "robots": server.robots,
        "dropped": dict(sorted(server.dropped.items())),
    }


def drive_facts(folder: SplitFolder, driven: list[SplitDriven]) -> dict[str, Any]:
    """Return a drive as `--json` prints it; numbers of all robots together, stages of each."""
    decisions, rows, lost, dropped = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for robot in driven:
        decisions += robot.policy.decisions
        rows += robot.policy.rows
        lost += robot.policy.lost
        dropped += robot.session.dropped
    returns = [e.episode_return for robot in driven if robot.task for e in robot.task.episodes]
    frames = sum(count for row, count in rows.items() if row.isdecimal())
    sent = sum(robot.policy.sent_bytes for robot in driven)
    return {
        "identity": folder.identity.hex(),
        "robots": len(driven),
        "seconds": max(robot.report.seconds for robot in driven),
        "slots": sum(robot.report.slots for robot in driven),
        "missed_deadlines": sum(robot.report.missed for robot in driven),
        "watchdog_stops": sum(robot.report.stop_count for robot in driven),
        "decisions": dict(decisions),
        "rows": dict(rows),
        "unanswered": dict(lost),
        "dropped": dict(dropped),
        "joins": sum(robot.session.joins for robot in driven),
        "frames_sent": frames,
        "bytes_per_frame": sent / frames if frames else None,
        "link_kbit_per_s": [_finite(robot.policy.rate.kbit_per_s) for robot in driven],
        "episodes": len(returns),
        "return_mean": float(np.mean(returns)) if returns else None,
        "latency_ms": [
            {
                name: {k.removesuffix("_ms"): v for k, v in asdict(stage).items()}
                for name, stage in robot.policy.stages.items()
            }
            for robot in driven
        ],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _folder_facts(folder: SplitFolder, out: Path) -> dict[str, Any]:
    split = folder.split
    return {
        "out": str(out),
        "identity": folder.identity.hex(),
        "layer": split.layer,
        "shape": list(split.shape),
        "bit_width": split.bit_width,
        "edge_sha256": split.edge.sha256,
        "server_sha256": split.server.sha256,
        "rows": [
            {
                **row.point._asdict(),
                "mean_bytes": row.mean_bytes,
                "p95_bytes": row.p95_bytes,
                "return": row.episode_return,
            }
            for row in folder.ladder.rows
        ],
    }


def _ladder_table(folder: SplitFolder) -> str:
    head = ["row", "bits", "channels", "skip", "mean [B]", "p95 [B]", "return"]
    rows = [
        [str(i), *map(str, row.point), f"{row.mean_bytes:.1f}", str(row.p95_bytes),
         f"{row.episode_return:.2f}"]
        for i, row in enumerate(folder.ladder.rows)
    ]  # fmt: skip
    return table(head, rows, right=head)


def _drive_text(folder: SplitFolder, driven: list[SplitDriven], facts: dict[str, Any]) -> str:
    head = ["stage [ms]", "p50", "p99", "max", "times"]
    rows = [
        [name, f"{s.p50_ms:.3f}", f"{s.p99_ms:.3f}", f"{s.max_ms:.3f}", f"{s.count:,}"]
        for name, s in driven[0].policy.stages.items()
    ]
    told = ("robots", "slots", "decisions", "rows", "unanswered", "watchdog_stops",
            "bytes_per_frame", "link_kbit_per_s", "episodes", "return_mean", "server")  # fmt: skip
    names = [(name.replace("_", " "), _word(facts[name])) for name in told if name in facts]
    return f"{_ladder_table(folder)}\n\n{table(head, rows, right=head[1:])}\n\n{pairs(names)}"


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_word(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return " ".join(map(_word, value))
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def _tell(facts: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        emit_json(facts)
    else:
        click.echo(text)


for one in (fit, learn, serve, drive):
    command.add_command(one)
