"""The tables of the ablation are those of its files."""

from __future__ import annotations

from pathlib import Path

from tests.learning.ablation_tables import tables

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_results_holds_the_tables_of_the_files_beside_it() -> None:
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    for table in tables(DOCS / "ablation"):
        assert table in page


def test_a_line_holds_what_a_setting_is_worth_with_its_interval(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text(
        "variant,bit_width,form,task,iqm,low,high,runs\n"
        "all,1,chip,all,0.985,0.973,0.999,20\n"
        "all,1,2 ticks,all,0.5,0.4,0.6,20\n"
        "all on noise,4,chip,all,1,1,1,20\n"
    )
    (tmp_path / "effects.csv").write_text(
        "effect,bit_width,form,task,difference,low,high,runs\n"
        "QAT,4,chip,all,-0.001,-0.25,0.5,76\n"
        "QAT,4,chip,tracker,0.25,0.125,0.375,19\n"
    )
    scores, by_width, by_chip, by_task = tables(tmp_path)
    assert scores.splitlines()[2:] == ["| all | 0.98 [0.97, 1.00] |  |  |  |  |"]
    assert by_width.splitlines()[2:] == ["| QAT |  |  |  | 0.00 [-0.25, 0.50] |  |"]
    assert by_chip.splitlines()[2:] == ["| QAT | 0.00 [-0.25, 0.50] |  |  |  |  |"]
    assert by_task.splitlines()[2:] == ["| QAT, 4 bits |  |  | 0.25 [0.12, 0.38] |  |"]
