"""What group quantization costs and a tail that goes on learning wins back, over seeds.

``python -m tests.learning.split_figures tracker-8`` teaches the tail of every seed of a figure, one
after the other, and prints its rows. The runs are those of `tests.learning.figures`; what came of a
seed lies in ``runs/sgq`` and is not done again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.learning.figures import RUNS, rivc

KEPT: Final = Path("runs/sgq")
BAR: Final = 0.98  # of the return of the whole policy


@dataclass(frozen=True)
class SplitFigure:
    """One claim about a split.

    Attributes:
        run: figure whose runs are cut.
        options: of `rivc split learn`.
        seeds: how many, from 0.
        episodes: of each evaluation.
    """

    run: str
    options: tuple[str, ...]
    seeds: int = 5
    episodes: int = 50


def _maps(groups: int, stripes: int, bit_width: int, *more: str) -> tuple[str, ...]:
    sizes = ("--groups", str(groups), "--stripes", str(stripes), "--bit-width", str(bit_width))
    return "--layer", "2", *sizes, "--frames", "2000", *more


FIGURES: Final = {
    f"{name}-{row}": SplitFigure(run, options)
    for name, run in (("tracker", "tracker-4bit"), ("cart-pole", "cart-pole-camera"))
    for row, options in {
        "16": _maps(16, 4, 4),
        "8": _maps(8, 4, 4),
        "2": _maps(2, 1, 4),
        "2-edge": _maps(2, 1, 4, "--edge"),
    }.items()
}


def measure(name: str, seed: int) -> dict[str, Any]:
    """Teach one seed of a figure, or read what came of it."""
    figure, kept = FIGURES[name], KEPT / f"{name}-seed{seed}.json"
    if not kept.exists():
        words = (*figure.options, "--episodes", str(figure.episodes), "--json")
        told = rivc("split", "learn", str(RUNS / f"{figure.run}-seed{seed}"), *words)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.with_suffix(".part").write_text(told)
        kept.with_suffix(".part").rename(kept)
    result: dict[str, Any] = json.loads(kept.read_text())
    return result


def table(name: str, results: list[dict[str, Any]]) -> str:
    """Return a figure as rows of a Markdown table: returns, then traffic and frames a second."""

    def mean(*path: str) -> float:
        values = np.array([_at(result, path) for result in results])
        return float(values.mean())

    each = ", ".join(f"{result['recovered']:.1%}" for result in results)
    reached = sum(result["recovered"] >= BAR for result in results)
    returns = " | ".join(f"{mean('returns', form):.1f}" for form in ("whole", "before", "after"))
    lines = [f"| {name} | {returns} | {each} | {reached} of {len(results)} |"]
    for kind in ("sgq", "uniform", "fp32"):
        told = ("up_bytes", "down_bytes", "times_sgq", "frames_per_s")
        cells = " | ".join(f"{mean('traffic', kind, one):,.1f}" for one in told)
        lines.append(f"| {name} {kind} | {cells} |")
    packets = mean("packet_bytes", "features_mean"), mean("packet_bytes", "gradients_mean")
    lines.append(f"| {name} packets | {packets[0]:.1f} | {packets[1]:.1f} |")
    return "\n".join(lines)


def _at(tree: Any, path: tuple[str, ...]) -> float:
    for key in path:
        tree = tree[key]
    return float(tree)


def main() -> None:
    """Print the figures that were named, or all of the runs that are there."""
    for name in sys.argv[1:] or FIGURES:
        figure = FIGURES[name]
        seeds = [i for i in range(figure.seeds) if (RUNS / f"{figure.run}-seed{i}").exists()]
        results = [measure(name, seed) for seed in seeds]
        if results:
            sys.stdout.write(table(name, results) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
