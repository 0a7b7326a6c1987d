"""`rivc demo` and `rivc video`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rivc.cli import demo
from rivc.errors import MissingError

film = pytest.importorskip("rivc.report.film", exc_type=ModuleNotFoundError)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]


@pytest.fixture
def _small(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demonstration with the tiny task in place of the tracker."""
    monkeypatch.setattr(demo, "CONFIG", str(tiny_config))
    monkeypatch.setattr(demo, "EPISODES", 2)


@pytest.mark.usefixtures("_small")
def test_the_demonstration_trains_evaluates_verifies_and_films(tmp_path: Path, rivc: Call) -> None:
    out = tmp_path / "film.gif"
    result = rivc("demo", "--run", tmp_path / "run", "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert list(facts["eval"]["forms"]) == ["fpnn", "emulator", "snntorch"]
    assert facts["verify"]["ok"]
    assert facts["video"] == str(out)
    assert out.stat().st_size
    assert facts["run"] == str(tmp_path / "run")


@pytest.mark.usefixtures("_small")
def test_a_film_that_cannot_be_made_is_only_a_warning(
    tmp_path: Path, rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def film_run(*_: object, **__: object) -> None:
        raise MissingError("nothing draws here")

    monkeypatch.setattr(film, "film_run", film_run)
    result = rivc("demo", "--run", tmp_path / "run", "--out", tmp_path / "film.gif")
    assert result.exit_code == 0, result.stderr
    assert "warning: no film: nothing draws here" in result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if line]
    assert [row[0] for row in rows] == [
        "form",
        "FPNN",
        "program",
        "spiking",
        "verified",
        "video",
        "run",
    ]
    assert rows[-1][-1] == str(tmp_path / "run")


def test_a_run_is_filmed(trained: Path, tmp_path: Path, rivc: Call) -> None:
    out = tmp_path / "film.gif"
    facts = json.loads(rivc("video", trained, "--out", out, "--json").stdout)
    assert facts["path"] == str(out)
    assert facts["frames"] > 0
    assert facts["episode_return"] > 0
