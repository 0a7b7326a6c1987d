"""`rivc report`: the page of a run and of a suite."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.compare.job import RESULT_FILE
from rivc.compare.pool import JOBS_FOLDER
from rivc.compare.suite import load_suite
from rivc.compare.table import Table, dump_row
from rivc.report import run_page
from rivc.train.record import METRICS
from tests.compare.conftest import made_row
from tests.html import browse, browser, parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from tests.html import Found

    Call = Callable[..., Result]

SECTIONS = ["what", "works", "agrees", "why", "cost", "quant", "film", "again"]
EVIL = "<script>alert(1)</script>"
STATES = "--states", 16


@pytest.fixture(scope="module")
def html(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the tiny run."""
    from click.testing import CliRunner

    from rivc.cli.main import cli

    out = tmp_path_factory.mktemp("page") / "page.html"
    result = CliRunner().invoke(cli, ["report", str(trained), "--out", str(out), "--states", "64"])
    assert result.exit_code == 0, result.stderr
    return out.read_text()


def page(rivc: Call, run: Path, *words: object) -> Found:
    result = rivc("report", run, *STATES, *words)
    assert result.exit_code == 0, result.stderr
    return parse((run / "report.html").read_text())


def test_every_section_is_there_in_order(html: str) -> None:
    found = parse(html)
    assert [name for name in found.ids if not name.endswith("-title")] == SECTIONS
    assert [name.removesuffix("-title") for name in found.ids[1::2]] == SECTIONS
    assert len(html) < 200_000


def test_the_numbers_are_those_of_the_other_verbs(html: str, trained: Path, rivc: Call) -> None:
    text = parse(html).text
    facts = json.loads(rivc("cost", trained, "--states", 64, "--json").stdout)
    assert f"{facts['total']['footprint']:,} B" in text
    assert f"{facts['total']['synops']:,.0f}" in text
    assert facts["program_sha256"] in text
    assert "0 of 64 readouts differ between network and chip" in text
    assert text.count("modelled") >= 6  # each row of energies, and the card


def test_equal_runs_give_equal_pages(trained: Path, tmp_path: Path, rivc: Call) -> None:
    one, two = tmp_path / "one.html", tmp_path / "two.html"
    for out in (one, two):
        assert rivc("report", trained, *STATES, "--out", out).exit_code == 0
    assert one.read_bytes() == two.read_bytes()
    assert not (trained / "report.html").exists()


def test_json_tells_the_answers(run: Path, rivc: Call) -> None:
    facts = json.loads(rivc("report", run, *STATES, "--json").stdout)
    assert facts["path"] == str(run / "report.html")
    assert facts["bytes"] == (run / "report.html").stat().st_size
    assert facts["answers"]["Does the chip agree?"] == "100%"


def test_what_files_say_never_becomes_markup(run: Path, rivc: Call) -> None:
    plain = page(rivc, run)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("name: tiny", f"name: {EVIL}"))
    manifest = json.loads((run / "manifest.json").read_text())
    manifest |= {"versions": {EVIL: "\ud800"}, "git": {"commit": EVIL, "dirty": EVIL}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    with (run / METRICS).open("a") as file:
        file.write(json.dumps({"env_steps": 240, EVIL: 3.0, "td_loss": EVIL}) + "\n")
    found = page(rivc, run)
    assert found.text.count(EVIL) >= 4
    assert found.tags.count("svg") == plain.tags.count("svg") + 1
    assert "script" not in found.tags


@pytest.mark.parametrize(
    "line",
    [
        '{"env_steps": 1e999, "eval_return": NaN}',
        '{"env_steps": -5, "action_gap": 1e308}',
        '{"env_steps": 9, "action_gap_steps": %s, "eval_return": -1e308}' % (10**400),
        '{"env_steps": [1], "episode_return": {}}',
        "[1, 2]",
        "{",
        "",
    ],
)
def test_no_record_breaks_a_page(run: Path, rivc: Call, line: str) -> None:
    (run / METRICS).write_text(line + "\n" + line + "\n")
    found = page(rivc, run)
    assert "NaN" not in found.text
    assert "no data" in found.text


def test_metrics_without_number_have_a_bound(run: Path, rivc: Call) -> None:
    records = [{"env_steps": i, f"metric{i}": 1.0} for i in range(200)]
    (run / METRICS).write_text("".join(json.dumps(r) + "\n" for r in records))
    assert page(rivc, run).tags.count("svg") < run_page.MAX_CHARTS + 20


def test_a_chip_that_errs_is_seen(run: Path, rivc: Call) -> None:
    config = run / "config.yaml"
    lossy = "name: spiking\n  options: {membrane_noise: 2.0}"
    config.write_text(config.read_text().replace("name: emulator\n  options: {}", lossy))
    found = page(rivc, run)
    assert "which errs on purpose" in found.text
    assert "Flips, measured" in found.text
    assert "2 x largest error" in found.text
    exact = page(rivc, run, "--backend", "emulator").text
    assert "spiking; asked for this page: emulator" in exact
    assert "Flips, measured" not in exact


def test_a_task_that_is_not_here_leaves_the_rest(run: Path, rivc: Call) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("id: CartPole-v1", "id: nowhere/Robot-v0"))
    found = page(rivc, run)
    assert "not played" in found.text
    assert "16 random states" in found.text


