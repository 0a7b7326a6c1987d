"""Records to Weights & Biases, by a module that pretends to be it."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rivc.errors import MissingError
from rivc.train import Trainer, load_config
from rivc.train import wandb as ours

if TYPE_CHECKING:
    from pathlib import Path

TINY: dict[str, Any] = {
    "net.hidden": [8],
    "train.env_steps": 120,
    "train.warmup_env_steps": 40,
    "eval.every_env_steps": 40,
    "eval.episodes": 1,
    "log.every_env_steps": 40,
    "audit.states": 2,
    "log.wandb": "robots",
}


class Pretender(SimpleNamespace):
    """What of wandb is used; keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(begun=[], records=[], finished=[], broken="")

    def init(self, **how: Any) -> Any:
        self._do("init", self.begun, how)
        return SimpleNamespace(
            id=how["id"] or "abc",
            log=lambda record, step: self._do("log", self.records, (step, record)),
            finish=lambda exit_code: self._do("finish", self.finished, exit_code),
        )

    def _do(self, name: str, kept: list[Any], what: Any) -> None:
        kept.append(what)
        if name == self.broken:
            raise ConnectionError("no server\nat all")


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretender:
    pretender = Pretender()
    monkeypatch.setitem(sys.modules, "wandb", pretender)
    monkeypatch.setattr(ours, "find_spec", lambda _: SimpleNamespace(origin="file"))
    return pretender


def test_every_record_is_sent_and_the_run_is_finished(pretended: Pretender, tmp_path: Path) -> None:
    Trainer(load_config("quickstart", TINY), tmp_path / "run").run()
    [how] = pretended.begun
    assert (how["project"], how["name"]) == ("robots", "run")
    assert how["config"]["net"]["hidden"] == [8]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [step for step, _ in pretended.records] == [json.loads(x)["env_steps"] for x in lines]
    assert pretended.finished == [0]


def test_a_resumed_run_keeps_its_id(pretended: Pretender, tmp_path: Path) -> None:
    trainer = Trainer(load_config("quickstart", TINY), tmp_path / "run")
    trainer.stop_requested = True
    trainer.run()
    Trainer.resume(tmp_path / "run").run()
    assert [how["id"] for how in pretended.begun] == [None, "abc"]


@pytest.mark.parametrize(("broken", "records"), [("init", 0), ("log", 1), ("finish", 3)])
def test_whatever_fails_there_is_told_once_and_the_run_goes_on(
    pretended: Pretender,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    broken: str,
    records: int,
) -> None:
    pretended.broken = broken
    assert Trainer(load_config("quickstart", TINY), tmp_path / "run").run() is not None
    [told] = [record.getMessage() for record in caplog.records]
    assert "(ConnectionError: no server at all); going on without it" in told
    assert len(pretended.records) == records
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_run_that_fails_here_is_a_failed_one_there(pretended: Pretender, tmp_path: Path) -> None:
    trainer = Trainer(load_config("quickstart", TINY), tmp_path / "run", [lambda _: 1 / 0])
    with pytest.raises(ZeroDivisionError):
        trainer.run()
    assert pretended.finished == [1]


def test_the_folder_that_wandb_leaves_behind_is_not_wandb(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Python takes any folder of that name for a package, if none is installed."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(MissingError, match="pip install"):
        ours.require_wandb()


def test_it_is_told_in_one_line_before_a_folder_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ours, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match=r"pip install 'rivc\[wandb\]'"):
        Trainer(load_config("quickstart", TINY), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_of_it_is_imported_unasked() -> None:
    code = "import sys, rivc.train.trainer; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
