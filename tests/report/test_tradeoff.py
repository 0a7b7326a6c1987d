"""Rate against return, as table, CSV and figure."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from rivc.report.tradeoff import comma_separated, figure, markdown
from rivc.train.tradeoff import Point

POINTS = [
    Point("teacher", 180.0, 9.0, 20, 386.4, 309.3, 8192, 3.6),
    Point("rate1", 178.2, 6.0, 20, 50.0, 40.96, 8192, 3.5),
    Point("webp q1", 90.0, 30.0, 20, 80.0),
    Point("webp q60", 175.0, 30.0, 20, 120.0),
]


def test_a_row_tells_return_share_and_how_far_below_floats() -> None:
    lines = markdown(POINTS).splitlines()
    assert lines[3] == "| rate1 | 178.2 ± 6.0 | 99.0 % | 50.0 | 41.0 | 164x / 200x | 3.500 |"
    assert lines[4] == "| webp q1 | 90.0 ± 30.0 | 50.0 % | 80.0 |  |  |  |"


def test_a_teacher_with_a_loss_or_nothing_has_no_shares() -> None:
    for value in (-150.0, 0.0):
        lines = markdown([replace(POINTS[0], return_mean=value), POINTS[1]]).splitlines()
        assert lines[3].startswith("| rate1 | 178.2 ± 6.0 |  | 50.0 |")


def test_a_table_is_read_back_as_it_was() -> None:
    [teacher, *_, last] = csv.DictReader(comma_separated(POINTS).splitlines())
    assert float(teacher["inter_bytes"]) == 309.3
    assert (last["name"], last["inter_bytes"]) == ("webp q60", "")


def test_a_figure_shows_whatever_differs() -> None:
    pytest.importorskip("matplotlib")
    text = figure(POINTS, "title")["svg"].decode()
    for words in ("counts, inter", "webp", "bytes a frame", "bits a weight"):
        assert words in text
    assert figure(POINTS[:1], "title") == {}