def test_a_film_in_the_folder_is_in_the_page_if_it_is_small(
    run: Path, rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "film.gif").write_bytes(b"GIF89a")
    assert "img" in page(rivc, run).tags
    monkeypatch.setattr(run_page, "MAX_FILM", 5)
    found = page(rivc, run)
    assert "img" not in found.tags
    assert "stays outside of this page" in found.text


def test_a_film_is_made_when_asked(run: Path, rivc: Call) -> None:
    found = page(rivc, run, "--film")
    assert {"video", "img"} & set(found.tags)
    assert list(run.glob("film.*"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "no suite 'nowhere'"),
        (["."], "no config.yaml"),
        (["smok"], "did you mean 'smoke'?"),
        (["smoke", "--results", "nowhere"], "rivc compare --suite smoke"),
        (["smoke", "--film"], "--film is for the page of a run"),
        (["smoke", "--backend", "spiking"], "--backend is for the page of a run"),
        (["RUN", "--out", "page.txt"], "a page ends in one of .html, .htm"),
        (["RUN", "--out", "nowhere/page.html"], "cannot write"),
        (["RUN", "--backend", "emulatr"], "did you mean 'emulator'?"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    words: list[str], told: str, trained: Path, rivc: Call
) -> None:
    states = STATES if "RUN" in words else ()
    result = rivc("report", *(trained if word == "RUN" else word for word in words), *states)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert not result.stdout


def test_results_that_nobody_collected_are_in_the_page(rivc: Call, tmp_path: Path) -> None:
    one, two, *_ = load_suite("smoke").jobs()
    folder = two.folder(tmp_path / JOBS_FOLDER)
    folder.mkdir(parents=True)
    (folder / RESULT_FILE).write_bytes(dump_row(made_row(two, 100.0)))
    for done in (1, 2):
        result = rivc("report", "smoke", "--results", tmp_path)
        assert result.exit_code == 0, result.stderr
        assert f"{done} of 8" in parse((tmp_path / "report.html").read_text()).text
        Table(tmp_path / "table.jsonl").append(made_row(one, 100.0))


def test_a_saved_model_has_a_page_though_it_has_no_metrics(run: Path, rivc: Call) -> None:
    (run / METRICS).unlink()
    made = int(max(path.name for path in (run / "checkpoints").glob("0*")))
    text = page(rivc, run).text
    assert f"the run is at {made:,} of " in text
    assert "No audit while training is on record." in text


def test_a_run_without_a_policy_is_told(run: Path, rivc: Call) -> None:
    shutil.rmtree(run / "best")
    (run / "program.npz").unlink()
    result = rivc("report", run)
    assert result.exit_code == 2
    assert "rivc resume" in result.stderr


@pytest.mark.skipif(browser() is None, reason="there is no browser: apt-get install chromium")
@pytest.mark.parametrize("width", [400, 1200])
def test_a_browser_shows_the_page_and_it_is_not_too_wide(
    html: str, tmp_path: Path, width: int
) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "page.html").write_text(html)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" style="width:{width}px;height:900px;border:0" src="page.html" '
        'onload="document.title = f.contentDocument.documentElement.scrollWidth"></iframe>'
    )
    picture = tmp_path / "page.png"
    dom = browse(browser() or "", frame, "--window-size=1300,1000", f"--screenshot={picture}")
    assert f"<title>{width}</title>" in dom
    pixels = np.asarray(image.open(picture).convert("L"))
    assert len(np.unique(pixels)) > 50
