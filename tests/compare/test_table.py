"""The table: whole rows or none, and the last of a job holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rivc.compare.publish import Comparison
from rivc.compare.suite import load_suite
from rivc.compare.table import Table, dump_row
from rivc.errors import DamagedFileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rivc.compare.suite import Suite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.jsonl"


def test_rows_come_back(path: Path, tiny: Suite, row: Callable[..., dict[str, Any]]) -> None:
    jobs = tiny.jobs()
    table = Table(path)
    for job in reversed(jobs):
        table.append(row(job, 100.0))
    again = Table(path)
    assert again.rows == table.rows
    assert [r["job"] for r in again.done(jobs)] == [job.name for job in jobs]


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_line_that_was_cut_off_is_dropped_and_written_anew(
    path: Path, tiny: Suite, row: Callable[..., dict[str, Any]], kept: int
) -> None:
    first, second = (row(job, 1.0) for job in tiny.jobs())
    path.write_bytes(dump_row(first) + dump_row(second)[:kept])
    table = Table(path)
    assert table.rows == [first]
    assert path.read_bytes().endswith(dump_row(second)[:kept])  # reading changes nothing
    table.append(second)
    assert path.read_bytes() == dump_row(first) + dump_row(second)


def test_the_last_row_of_a_job_holds(
    path: Path, tiny: Suite, row: Callable[..., dict[str, Any]]
) -> None:
    job, _ = tiny.jobs()
    table = Table(path)
    table.append({**job.identity(), "status": "failed", "error": "gone"})
    assert table.done([job]) == []
    table.append(row(job, 5.0))
    assert Table(path).done([job])[0]["results"][0]["return_mean"] == 5.0


def test_rows_of_another_suite_do_not_count(
    path: Path, tiny: Suite, row: Callable[..., dict[str, Any]]
) -> None:
    job, _ = tiny.jobs()
    table = Table(path)
    table.append(row(job, 5.0))
    changed = job.model_copy(update={"config": job.config.model_copy(update={"seed": 7})})
    other = type(job).model_validate(changed.model_dump(mode="json"))
    assert table.of([other]) == []


@pytest.mark.parametrize("line", ["{", "3", "[]", '{"hash": 1}', '{"hash": "a", "status": "so"}'])
def test_a_whole_line_that_is_no_row_is_named(
    path: Path, tiny: Suite, row: Callable[..., dict[str, Any]], line: str
) -> None:
    good = dump_row(row(tiny.jobs()[0], 1.0))
    path.write_bytes(good + line.encode() + b"\n" + good)
    with pytest.raises(DamagedFileError, match=r"line 2 of .* is not a row"):
        Table(path)


def test_rows_have_the_names_that_their_jobs_have_now(
    path: Path, tiny_file: Path, row: Callable[..., dict[str, Any]]
) -> None:
    before = load_suite(tiny_file)
    table = Table(path)
    for job in before.jobs():
        table.append(row(job, 1.0))
    renamed = tiny_file.read_text().replace("cartpole:", "CartPole:").replace("all:", "All:")
    tiny_file.write_text(renamed)
    again = load_suite(tiny_file)
    named = [(r["task"], r["variant"]) for r in Table(path).done(again.jobs())]
    assert named == [("CartPole", "All"), ("CartPole", "none")]
    assert Comparison.of_suite(again, again.jobs(), Table(path)).lines


def test_what_json_does_not_hold_becomes_null() -> None:
    assert json.loads(dump_row({"a": float("nan"), "b": [float("inf"), 1.0]})) == {
        "a": None,
        "b": [None, 1.0],
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"results": None},
        {"results": [{"form": "chip"}]},
        {"curve": [[1.0]]},
        {"curve": [[1.0, None]]},
        {"seed": "0"},
        {"cpu_seconds": None},
        {"env_steps": None},
        {"status": "failed"},
    ],
)
def test_a_row_that_no_report_can_be_made_of_is_told(
    path: Path, tiny: Suite, row: Callable[..., dict[str, Any]], broken: dict[str, Any]
) -> None:
    good = row(tiny.jobs()[0], 1.0)
    path.write_bytes(dump_row(good) + dump_row({**good, **broken}))
    with pytest.raises(DamagedFileError, match="line 2 of"):
        Table(path)
