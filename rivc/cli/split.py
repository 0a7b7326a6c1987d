"""`rivc split`: fit, serve, drive."""

from __future__ import annotations

import asyncio
import gc
import signal
from pathlib import Path
from typing import Any, Final

import click

from rivc.cli.main import INTERRUPTED
from rivc.cli.output import (
    backend_options_option,
    check_folder,
    cut_option,
    json_option,
    note,
    policy_option,
    run_argument,
    verb,
)
from rivc.cli.split_facts import (
    drive_facts,
    drive_text,
    fleet_facts,
    fleet_text,
    folder_facts,
    ladder_table,
    server_facts,
    tell,
    told,
)
from rivc.cli.split_learn import learn

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
@cut_option
@click.option("--out", type=_PATH, required=True, metavar="DIR", help="To write.")
@click.option(
    "--episodes", type=click.IntRange(min=1), default=8, show_default=True, help="To record."
)
@click.option(
    "--row-episodes",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="To play with each row of the ladder.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of these.")
@policy_option
@json_option
def fit(run: Path, layer: int, out: Path, as_json: bool, **how: Any) -> None:
    """Cut the policy of a run, fit codecs, and measure the ladder of rates."""
    from rivc.split.folder import require_own
    from rivc.train.ladders import LadderPlan, fit_split
    from rivc.train.run import RunFolder

    check_folder(out)
    require_own(out)
    plan = LadderPlan(how["episodes"], how["row_episodes"], how["seed"])
    folder = fit_split(RunFolder.open(run), layer, plan, how["policy"], note)
    folder.save(out)
    tell(folder_facts(folder, out), ladder_table(folder), as_json)


@verb(example="rivc split serve split --bind udp://0.0.0.0:7447 --key robot.key")
@folder_argument
@click.option("--bind", default=_ADDRESS, show_default=True, metavar="udp://HOST:PORT|tcp://...")
@key_option
@click.option("--backend", metavar="NAME", default="emulator", show_default=True, help="The chip.")
@backend_options_option
@click.option(
    "--window-ms",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="From the first frame that waits to its batch.  [what has come is one]",
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
    from rivc.cli.driving import open_chip
    from rivc.cli.splitting import new_server, read_key
    from rivc.split.folder import SplitFolder
    from rivc.split.serve import Host
    from rivc.split.server import ServerLimits
    from rivc.split.transport import parse_address

    address, key = parse_address(bind), read_key(how["key"])
    limits = ServerLimits(how["max_robots"], how["idle_s"])
    chip = open_chip(how["backend"], how["backend_options"], None)
    server = new_server(SplitFolder.load(folder), key, limits, chip)
    if not key:
        note("no --key: whoever reaches this address is served")

    gc.freeze()  # what is loaded stays, and is not looked through while robots wait

    async def run() -> None:
        host = Host(server, how["window_ms"] / 1000)
        async with host.listening(address) as listening:
            note(f"serving {folder} at {listening}")
            for ending in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(ending, host.stop)
            await host.until_ended(how["seconds"])

    asyncio.run(run())
    facts = server_facts(server)
    tell(facts, told(facts), as_json)


@verb(example="rivc split drive split --simulated --link trace.csv --seconds 600")
@folder_argument
@click.option("--connect", metavar="ADDRESS", help="Of a server.  [one in this process]")
@click.option("--link", type=_PATH, metavar="TRACE.csv", help="A poor link; see docs/split.md.")
@key_option
@click.option(
    "--robots",
    type=click.IntRange(1, 512),
    metavar="N",
    help="Play a recorded episode to a server from so many robots.  [one robot in its task]",
)
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
    help="How long a slot waits for the answer to its own frame.  [0.6 slots]",
)
@click.option(
    "--fallback",
    type=_PATH,
    metavar="DIR",
    help="A run or export that decides when no answer is young enough.  [the robot rests]",
)
@click.option("--faults", metavar="NAME|FILE.yaml", help="Of the mock robot, as in rivc drive.")
@click.option("--backend", metavar="NAME", help="The chip of the robot.  [emulator]")
@backend_options_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@json_option
def drive(folder: Path, as_json: bool, **options: Any) -> None:
    """Drive a mock robot whose policy continues on a server.

    FOLDER is what fit wrote; the robot stands in the task of its run. With --robots N, as many
    robots send what a recorded episode emitted, without loss, to see whether the server keeps up.
    """
    from rivc.cli.split_robot import SplitWords
    from rivc.cli.splitting import drive_many, drive_one
    from rivc.split.folder import SplitFolder

    loaded, words = SplitFolder.load(folder), SplitWords(**options)
    if words.robots is not None:
        report = drive_many(loaded, words)
        facts = fleet_facts(loaded, report)
        tell(facts, fleet_text(report, facts), as_json)
        return
    driven, server = drive_one(loaded, words)
    facts = drive_facts(loaded, driven, server)
    if not facts["frames_sent"]:
        note("no server answered: is `rivc split serve` at work there, with the same --key?")
    tell(facts, drive_text(loaded, driven, facts), as_json)
    if driven.report.interrupted:
        raise click.exceptions.Exit(INTERRUPTED)


for one in (fit, learn, serve, drive):
    command.add_command(one)
