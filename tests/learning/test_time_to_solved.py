"""What the table of the times to a solved CartPole says of its rows."""

from __future__ import annotations

from typing import Any

from tests.learning.time_to_solved import table


def row(side: str, seed: int, seconds: float, *, solved: bool = True) -> dict[str, Any]:
    found = {"env_steps": 1_000 * seconds, "cpu_seconds": seconds, "seconds": 2 * seconds}
    return {"side": side, "seed": seed, "solved": solved, **found}


def test_the_ratio_is_that_of_the_medians() -> None:
    rows = [row("rivc", k, 2.0) for k in range(3)] + [row("sb3", k, 8.0) for k in range(3)]
    _, _, cpu, wall, steps, solved = table(rows).splitlines()
    assert cpu == "| CPU s | 2.0 (2.0 to 2.0) | 8.0 (8.0 to 8.0) | 4.00 (4.00 to 4.00) |"
    assert wall.startswith("| wall s | 4.0 ")
    assert steps.startswith("| env steps | 2,000.0 ")
    assert solved == "| solved | 3 of 3 | 3 of 3 | |"


def test_a_run_that_is_not_solved_takes_for_ever() -> None:
    rows = [row("rivc", k, 2.0, solved=k > 0) for k in range(3)]
    rows += [row("sb3", k, 8.0) for k in range(3)]
    lines = table(rows).splitlines()
    assert "| 2.0 (2.0 to inf) |" in lines[2]
    assert "| 2 of 3 | 3 of 3 |" in lines[-1]
