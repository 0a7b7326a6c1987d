"""The figures of training for rate in docs/results.md: students of the runs of `figures`.

``python -m tests.learning.rate_figures tracker-rate`` trains and measures a student of every seed
and prints the figure's rows. Students lie in ``runs/rates``; what is there is gone on with or only
printed, so a figure that was interrupted goes on.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.learning.figures import RUNS, rivc

if TYPE_CHECKING:
    from collections.abc import Iterator

OUT: Final = RUNS.parent / "rates"
EQUAL: Final = 0.99  # of the teacher's return, from which on a picture counts as equal


@dataclass(frozen=True)
class Figure:
    """Students of the seeds of a run.

    Attributes:
        parent: their teachers are ``runs/figures/PARENT-seedN``.
        options: of `rivc codec train`.
        seeds: how many, from 0.
    """

    parent: str
    options: tuple[str, ...]
    seeds: int = 5


FIGURES: Final = {
    "tracker-rate": Figure("tracker-4bit", ("--rate=1.5", "--layer=2", "--pictures")),
    "pan-servo-rate": Figure("pan-servo", ("--rate=3", "--steps=1200", "--layer=2", "--pictures")),
    "cart-pole-rate": Figure(
        "cart-pole-camera",
        (
            *("--rate=0.04", "--steps=6000", "--learning-rate=1e-4", "--batch-size=64"),
            *("--layer=2", "--pictures", "--episodes=60"),
        ),
    ),
    "tracker-weights": Figure("tracker-4bit", ("--weight-rate=0.5", "--steps=2500")),
    "tracker-curve": Figure("tracker-4bit", ("--rate=0.1", "--rate=0.5", "--rate=5"), seeds=1),
}


def measure(name: str, seed: int) -> dict[str, Any]:
    """Train and measure a student, or go on with it; return its own and its teacher's points."""
    figure, out = FIGURES[name], OUT / f"{name}-seed{seed}"
    parent = RUNS / f"{figure.parent}-seed{seed}"
    words = ("codec", "train", str(parent), *figure.options, "--out", str(out), "--json")
    points: list[dict[str, Any]] = json.loads(rivc(*words))["points"]
    teacher, student, *rest = points
    return {"seed": seed, "teacher": teacher, "student": student, "rest": rest}


def row(found: dict[str, Any]) -> str:
    """Return a seed as a row: return, share of the teacher's, bytes, bits, the least picture."""
    teacher, student = found["teacher"], found["student"]
    share = student["return_mean"] / teacher["return_mean"]
    cells = [
        f"seed {found['seed']}",
        f"{teacher['return_mean']:.1f}",
        f"{student['return_mean']:.1f} ± {student['return_std']:.1f} ({100 * share:.1f} %)",
        _sizes(student),
        f"{student['bits_per_weight']:.3f}",
        *(_least(found["rest"], kind, teacher["return_mean"]) for kind in ("webp", "jpeg")),
    ]
    return f"| {' | '.join(cells)} |"


def _sizes(student: dict[str, Any]) -> str:
    if student["fp32_bytes"] is None:
        return ""
    sizes = (student["intra_bytes"], student["inter_bytes"])
    return " / ".join(f"{size:.1f} B ({student['fp32_bytes'] / size:.0f}x)" for size in sizes)


def _least(points: list[dict[str, Any]], kind: str, wanted: float) -> str:
    """The smallest picture that keeps the return."""
    kept = [
        (point["intra_bytes"], point["name"])
        for point in points
        if point["name"].startswith(kind) and point["return_mean"] >= EQUAL * wanted
    ]
    return f"{min(kept)[0]:.0f} B ({min(kept)[1]})" if kept else ""


def rows(name: str) -> Iterator[str]:
    """Return the rows of a figure, one seed after the other."""
    for seed in range(FIGURES[name].seeds):
        yield row(measure(name, seed))


def main() -> None:
    """Print the figures that were named, or all."""
    for name in sys.argv[1:] or FIGURES:
        sys.stdout.write(f"{name}\n")
        for line in rows(name):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
