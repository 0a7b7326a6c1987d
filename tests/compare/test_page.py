"""The page of a comparison, from rows that were made up."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rivc.cli.main import cli
from rivc.compare.page import comparison_page
from rivc.compare.publish import Comparison
from rivc.compare.suite import load_suite
from rivc.compare.table import dump_row
from rivc.errors import UsageError
from rivc.report.page import render
from rivc.report.tables import span
from tests.html import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., dict[str, Any]]

EVIL = "<script>alert(1)</script>"


def compared(row: Make, suite: str = "smoke", **more: Any) -> Comparison:
    loaded = load_suite(suite)
    rows = [row(job, 10.0 * job.bit_width + job.config.seed, **more) for job in loaded.jobs()]
    return Comparison(f"Suite {suite}", rows, loaded.references(), jobs=len(rows) + 2)


def test_every_section_is_there_in_order(row: Make) -> None:
    found = parse(render(comparison_page(compared(row, "peers"), ["rivc report peers"])))
    names = [name for name in found.ids if not name.endswith("-title")]
    assert names == ["what", "works", "better", "flips", "tasks", "again"]
    assert "rivc report peers" in found.text
    assert "2 of 162 jobs are still to be done." in found.text


def test_what_settings_are_worth_is_told_where_a_suite_asks(row: Make) -> None:
    found = replace(compared(row), sides=load_suite("smoke").sides())
    page = parse(render(comparison_page(found, [])))
    assert "worth" in page.ids
    assert page.text.count("Mean score with it less mean score without") == 2  # picture and table
    assert replace(found, references=dict.fromkeys(found.references)).effects == []
    [effect, *_] = found.effects
    assert span(effect.score) in page.text


def test_who_has_only_an_easy_task_does_not_score_most(row: Make) -> None:
    found = compared(row, "peers")
    rich = [
        {**r, "results": [{**x, "return_mean": 1e6} for x in r["results"]]}
        for r in found.rows
        if r["variant"] == "SB3 DQN, tuned"  # on CartPole alone
    ]
    [card] = [
        card
        for card in comparison_page(replace(found, rows=[*found.rows, *rich]), []).cards
        if card.question == "Who scores most?"
    ]
    assert "tuned" not in card.note


def test_one_seed_is_told_where_an_interval_would_be(row: Make) -> None:
    found = compared(row)
    alone = replace(found, rows=[r for r in found.rows if r["seed"] == 0])
    several, one = (render(comparison_page(x, [])) for x in (found, alone))
    assert "one seed" not in several
    assert ", 1 seed<" in one
    assert "one seed: " in one  # a card
    assert ", one seed</desc>" in one  # a picture
    assert ", one seed</td>" in one  # a table


def test_the_numbers_are_those_of_the_tables(row: Make) -> None:
    from rivc.report import comparison

    found = compared(row)
    text = parse(render(comparison_page(found, []))).text
    for line in comparison.lines(found.contest):
        assert line.score is not None
        assert span(line.score) in text
        assert all(span(value, 1) in text for value in line.returns.values())
    for pair in comparison.pairs(found.contest, found.reference):
        assert span(pair.improvement) in text


def test_runs_without_references_have_no_scores_and_no_pairs(row: Make) -> None:
    found = compared(row)
    raw = Comparison("Runs", found.rows, dict.fromkeys(found.references))
    page = parse(render(comparison_page(raw, [])))
    assert "better" not in page.ids
    assert "Tasks have no references." in page.text


def test_a_failed_job_is_told_and_never_becomes_markup(row: Make) -> None:
    whole = compared(row, variant=EVIL)
    failed = {**whole.rows[0], "error": EVIL, "status": "failed"}
    found = Comparison(EVIL, whole.rows, whole.references, [failed], len(whole.rows) + 1)
    page = parse(render(comparison_page(found, [EVIL])))
    assert f"failed: {failed['job']}: {EVIL}" in page.text
    assert "✗" in page.text


def test_no_job_is_no_page() -> None:
    with pytest.raises(UsageError, match="no job is done"):
        comparison_page(Comparison("Suite", [], {}), [])


def test_the_verb_writes_it_beside_the_results(row: Make, tmp_path: Path) -> None:
    rows = compared(row).rows
    (tmp_path / "table.jsonl").write_bytes(b"".join(map(dump_row, rows)))
    words = ["report", "smoke", "--results", str(tmp_path), "--json"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["answers"]["Is it complete?"] == "8 of 8"
    text = parse((tmp_path / "report.html").read_text()).text
    assert f"rivc compare --suite smoke --out {tmp_path}" in text
    result = CliRunner().invoke(cli, ["report", str(tmp_path)])
    assert result.exit_code == 2
    assert f"rivc report SUITE --results {tmp_path}" in result.stderr
