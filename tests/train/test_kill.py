"""Runs that are killed at random moments end in the bytes of one that was not."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.train.record import read_metrics

if TYPE_CHECKING:
    from pathlib import Path

SMALL = [
    "--train.env_steps=1500",
    "--train.warmup_env_steps=200",
    "--train.replay_capacity=900",
    "--net.hidden=[16,16]",
    "--checkpoint.every_env_steps=100",
    "--eval.every_env_steps=400",
    "--eval.episodes=2",
]


def start(run: Path) -> subprocess.Popen[bytes]:
    """Begin a run, or go on with it."""
    verb = ["resume", str(run)] if (run / "config.yaml").exists() else None
    words = verb or ["train", "quickstart", "--run", str(run), *SMALL]
    command = [sys.executable, "-m", "rivc.cli.main", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(run: Path) -> None:
    assert start(run).wait() == 0


def finish_despite_kills(run: Path, rng: np.random.Generator, seconds: float, kills: int) -> int:
    """Kill the run up to `kills` times at random moments; return how often it was."""
    for done in range(kills):
        process = start(run)
        try:
            assert process.wait(timeout=float(rng.uniform(0.2, 1.0)) * seconds) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        else:
            return done
    finish(run)
    return kills


def results(run: Path) -> dict[str, str]:
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("checkpoints", "best")
        for path in sorted((run / folder).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    } | {"metrics": repr([timeless(record) for record in read_metrics(run)])}


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    """All but how fast it went."""
    return {key: value for key, value in record.items() if "per_s" not in key}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """Results of a run that nobody disturbed, and how long it took."""
    run = tmp_path_factory.mktemp("kill") / "whole"
    before = time.perf_counter()
    finish(run)
    return results(run), time.perf_counter() - before


def check(whole: tuple[dict[str, str], float], run: Path, seed: int, kills: int) -> None:
    expected, seconds = whole
    killed = finish_despite_kills(run, np.random.default_rng(seed), seconds, kills)
    assert results(run) == expected, f"after {killed} kills"


def test_a_killed_run_ends_in_the_same_bytes(
    whole: tuple[dict[str, str], float], tmp_path: Path
) -> None:
    check(whole, tmp_path / "killed", seed=0, kills=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_twenty_runs_killed_at_random_end_in_the_same_bytes(
    whole: tuple[dict[str, str], float], tmp_path: Path, seed: int
) -> None:
    check(whole, tmp_path / "killed", seed, kills=4)
