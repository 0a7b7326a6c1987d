"""The learning figures of docs/results.md: what is trained, and what counts as reached.

``python -m tests.learning.figures tracker-4bit`` trains the seeds of one figure side by side, one
thread each, and prints its table. Runs lie in ``runs/figures`` and are resumed, not repeated: a
figure that was interrupted goes on, and one that is there is only printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

RUNS: Final = Path("runs/figures")


@dataclass(frozen=True)
class Figure:
    """One claim about learning.

    Attributes:
        config: name of the configuration.
        seeds: how many, from 0.
        bar: what a seed must reach in greedy episodes on the chip.
        enough: seeds that must reach it.
        options: of `rivc train`.
        metric: what is held against the bar, a key of `rivc eval --json`.
        episodes: greedy episodes an evaluation.
    """

    config: str
    seeds: int
    bar: float
    enough: int
    options: tuple[str, ...] = ()
    metric: str = "return_mean"
    episodes: int = 20


TWO_BITS = ("--quant.weight_bits=2", "--quant.activation_bits=2", "--train.env_steps=30000")
NEITHER = ("--quant.enabled=false", "--train.gap_coef=0", "--train.margin_coef=0")

FP32 = ("--quant.enabled=false", "--train.sampler=network")
SUCCESS: Final = "success_rate"  # episodes that ended in success
FPNN: Final = "fpnn_return_mean"  # of the network before conversion

FIGURES: Final = {
    "quickstart": Figure("quickstart", seeds=10, bar=475, enough=9),
    "inverted-pendulum": Figure("inverted_pendulum", seeds=5, bar=900, enough=4),
    "tracker-4bit": Figure("tracker", seeds=5, bar=170, enough=5),
    "tracker-2bit": Figure("tracker", seeds=5, bar=165, enough=4, options=TWO_BITS),
    "tracker-2bit-neither": Figure(
        "tracker", seeds=5, bar=-np.inf, enough=5, options=(*TWO_BITS, *NEITHER)
    ),
    # 95 % of the scripted expert's 93.7
    "pan-servo": Figure("pan_servo", seeds=5, bar=89.0, enough=4, episodes=100),
    # 95 % of the scripted expert's 285.4
    "cart-pole-camera": Figure("cart_pole_camera", seeds=5, bar=271.1, enough=4),
    "arm-reach": Figure("arm_reach", seeds=5, bar=0.8, enough=4, metric=SUCCESS, episodes=100),
    "maze-drive": Figure("maze_drive", seeds=5, bar=0.7, enough=4, metric=SUCCESS, episodes=100),
    "drone-hover": Figure("drone_hover", seeds=5, bar=0.7, enough=4, metric=SUCCESS, episodes=100),
    "reacher": Figure("reacher", seeds=3, bar=-6.0, enough=3, episodes=100),
    "half-cheetah": Figure("half_cheetah", seeds=3, bar=3000.0, enough=3, episodes=20),
    "reacher-fp32": Figure(
        "reacher", seeds=3, bar=-np.inf, enough=3, options=FP32, metric=FPNN, episodes=100
    ),
    "half-cheetah-fp32": Figure(
        "half_cheetah", seeds=3, bar=-np.inf, enough=3, options=FP32, metric=FPNN
    ),
    # its own episodes are disturbed in everything at once: `rivc stress` judges it
    "tracker-disturbed": Figure("tracker_disturbed", seeds=5, bar=-np.inf, enough=5),
}


def rivc(*words: str) -> str:
    """Run the command line in a process of its own, one thread, and return what it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rivc.cli.main", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout


def measure(name: str, seed: int) -> dict[str, Any]:
    """Train one seed of a figure, or go on with it, and evaluate it on the chip."""
    figure, run = FIGURES[name], RUNS / f"{name}-seed{seed}"
    if (run / "config.yaml").exists():
        rivc("resume", str(run))
    else:
        options = ("--seed", str(seed), "--run", str(run), *figure.options)
        rivc("train", figure.config, *options)
    episodes = ("--episodes", str(figure.episodes))
    result: dict[str, Any] = json.loads(rivc("eval", str(run), *episodes, "--json"))
    return result


def reach(name: str) -> list[dict[str, Any]]:
    """Return the evaluation of every seed of a figure."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda seed: measure(name, seed), range(FIGURES[name].seeds)))


def table(name: str, results: list[dict[str, Any]]) -> str:
    """Return a figure as a Markdown table row: seeds, mean, spread, how many reached the bar."""
    figure = FIGURES[name]
    returns = np.array([result["return_mean"] for result in results])
    reached = sum(result[figure.metric] >= figure.bar for result in results)
    each = ", ".join(_entry(figure, result) for result in results)
    mismatches = sum(result["readout_mismatches"] for result in results)
    states = sum(result["states"] for result in results)
    return (
        f"| {name} | {each} | {returns.mean():.1f} ± {returns.std():.1f} | "
        f"{reached} of {len(returns)} | {mismatches} of {states} |"
    )


def _entry(figure: Figure, result: dict[str, Any]) -> str:
    """A seed's return, and what is held against the bar if that is something else."""
    text = f"{result['return_mean']:.1f}"
    return text if figure.metric == "return_mean" else f"{text} ({result[figure.metric]:.2f})"


def main() -> None:
    """Print the figures that were named, or all."""
    unknown = [name for name in sys.argv[1:] if name not in FIGURES]
    if unknown:
        sys.exit(f"no figure {unknown[0]!r}; there are {', '.join(FIGURES)}, all without a name")
    for name in sys.argv[1:] or FIGURES:
        sys.stdout.write(table(name, reach(name)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
