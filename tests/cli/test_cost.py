"""`rivc cost`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]


def test_a_run_is_counted_where_its_policy_goes(trained: Path, rivc: Call) -> None:
    result = rivc("cost", trained, "--states", 20, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert (facts["states"], facts["states_from"]) == (20, "greedy episodes")
    assert [layer["kind"] for layer in facts["layers"]] == ["dense", "dense"]
    total = facts["total"]
    assert total["synops"] == sum(layer["synops"] for layer in facts["layers"])
    assert 0 < total["synops"] <= total["dense"]
    assert {row["kind"] for row in facts["estimates"]} == {"modelled", "measured"}
    assert facts["reported"]["power_ratio"] == pytest.approx(1 / 15)


@pytest.mark.parametrize("form", ["export", "program"])
def test_what_knows_no_task_is_counted_in_random_states(
    form: str, exported: Path, rivc: Call
) -> None:
    what = exported if form == "export" else exported / "program.npz"
    facts = json.loads(rivc("cost", what, "--states", 8, "--json").stdout)
    assert (facts["states"], facts["states_from"]) == (8, "random")


def test_people_see_which_row_is_modelled_and_which_is_measured(trained: Path, rivc: Call) -> None:
    lines = rivc("cost", trained, "--states", 8).stdout.splitlines()
    assert "(greedy episodes)" in lines[0]

    def kinds(start: str) -> set[str]:
        found = [line for line in lines if line.startswith(start)]
        assert found
        return {kind for line in found for kind in ("modelled", "measured") if kind in line}

    assert kinds("event-driven integers") == {"modelled"}
    assert kinds("the same network in fp32, Cortex-A72") == {"modelled"}
    assert kinds("the same network in fp32, torch") == {"measured"}
    assert kinds("the program, emulator") == {"measured"}
    assert kinds("neurochip against a quad-core") == {"measured"}


def test_without_torch_the_rest_is_told(
    trained: Path, rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rivc.cli.cost.find_spec", lambda _: None)
    result = rivc("cost", trained, "--states", 8, "--json")
    assert "not timed without torch" in result.stderr
    assert {row["kind"] for row in json.loads(result.stdout)["estimates"]} == {"modelled"}


def test_what_is_at_work_is_told(exported: Path, rivc: Call, working: list[str]) -> None:
    assert rivc("cost", exported, "--states", 8).exit_code == 0
    assert working == [f"counting in {exported}"]


@pytest.mark.parametrize("form", [".", "program.npz"])
def test_one_program_has_no_other_policy(form: str, exported: Path, rivc: Call) -> None:
    result = rivc("cost", exported / form, "--policy", "latest")
    assert result.exit_code == 2
    assert "is one program; leave out --policy" in result.stderr


def test_neither_run_nor_program_is_told_in_a_line(tmp_path: Path, rivc: Call) -> None:
    result = rivc("cost", tmp_path)
    assert result.exit_code == 2
    assert "neither a run, an export nor a program" in result.stderr
