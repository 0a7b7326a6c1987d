"""`rivc publish`: a folder for a model hub that proves itself when it is read back."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml

from rivc.errors import MismatchError
from rivc.neurochip.export import load_verified
from rivc.snn_convert import SpikingProgram
from rivc.train import load_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]


@pytest.fixture
def published(trained: Path, tmp_path: Path, rivc: Call) -> Path:
    out = tmp_path / "zoo" / "tiny"
    result = rivc("publish", trained, "--out", out, "--licence", "mit", "--episodes", 2, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["licence"] == "mit"
    assert set(facts["files"]) == {"README.md", "config.yaml", "golden.npz", "program.npz"}
    return out


def test_the_head_of_the_card_is_what_a_hub_reads(published: Path, rivc: Call) -> None:
    _, head, body = (published / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(head)
    assert card["library_name"] == "rivc"
    assert card["license"] == "mit"
    assert {"reinforcement-learning", "CartPole-v1"} <= set(card["tags"])
    [index] = card["model-index"]
    [result] = index["results"]
    assert result["dataset"] == {"name": "CartPole-v1", "type": "CartPole-v1"}
    [metric] = result["metrics"]
    assert metric["type"] == "mean_reward"
    mean, _, std = metric["value"].partition(" +/- ")
    assert float(mean) > 0
    assert float(std) >= 0
    assert SpikingProgram.load(published / "program.npz").sha256 in body


def test_the_card_tells_the_returns_that_eval_tells(
    trained: Path, published: Path, rivc: Call
) -> None:
    facts = json.loads(rivc("eval", trained, "--episodes", 2, "--json").stdout)
    expected = f"{facts['return_mean']:.2f} +/- {facts['return_std']:.2f}"
    assert expected in (published / "README.md").read_text()


def test_the_card_tells_the_steps_that_were_made(trained: Path, tmp_path: Path, rivc: Call) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    made = int(max(path.name for path in (run / "checkpoints").glob("0*")))
    told = load_config(run / "config.yaml", {"train.env_steps": 10 * made})
    (run / "config.yaml").write_text(told.to_yaml())
    facts = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(facts | {"versions": None}))
    result = rivc("publish", run, "--out", tmp_path / "out", "--episodes", 1)
    assert result.exit_code == 0, result.stderr
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| training | {made:,} env steps, seed " in card


def test_one_call_reads_it_back_and_it_verifies(published: Path, trained: Path, rivc: Call) -> None:
    export = load_verified(published)
    assert export.manifest["origin"]["env_id"] == "CartPole-v1"
    assert load_config(published / "config.yaml") == load_config(trained / "config.yaml")
    assert rivc("verify", published).exit_code == 0


def test_the_code_on_the_card_runs(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (published / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(published)
    names: dict[str, Callable[..., np.ndarray]] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["act"](np.zeros(4, np.float32)).shape == (1,)


def test_an_exchanged_program_or_vector_is_told(published: Path) -> None:
    golden = dict(np.load(published / "golden.npz"))
    golden["readout"][3, 0, 0] += 1
    np.savez(published / "golden.npz", **golden)
    with pytest.raises(MismatchError, match="differs from its golden vectors"):
        load_verified(published)
    manifest = json.loads((published / "manifest.json").read_text())
    manifest["program_sha256"] = "0" * 64
    (published / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MismatchError, match="the manifest says 000000000000"):
        load_verified(published)


def test_no_episode_is_played_for_a_folder_of_others(
    trained: Path, tmp_path: Path, rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("")
    monkeypatch.setattr("rivc.cli.eval.evaluate", None)
    result = rivc("publish", trained, "--out", tmp_path)
    assert result.exit_code == 2
    assert "mine.txt" in result.stderr


def test_it_replaces_an_earlier_one_and_nothing_else(
    published: Path, trained: Path, rivc: Call
) -> None:
    again = rivc("publish", trained, "--out", published, "--episodes", 1)
    assert again.exit_code == 0
    (published / "mine.txt").write_text("keep")
    refused = rivc("publish", trained, "--out", published, "--episodes", 1)
    assert refused.exit_code == 2
    assert (published / "mine.txt").exists()
