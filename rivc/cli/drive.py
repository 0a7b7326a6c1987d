"""`rivc drive`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from rivc.cli.driving import Driven, Words, drive_folder
from rivc.cli.main import INTERRUPTED
from rivc.cli.output import (
    backend_options_option,
    emit_json,
    json_option,
    note,
    pairs,
    policy_option,
    run_argument,
    table,
    verb,
)
from rivc.robot.clock import SECOND_NS

if TYPE_CHECKING:
    from rivc.robot import Percentiles
    from rivc.train.policy import Which

SHOWN = 5  # stops that are written out for people


@verb(example="rivc drive runs/tracker-seed0 --robot mock --faults rough --simulated --seconds 600")
@run_argument("folder")
@click.option(
    "--robot",
    required=True,
    metavar="NAME",
    help="mock, ros2, or module:factory of your own.",
)
@click.option(
    "--options",
    type=click.Path(path_type=Path),
    metavar="FILE.yaml",
    help="Arguments of the robot's factory.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="HZ",
    help="Decisions a second; a mock camera keeps it too.  [the task's, else 10]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="For how long.",
)
@click.option(
    "--simulated", is_flag=True, help="A mock robot in simulated time: as fast as it computes."
)
@click.option(
    "--faults",
    metavar="NAME|FILE.yaml",
    help="Of a mock robot: none, jitter, rough, hung, or a file.  [none]",
)
@click.option(
    "--watchdog-ms",
    type=click.FloatRange(0, min_open=True),
    metavar="MS",
    help="Stop when the frame behind a command is older.  [4 slots]",
)
@click.option(
    "--decision-ms",
    type=click.FloatRange(0, min_open=True),
    metavar="MS",
    help="Stop when a decision takes longer.  [1 slot]",
)
@click.option(
    "--recovery",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Decisions in a row, all in time, that end a stop.",
)
@click.option("--backend", metavar="NAME", default="emulator", show_default=True, help="The chip.")
@backend_options_option
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of a mock robot's world and faults.",
)
@policy_option
@json_option
def command(folder: Path, policy: Which | None, *, as_json: bool, **options: Any) -> None:
    """Drive a robot in closed loop at a fixed rate.

    FOLDER is an export or a run. In each slot the newest frame becomes a command within the robot's
    limits. A watchdog stops the robot when a frame or a decision is late. Ctrl-C stops it first and
    reports then. A mock robot stands in the task of the run, one step of it a frame, or sees random
    observations if the folder is an export.
    """
    words = Words(**options)
    driven = drive_folder(folder, policy, words)
    if as_json:
        emit_json(facts(driven, words))
    else:
        click.echo(report(driven, words))
    if driven.report.interrupted:
        note("stopped by an interrupt")
        raise click.exceptions.Exit(INTERRUPTED)


def facts(driven: Driven, words: Words) -> dict[str, Any]:
    """Return a drive as `--json` prints it."""
    drive, limits = driven.report, driven.settings.watchdog
    return {
        "robot": words.robot,
        "world": driven.world or None,
        "backend": words.backend,
        "program_sha256": driven.program.sha256,
        "rate_hz": driven.settings.rate_hz,
        "simulated": words.simulated,
        "interrupted": drive.interrupted,
        "seconds": drive.seconds,
        "slots": drive.slots,
        "missed_deadlines": drive.missed,
        "commands": drive.commands,
        "frameless": drive.frameless,
        "withheld": drive.withheld,
        "watchdog": None if limits is None else asdict(limits),
        "watchdog_stops": drive.stop_count,
        "stop_reasons": drive.reasons,
        "stops": [{"seconds": at_s, "late": reason} for at_s, reason in _stops(driven)],
        "jitter_ms": _milliseconds(drive.jitter),
        "latency_ms": {name: _milliseconds(stage) for name, stage in drive.stages.items()},
        **_returns(driven),
    }


def _stops(driven: Driven) -> list[tuple[float, str]]:
    """When and why, in seconds from the start."""
    drive = driven.report
    return [((stop.time_ns - drive.start_ns) / SECOND_NS, stop.reason) for stop in drive.stops]


def _milliseconds(stage: Percentiles) -> dict[str, Any]:
    return {name.removesuffix("_ms"): value for name, value in asdict(stage).items()}


def _returns(driven: Driven) -> dict[str, Any]:
    """What the world was worth, if it is a task."""
    if driven.task is None:
        return {}
    returns = [episode.episode_return for episode in driven.task.episodes]
    marks = [e.is_success for e in driven.task.episodes if e.is_success is not None]
    return {
        "episodes": len(returns),
        "return_mean": float(np.mean(returns)) if returns else None,
        "success_rate": float(np.mean(marks)) if marks else None,
        "unfinished_return": driven.task.present.episode_return,
        "unfinished_steps": driven.task.present.length,
        "rest_action": driven.rest_action,
    }


def report(driven: Driven, words: Words) -> str:
    """Return a drive for people."""
    drive = driven.report
    time = "of simulated time" if words.simulated else "of real time"
    title = (
        f"{words.robot} robot{f' in {driven.world}' if driven.world else ''}, "
        f"{driven.settings.rate_hz:g} Hz for {drive.seconds:.1f} s {time}, "
        f"program {driven.program.sha256[:12]} on {words.backend}"
    )
    stages = {**drive.stages, "jitter": drive.jitter}
    rows = [
        [name, *(f"{ms:.3f}" for ms in (s.p50_ms, s.p90_ms, s.p99_ms, s.max_ms)), f"{s.count:,}"]
        for name, s in stages.items()
    ]
    head = ["stage [ms]", "p50", "p90", "p99", "max", "times"]
    return f"{title}\n\n{table(head, rows, right=head[1:])}\n\n{pairs(_counts(driven))}"


def _counts(driven: Driven) -> list[tuple[str, str]]:
    drive, returns = driven.report, _returns(driven)
    rows = [
        ("slots", f"{drive.slots:,}: {drive.commands:,} commands, {drive.frameless:,} without a "
         f"new frame, {drive.withheld:,} withheld by the watchdog"),
        ("missed deadlines", f"{drive.missed:,}"),
        ("watchdog stops", f"{drive.stop_count:,}{_why_stopped(driven)}"),
    ]  # fmt: skip
    if driven.rest_action is not None:
        numbers = ", ".join(map(str, driven.rest_action))
        rows.append(("at rest", f"the task has no such action and takes {numbers} for it"))
    if returns:
        mean, episodes = returns["return_mean"], returns["episodes"]
        worth = "no episode ended" if mean is None else f"{mean:.1f}, {episodes} episodes"
        rows.append(("return", worth))
    return rows


def _why_stopped(driven: Driven) -> str:
    """The reasons of all stops, and when the first of them were, or those that are kept."""
    drive, stops = driven.report, _stops(driven)
    if not stops:
        return ""
    why = ", ".join(f"{n:,} late {reason}s" for reason, n in sorted(drive.reasons.items()))
    at = ", ".join(f"{at_s:.2f} s" for at_s, _ in stops[:SHOWN])
    is_cut = len(stops) < drive.stop_count
    return f": {why}; " + (f"the latest {len(stops):,} at {at}, ..." if is_cut else f"at {at}")
