"""What `rivc split` tells: facts for `--json`, tables for people."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from rivc.cli.output import emit_json, pairs, table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rivc.cli.split_robot import SplitDriven
    from rivc.robot import Percentiles
    from rivc.split.fleet import FleetReport
    from rivc.split.folder import SplitFolder
    from rivc.split.server import Server

TOLD = ("robots", "slots", "decisions", "rows", "unanswered", "watchdog_stops", "bytes_per_frame",
        "link_kbit_per_s", "episodes", "return_mean", "server")  # fmt: skip


def tell(facts: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print one of them."""
    if as_json:
        emit_json(facts)
    else:
        click.echo(text)


def server_facts(server: Server) -> dict[str, Any]:
    """Return what a server did."""
    return {
        "answered": server.answered,
        "batches": server.batches,
        "robots": server.robots,
        "dropped": dict(sorted(server.dropped.items())),
    }


def drive_facts(folder: SplitFolder, driven: SplitDriven, server: Server | None) -> dict[str, Any]:
    """Return what came of one robot."""
    report, policy, session = driven.report, driven.policy, driven.session
    returns = [e.episode_return for e in driven.task.episodes] if driven.task else []
    frames = sum(count for row, count in policy.rows.items() if row.isdecimal())
    kbit_per_s = policy.rate.pace.kbit_per_s
    return {
        "identity": folder.identity.hex(),
        "robots": 1,
        "seconds": report.seconds,
        "slots": report.slots,
        "missed_deadlines": report.missed,
        "watchdog_stops": report.stop_count,
        "decisions": dict(policy.decisions),
        "rows": dict(policy.rows),
        "unanswered": dict(policy.lost),
        "dropped": dict(session.dropped),
        "joins": session.joins,
        "frames_sent": frames,
        "bytes_per_frame": policy.sent_bytes / frames if frames else None,
        "link_kbit_per_s": kbit_per_s if math.isfinite(kbit_per_s) else None,
        "episodes": len(returns),
        "return_mean": float(np.mean(returns)) if returns else None,
        "latency_ms": {name: _milliseconds(stage) for name, stage in policy.stages.items()},
        **({"server": server_facts(server)} if server is not None else {}),
    }


def fleet_facts(folder: SplitFolder, report: FleetReport) -> dict[str, Any]:
    """Return what came of many robots, all together."""
    outcomes = report.outcomes
    answered = outcomes["in time"] + outcomes["late"] + outcomes["wrong"]
    return {
        "identity": folder.identity.hex(),
        "robots": report.robots,
        "on_time": report.on_time,
        "frames": report.frames,
        "outcomes": dict(outcomes),
        "answered": answered,
        "bytes_per_frame": report.sent_bytes / report.frames,
        "joins": report.joins,
        "dropped": dict(report.dropped),
        "latency_ms": {
            "answer": _milliseconds(report.latency),
            "late sending": _milliseconds(report.late_sending),
        },
    }


def folder_facts(folder: SplitFolder, out: Path) -> dict[str, Any]:
    """Return what a split is."""
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


def ladder_table(folder: SplitFolder) -> str:
    """Return the rows of a ladder."""
    head = ["row", "bits", "channels", "skip", "mean [B]", "p95 [B]", "return"]
    rows = [
        [str(i), *map(str, row.point), f"{row.mean_bytes:.1f}", str(row.p95_bytes),
         f"{row.episode_return:.2f}"]
        for i, row in enumerate(folder.ladder.rows)
    ]  # fmt: skip
    return table(head, rows, right=head)


def drive_text(folder: SplitFolder, driven: SplitDriven, facts: Mapping[str, Any]) -> str:
    """Return what came of one robot, for people."""
    short = {name: facts[name] for name in TOLD if name in facts}
    parts = ladder_table(folder), _stages_table(driven.policy.stages), told(short)
    return "\n\n".join(parts)


def fleet_text(report: FleetReport, facts: Mapping[str, Any]) -> str:
    """Return what came of many robots, for people."""
    stages = _stages_table({"answer": report.latency, "late sending": report.late_sending})
    short = {name: value for name, value in facts.items() if name != "latency_ms"}
    return f"{stages}\n\n{told(short)}"


def told(facts: Mapping[str, Any]) -> str:
    """Return facts one a line."""
    return pairs([(name.replace("_", " "), word(value)) for name, value in facts.items()])


def _stages_table(stages: Mapping[str, Percentiles]) -> str:
    head = ["stage [ms]", "p50", "p99", "max", "times"]
    rows = [
        [name, f"{s.p50_ms:.3f}", f"{s.p99_ms:.3f}", f"{s.max_ms:.3f}", f"{s.count:,}"]
        for name, s in stages.items()
    ]
    return table(head, rows, right=head[1:])


def _milliseconds(stage: Percentiles) -> dict[str, float]:
    return {name.removesuffix("_ms"): value for name, value in asdict(stage).items()}


def word(value: Any) -> str:
    """Return a fact as people read it.

    >>> word({"tail": 40, "share": 0.25}), word({}), word(None)
    ('tail 40, share 0.2', 'none', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {word(one)}" for name, one in value.items()) or "none"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)
