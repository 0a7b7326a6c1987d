"""How many robots one server bears: the row of docs/results.md about many robots.

``python -m tests.learning.fleet SPLIT 8 16 32 --seconds 600`` starts `rivc split serve` and, for
each number, `rivc split drive --robots N`, two processes with a key between them, and prints a line
of JSON a number: what `rivc split drive --json` says, and the resident memory of both ends, early
and late. With ``--before-others`` both run before whatever else the machine does (Linux, root).
SPLIT is a folder of `rivc split fit`.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

RIVC: Final = (sys.executable, "-m", "rivc.cli.main", "split")
EARLY_S: Final = 60  # until then memory may grow: caches fill
KEPT: Final = ("robots", "on_time", "frames", "outcomes", "latency_ms", "joins", "dropped")


def main() -> None:
    """Run what the command line asks for."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("split", type=Path)
    words.add_argument("robots", type=int, nargs="+")
    words.add_argument("--seconds", type=float, default=600.0)
    words.add_argument("--rate", type=float, default=20.0)
    words.add_argument("--deadline-ms", type=float, default=50.0)
    words.add_argument("--before-others", action="store_true")
    asked = words.parse_args()
    for robots in asked.robots:
        sys.stdout.write(json.dumps(measure(robots, asked)) + "\n")
        sys.stdout.flush()


def measure(robots: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Return what came of so many robots."""
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        key.write_text(secrets.token_hex(32))
        secret = ("--key", str(key), "--json")
        serve = _start(
            asked, "serve", "--bind", "udp://127.0.0.1:0", "--max-robots", str(robots), *secret
        )
        assert serve.stderr
        address = serve.stderr.readline().split()[-1]
        drive = _start(
            asked, "drive", "--connect", address, "--robots", str(robots), *secret,
            "--rate", str(asked.rate), "--seconds", str(asked.seconds),
            "--deadline-ms", str(asked.deadline_ms),
        )  # fmt: skip
        memory = _memory_while(drive, serve)
        told = json.loads(drive.communicate()[0])
        serve.terminate()
        served = json.loads(serve.communicate()[0])
    return {**{name: told[name] for name in KEPT}, "server": served, "rss_mib": memory}


def _start(asked: argparse.Namespace, *words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*RIVC, words[0], str(asked.split), *words[1:]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    if asked.before_others:
        os.sched_setscheduler(process.pid, os.SCHED_RR, os.sched_param(1))
    return process


def _memory_while(drive: subprocess.Popen[str], serve: subprocess.Popen[str]) -> dict[str, Any]:
    """Resident memory of both: after a minute (or at the end), and the most after that."""
    begun, early, most = time.monotonic(), dict[str, float](), dict[str, float]()
    while drive.poll() is None:
        now = {"drive": _resident(drive), "serve": _resident(serve)}
        if not early or time.monotonic() - begun < EARLY_S:
            early = now
        most = {name: max(value, most.get(name, 0.0)) for name, value in now.items() if value}
        time.sleep(5)
    return {"early": early, "most": most}


def _resident(process: subprocess.Popen[str]) -> float:
    """MiB; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(x.split()[1]) / 1024 for x in lines if x.startswith("VmRSS")), 0.0)


if __name__ == "__main__":
    main()
