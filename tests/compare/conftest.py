"""A suite of two jobs that take a second, and rows as its jobs would leave them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rivc.compare.suite import Suite, load_suite
from rivc.train.margins import EDGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rivc.compare.job import Job

TINY = """\
tasks:
  cartpole:
    config: quickstart
    random: 20
    solved: 500
    overrides:
      env.count: 4
      net.hidden: [8]
      train.env_steps: 240
      train.warmup_env_steps: 80
      train.batch_size: 16
      eval.every_env_steps: 80
      eval.episodes: 2
      log.every_env_steps: 80
      checkpoint.every_env_steps: 80
variants:
  all: {}
  none: {quant.enabled: false, train.gap_coef: 0, train.margin_coef: 0}
bit_widths: [2]
seeds: 1
evaluation: {episodes: 2, states: 32}
"""


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def tiny(tiny_file: Path) -> Suite:
    return load_suite(tiny_file)


def made_row(job: Job, value: float, **more: Any) -> dict[str, Any]:
    """The row of a job, as if its chip had returned what is said."""
    bins = len(EDGES) + 1
    chips = [width.activations for width in job.widths] or [job.bit_width]
    chip = {"flip_rate": 0.25, "ratio_counts": [40] * bins, "ratio_flips": [10] * bins}
    scored = {"return_mean": value, "return_std": 0.0, "success_rate": None}
    results = [{"form": "fpnn", "bit_width": job.bit_width, **scored}]
    results += [{"form": "chip", "bit_width": w, **scored, **chip} for w in chips]
    facts = {"env_steps": 240, "cpu_seconds": 2.0, "evaluation_cpu_seconds": 1.0}
    curve = [[80.0, value / 2], [160.0, value], [240.0, value]]
    done = {"status": "done", "updates": 8, "curve": curve, "results": results}
    return {**job.identity(), **done, **facts, **more}


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """What makes the row of a job."""
    return made_row
