"""`rivc train` and `rivc resume`."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from rivc.cli.main import INTERRUPTED
from rivc.cli.training import close_run, run_to_the_end, summary
from rivc.train import Trainer, load_config
from rivc.train.record import read_metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Call = Callable[..., Result]


def test_the_default_run_folder_is_a_new_one_each_time(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rivc: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tiny-seed5").mkdir(parents=True)
    result = rivc("train", tiny_config, "--seed", 5, "--json", "--train.env_steps", 50)
    assert json.loads(result.stdout)["run"] == "runs/tiny-seed5-2"


def test_a_run_ends_with_its_return_and_its_folder(trained: Path, rivc: Call) -> None:
    result = rivc("resume", trained)
    assert result.exit_code == 0
    assert f"{trained} was finished already" in result.stderr
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert names == ["task", "integers", "return", "audit", "run", "next"]
    assert "profile ideal, weights of 8-" in result.stdout


def test_json_names_run_and_programs(run: Path, rivc: Call) -> None:
    facts = json.loads(rivc("resume", run, "--json").stdout)
    manifest = json.loads((run / "manifest.json").read_text())
    assert facts["finished"]
    assert facts["already_finished"]
    assert facts["run"] == str(run)
    assert facts["env_steps"] == 232
    assert facts["program_sha256"] == manifest["program_sha256"]
    assert facts["best_program_sha256"] == manifest["best_program_sha256"]


def test_backend_is_short_for_the_backends_name(
    tiny_config: Path, tmp_path: Path, rivc: Call
) -> None:
    run = tmp_path / "run"
    words = ("--run", run, "--backend", "snntorch", "--train.env_steps", 50)
    assert rivc("train", tiny_config, *words).exit_code == 0
    assert load_config(run / "config.yaml").backend.name == "snntorch"


def test_two_chips_are_one_too_many(tiny_config: Path, rivc: Call) -> None:
    found = rivc("train", tiny_config, "--backend", "emulator", "--backend.name", "spiking")
    assert found.exit_code == 2
    assert found.stderr == "rivc: --backend emulator and --backend.name spiking: give one\n"


def interrupted(config: Path, run: Path, times: int) -> dict[str, Any]:
    """Run until the first record, and press Ctrl-C there."""
    trainer = Trainer(load_config(config), run)
    trainer.observers.append(lambda _: [signal.raise_signal(signal.SIGINT) for _ in range(times)])
    return run_to_the_end(trainer)


def test_ctrl_c_leaves_a_run_that_resumes_to_the_same_program(
    tiny_config: Path,
    tmp_path: Path,
    trained: Path,
    capsys: pytest.CaptureFixture[str],
    rivc: Call,
) -> None:
    run = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    facts = interrupted(tiny_config, run, times=1)
    assert not facts["finished"]
    with pytest.raises(click.exceptions.Exit) as left:
        close_run(facts, as_json=False)
    assert left.value.exit_code == INTERRUPTED
    assert f"rivc resume {run}" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert rivc("resume", run).exit_code == 0
    assert (run / "program.npz").read_bytes() == (trained / "program.npz").read_bytes()
    assert (run / "metrics.jsonl").exists()


def test_the_second_ctrl_c_aborts(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tiny_config, tmp_path / "run", times=2)


def test_the_latest_program_of_a_stopped_run_is_its_checkpoints(
    tiny_config: Path, tmp_path: Path, rivc: Call
) -> None:
    run = tmp_path / "run"
    interrupted(tiny_config, run, times=1)
    result = rivc("verify", run, "--policy", "latest", "--states", 8)
    assert result.exit_code == 0, result.stderr


def test_before_its_first_checkpoint_a_run_starts_again(
    run: Path, trained: Path, rivc: Call
) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    result = rivc("resume", run)
    assert "starts again" in result.stderr
    assert (run / "program.npz").read_bytes() == (trained / "program.npz").read_bytes()


@pytest.mark.parametrize(("exact", "ending"), [(True, "every integer"), (False, "left out")])
def test_the_summary_says_whether_the_chip_was_audited(exact: bool, ending: str) -> None:
    facts: dict[str, object] = dict.fromkeys(
        ("env_id", "seed", "run", "integers", "return_mean", "best_return")
    )
    facts |= {"env_steps": 600, "audited_states": 32, "chip_is_exact": exact}
    [audit] = [line for line in summary(facts).splitlines() if line.startswith("audit")]
    assert audit.endswith(ending)


def test_every_metric_stands_in_the_documentation(trained: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "algorithm.md").read_text()
    section = page.partition("## Metrics")[2].partition("\n## ")[0]
    known = set(re.findall(r"`([a-z_0-9]+)`", section))
    assert {key for record in read_metrics(trained) for key in record} <= known
