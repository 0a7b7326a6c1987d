"""`rivc certify`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
import pytest

from rivc.cli.certify import Bounds, certify_run, tables
from rivc.neurochip.compare import BATCH
from rivc.snn_convert import SpikingProgram, reference
from rivc.train import visit
from tests.cli.test_verify import break_weight

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from click.testing import Result

    from rivc.train.config import Config

    Call = Callable[..., Result]


def test_every_guarantee_is_given_for_every_noise(trained: Path, rivc: Call) -> None:
    words = ("--noise", "0.01,0.5", "--states", 120, "--delta", 0.05, "--json")
    result = rivc("certify", trained, *words)
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["delta"] == 0.05
    [run] = facts["runs"]
    assert run["states"] == 120
    assert run["exact"]["mismatches"] == 0
    assert set(run["exact"]["forms"]) == {"reference", "emulator", "snntorch", "fpnn"}
    low, high = run["guarantees"]
    assert (low["noise"], high["noise"]) == (0.01, 0.5)
    for row in (low, high):
        assert row["certified"] <= min(row["kept_in_draws"], row["kept_in_attack"])
        assert row["calibrated_level"] >= 0.95
    assert high["certified"] <= low["certified"]


def test_people_get_one_table_a_bit_width(trained: Path, rivc: Call) -> None:
    words = ("--noise", "0.1", "--states", 60, "--delta", 0.1)
    result = rivc("certify", trained, trained, *words)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("4-bit weights, 4-bit counts") == 1
    assert result.stdout.count("every integer equal in") == 2
    head = next(line for line in result.stdout.splitlines() if line.startswith("run "))
    assert "certified" in head
    assert "calibrated 90.2 %" in head  # 55 of 61


def test_tables_come_in_the_order_of_their_widths(trained: Path) -> None:
    report = certify_run(trained, Bounds((0.1,), 0.0, None, 0.1, 60, 0), None)
    titles = [t.splitlines()[0] for t in tables([replace(report, bits=(8, 2)), report])]
    assert [click.unstyle(title) for title in titles] == [
        "4-bit weights, 4-bit counts",
        "8-bit weights, 2-bit counts",
    ]


def test_a_wider_error_certifies_less(trained: Path, rivc: Call) -> None:
    def certified(*words: object) -> float:
        fixed = ("--noise", "0.01", "--states", 60, "--delta", 0.1, "--json")
        facts = json.loads(rivc("certify", trained, *fixed, *words).stdout)
        return float(facts["runs"][0]["guarantees"][0]["certified"])

    assert certified("--weight-error", 0.5) < certified()
    assert certified("--membrane-bits", 8) < certified()
    assert certified("--membrane-bits", 32) == certified()


def test_forms_are_compared_in_batches(
    trained: Path, rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, run = [], reference.run

    def spy(program: SpikingProgram, counts: np.ndarray) -> np.ndarray:
        sizes.append(len(counts))
        return run(program, counts)

    monkeypatch.setattr(reference, "run", spy)
    words = ("--noise", "0.1", "--states", 200, "--delta", 0.1)
    assert rivc("certify", trained, *words).exit_code == 0
    assert max(sizes) == BATCH


def test_nothing_is_promised_for_a_policy_that_is_not_exact(run: Path, rivc: Call) -> None:
    break_weight(run / "best" / "program.npz", 1)
    result = rivc("certify", run, "--states", 60, "--delta", 0.1)
    assert result.exit_code == 1
    assert "is not exact, so nothing is promised" in result.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--noise", "much"), "not numbers"),
        (("--noise", "-1"), "outside"),
        (("--weight-error", "7"), "outside"),
        (("--membrane-bits", "0"), "outside"),
        (("--delta", "0"), "outside"),
        (("--states", "9"), "give 199 or a larger delta"),
    ],
)
def test_bad_bounds_are_told_in_a_line(
    words: tuple[str, ...], says: str, trained: Path, rivc: Call
) -> None:
    result = rivc("certify", trained, *words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_bad_delta_is_told_before_anything_is_played(
    trained: Path, rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "visited_states", lambda *_, **__: pytest.fail("it played"))
    result = rivc("certify", trained, "--states", 100)
    assert result.exit_code == 2
    assert "100 calibration states cannot promise 0.995; give 199" in result.stderr


def test_fewer_states_than_were_asked_for_are_told_later(
    trained: Path, rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = visit.visited_states

    def visited(config: Config, program: SpikingProgram, count: int, **how: Any) -> np.ndarray:
        return fewer(config, program, count // 2, **how)

    monkeypatch.setattr(visit, "visited_states", visited)
    result = rivc("certify", trained, "--states", 240, "--noise", "0.1")
    assert result.exit_code == 2
    assert "120 calibration states cannot promise 0.995" in result.stderr


def test_the_run_at_work_is_told(trained: Path, rivc: Call, working: list[str]) -> None:
    words = ("--noise", "0.1", "--states", 60, "--delta", 0.1)
    assert rivc("certify", trained, trained, *words).exit_code == 0
    assert working == [f"judging {trained}"] * 2


def test_no_run_is_told_in_a_line(tmp_path: Path, rivc: Call) -> None:
    assert rivc("certify", tmp_path).exit_code == 2
    assert rivc("certify").exit_code == 2
