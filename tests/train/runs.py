"""Small runs, and what is equal in two of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from rivc.train import load_config
from rivc.train.record import read_metrics

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.train import Config

SMALL = {
    "train.env_steps": 600,
    "train.warmup_env_steps": 200,
    "net.hidden": [16, 16],
    "train.batch_size": 16,
    "eval.every_env_steps": 250,
    "eval.episodes": 2,
    "checkpoint.every_env_steps": 200,
    "log.every_env_steps": 100,
    "audit.every_conversions": 4,
}


def small(**overrides: Any) -> Config:
    return load_config("quickstart", {**SMALL, **overrides})


def digest(folder: Path) -> dict[str, str]:
    """Hash of every visible file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def results(run: Path) -> dict[str, str]:
    return digest(run / "checkpoints") | digest(run / "best")


def timeless(run: Path) -> list[list[tuple[str, Any]]]:
    """All records but how fast it went, name by name as they were written."""
    return [[(k, v) for k, v in r.items() if "per_s" not in k] for r in read_metrics(run)]
