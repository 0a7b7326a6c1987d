"""`rivc eval`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]

CONTRACT = {
    "env_id",
    "episodes",
    "backend",
    "return_mean",
    "return_std",
    "fpnn_return_mean",
    "action_agreement",
    "readout_mismatches",
    "states",
    "spikes_per_decision",
    "synops_per_decision",
    "program_sha256",
}


@pytest.mark.parametrize("policy", ["best", "latest"])
def test_fpnn_emulator_and_spikes_play_the_same_episodes(
    policy: str, trained: Path, rivc: Call
) -> None:
    words = ("--episodes", 3, "--backend", "snntorch", "--policy", policy, "--json")
    facts = json.loads(rivc("eval", trained, *words).stdout)
    assert set(facts) >= CONTRACT
    assert list(facts["forms"]) == ["fpnn", "emulator", "snntorch"]
    assert len({form["return_mean"] for form in facts["forms"].values()}) == 1
    assert facts["fpnn_return_mean"] == facts["return_mean"]
    assert facts["action_agreement"] == 1.0
    assert facts["readout_mismatches"] == 0
    assert facts["episodes"] == 3
    assert facts["backend"] == "snntorch"
    assert facts["states"] > 0
    assert facts["spikes_per_decision"] > 0
    assert facts["synops_per_decision"] > 0


def test_the_hash_is_that_of_the_chosen_program(trained: Path, rivc: Call) -> None:
    manifest = json.loads((trained / "manifest.json").read_text())
    for policy, key in (("best", "best_program_sha256"), ("latest", "program_sha256")):
        words = ("--episodes", 1, "--policy", policy, "--json")
        assert json.loads(rivc("eval", trained, *words).stdout)["program_sha256"] == manifest[key]


def test_people_get_one_row_a_form(trained: Path, rivc: Call) -> None:
    lines = rivc("eval", trained, "--episodes", 2).stdout.splitlines()
    assert lines[0].startswith("CartPole-v1, best policy, program ")
    assert lines[2].split() == ["form", "return", "agreement", "mismatches", "states"]
    assert lines[3].startswith("FPNN")
    assert lines[4].startswith("program (emulator)")
    assert lines[6].endswith("synaptic operations a decision")


def test_without_an_evaluation_the_latest_policy_is_taken(run: Path, rivc: Call) -> None:
    for path in (run / "best").iterdir():
        path.unlink()
    (run / "best").rmdir()
    facts = json.loads(rivc("eval", run, "--episodes", 1, "--json").stdout)
    assert facts["policy"] == "latest"


def test_the_seed_decides_the_episodes(trained: Path, rivc: Call) -> None:
    def spikes(seed: int) -> float:
        words = ("--episodes", 5, "--seed", seed, "--json")
        return float(json.loads(rivc("eval", trained, *words).stdout)["spikes_per_decision"])

    assert spikes(1) == spikes(1)
    assert spikes(1) != spikes(2)
