"""Runs as rows of a table: grouped by configuration, seeds as samples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rivc.compare.judge import judge
from rivc.errors import UsageError
from rivc.train.checkpoint import env_steps_made
from rivc.train.policy import load_policy
from rivc.train.record import curve, known_metrics
from rivc.train.run import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rivc.compare.job import Evaluation
    from rivc.compare.table import Row
    from rivc.train.config import Config

# Told by seed and task of a row, and by the name of its variant.
NAMED: Final[dict[str, bool | set[str]]] = {
    "seed": True,
    "name": True,
    "env": {"id", "kwargs"},
}


def rows_of(
    runs: Sequence[Path], evaluation: Evaluation, observe: Callable[[str], None]
) -> list[Row]:
    """Judge runs, and return a row for each.

    Runs whose configurations are equal but for the seed are samples of one variant, which is named
    as they are; a second configuration of the same name gets a number.

    Args:
        runs: folders.
        evaluation: of all of them.
        observe: told of each run when it is judged.

    Raises:
        UsageError: if two runs are the same seed of the same configuration.
        MissingError: if there is no such run, or no policy in it yet.
    """
    folders = [RunFolder.open(run) for run in runs]
    configs = [folder.config() for folder in folders]
    names = variant_names(configs)
    _check_seeds(folders, configs, names)
    rows = []
    for folder, config, name in zip(folders, configs, names, strict=True):
        rows.append(_row(folder, config, name, evaluation))
        observe(str(folder.path))
    return rows


def variant_names(configs: Sequence[Config]) -> list[str]:
    """Return what each run is a sample of."""
    kinds: dict[str, list[str]] = {}  # by name, what differs
    names = []
    for config in configs:
        tree = config.model_dump(mode="json", exclude=NAMED)
        known = kinds.setdefault(config.name, [])
        text = json.dumps(tree, sort_keys=True)
        if text not in known:
            known.append(text)
        number = known.index(text) + 1
        names.append(config.name if number == 1 else f"{config.name} ({number})")
    return names


def task_name(config: Config) -> str:
    """Return the task of a run, with the options that were given to it."""
    options = [f"{key}={value}" for key, value in sorted(config.env.kwargs.items())]
    return " ".join([config.env.id, *options])


def _check_seeds(
    folders: Sequence[RunFolder], configs: Sequence[Config], names: Sequence[str]
) -> None:
    seen: dict[tuple[Any, ...], Path] = {}
    for folder, config, name in zip(folders, configs, names, strict=True):
        key = task_name(config), name, config.seed
        if key in seen:
            raise UsageError(f"{seen[key]} and {folder.path} are both seed {config.seed} of {name}")
        seen[key] = folder.path


def _row(folder: RunFolder, config: Config, name: str, evaluation: Evaluation) -> Row:
    width = config.quant.activation_bits
    records = known_metrics(folder.path)
    return {
        "job": str(folder.path),
        "task": task_name(config),
        "variant": name,
        "bit_width": width,
        "seed": config.seed,
        "env_steps": env_steps_made(folder.path),
        "planned_env_steps": config.train.env_steps,
        "failures": folder.failures,
        "cpu_seconds": None,
        "curve": curve(records, config.eval.every_env_steps),
        "results": judge(load_policy(folder), config, evaluation, width),
    }
