"""`rivc split`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rivc.cli.main import cli
from rivc.split.policy import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]

RIVC = (sys.executable, "-m", "rivc.cli.main", "split")


@pytest.fixture(scope="session")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split of the tiny run."""
    out = tmp_path_factory.mktemp("split") / "split"
    words = ["split", "fit", trained, "--layer", 1, "--episodes", 2, "--row-episodes", 1]
    result = CliRunner().invoke(cli, [str(word) for word in [*words, "--out", out, "--json"]])
    assert result.exit_code == 0, result.stderr
    assert "playing row 3 of" in result.stderr
    facts = json.loads(result.stdout)
    assert facts["shape"] == [16]
    assert facts["rows"][0]["bit_width"] == facts["bit_width"] == 4
    assert all(row["return"] > 0 for row in facts["rows"])
    assert {path.name for path in out.iterdir()} >= {"split.json", "edge.npz", "codec0.npz"}
    return out


def facts_of(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


def test_a_split_drives_its_task_in_simulated_time(folder: Path, rivc: Call) -> None:
    words = ("--simulated", "--seconds", 8, "--rate", 50, "--json")
    facts = facts_of(rivc("split", "drive", folder, *words))
    assert set(facts["decisions"]) == {"present"}
    assert 398 <= facts["decisions"]["present"] == facts["rows"]["0"] <= 400
    assert facts["server"]["answered"] == facts["frames_sent"]
    assert facts["episodes"] > 0
    assert list(facts["latency_ms"]) == list(STAGES)


def test_a_split_takes_the_actions_of_the_whole(folder: Path, trained: Path, rivc: Call) -> None:
    """Equal seeds give equal worlds, so equal returns mean equal actions."""
    words = ("--simulated", "--seconds", 8, "--rate", 50, "--json")
    whole = facts_of(rivc("drive", trained, "--robot", "mock", *words))
    split = facts_of(rivc("split", "drive", folder, *words))
    assert split["return_mean"] == whole["return_mean"]
    assert split["episodes"] == whole["episodes"]


def test_a_poor_link_is_told_of_to_people(folder: Path, rivc: Call, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("seconds,kbit_per_s,loss\n0,150,0.2\n4,0,0\n")
    words = ("--simulated", "--seconds", 8, "--rate", 50, "--link", trace)
    result = rivc("split", "drive", folder, *words)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "row",
        "bits",
        "channels",
        "skip",
        "mean",
        "[B]",
        "p95",
        "[B]",
        "return",
    ]
    assert any(line.startswith("decisions") and "fallback" in line for line in lines)


def test_two_real_processes(folder: Path, rivc: Call, tmp_path: Path) -> None:
    key, trace = tmp_path / "key", tmp_path / "trace.csv"
    key.write_text("sixteen bytes or more\n")
    trace.write_text("seconds,kbit_per_s,duplicate\n0,10000,1\n")
    secret = ("--key", str(key), "--json")
    serve = subprocess.Popen(
        [*RIVC, "serve", str(folder), "--bind", "udp://127.0.0.1:0", *secret],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert serve.stderr
        address = serve.stderr.readline().split()[-1]
        words = ("--connect", address, "--seconds", 1, "--rate", 20, *secret)
        patience = ("--deadline-ms", 20000, "--wait-ms", 20000, "--link", trace)
        facts = facts_of(rivc("split", "drive", folder, *words, *patience))
        assert set(facts["decisions"]) == {"present"}
        assert facts["dropped"]["replayed"] > 0
        fleet = facts_of(rivc("split", "drive", folder, *words, "--robots", 3))
        assert fleet["frames"] == 60 >= fleet["answered"] > 0
        assert "wrong" not in fleet["outcomes"]
    finally:
        serve.terminate()
        out, told = serve.communicate(timeout=60)
    assert serve.returncode == 0, told
    served = json.loads(out)
    assert served["answered"] >= facts["frames_sent"] + fleet["answered"]
    assert served["dropped"]["replayed"] > 0
    # The robot leaves last; the copy of that message is of nobody any more, if it gets through.
    assert served["dropped"].pop("unknown session", 0) <= 1
    assert set(served["dropped"]) == {"replayed"}


@pytest.mark.parametrize(("half", "form"), [("edge", "c99"), ("server", "c99"), ("edge", "nir")])
def test_a_half_is_exported_and_verified(
    folder: Path, rivc: Call, tmp_path: Path, half: str, form: str
) -> None:
    if form == "nir":
        pytest.importorskip("nir")
    words = (folder / f"{half}.npz", "--format", form, "--out", tmp_path / "out")
    result = rivc("export", *words)
    assert result.exit_code == 0, result.stderr
    facts = facts_of(rivc("verify", tmp_path / "out", "--states", 32, "--json"))
    assert facts["ok"]
    assert all(found["mismatches"] == 0 for found in facts["forms"].values())
    assert len(facts["forms"]) > 1
    result = rivc("export", *words, "--policy", "best")
    assert (result.exit_code, "leave out --policy" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--link", "none.csv", "--simulated"), "no link trace"),
        (("--link", "FOLDER/trace.csv"), "--link needs --simulated"),
        (("--simulated", "--connect", "udp://127.0.0.1:1"), "leave out --connect"),
        (("--robots", "2"), "rivc split serve"),
        (("--robots", "2", "--connect", "udp://127.0.0.1:1", "--wait-ms", "1"), "--wait-ms"),
        (("--robots", "2", "--connect", "tcp://127.0.0.1:1"), "udp://HOST:PORT"),
        (("--connect", "127.0.0.1:1"), "is no address"),
        (("--key", "none.key"), "no key at"),
        (("--key", "FOLDER/trace.csv"), "at least 16"),
        (("--deadline-ms", "1e9"), "60,000"),
        (("--backend", "none"), "none"),
        (("--robots", "2", "--connect", "udp://127.0.0.1:1", "--backend", "x"), "--backend"),
        (("--backend-options", "FOLDER/chip.yaml"), "does not take ['port']"),
    ],
)
def test_words_that_do_not_go_together_are_one_line(
    folder: Path, rivc: Call, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    (tmp_path / "trace.csv").write_text("seconds\n0\n")
    (tmp_path / "chip.yaml").write_text("port: 1\n")
    given = [word.replace("FOLDER", str(tmp_path)) for word in words]
    result = rivc("split", "drive", folder, *given)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert not result.stdout


def test_a_server_that_is_not_there_is_told_of(folder: Path, rivc: Call) -> None:
    words = ("--connect", "udp://127.0.0.1:9", "--seconds", 0.5)
    result = rivc("split", "drive", folder, *words)
    assert result.exit_code == 0, result.stderr
    assert "no server answered" in result.stderr


def test_a_configuration_that_is_none_is_one_line(folder: Path, rivc: Call, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "split")
    (tmp_path / "split" / "config.yaml").write_text("{")
    result = rivc("split", "drive", tmp_path / "split", "--simulated", "--seconds", 1)
    assert result.exit_code == 2
    assert "config.yaml of the split is not YAML" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", ["fit", "learn"])
def test_a_run_is_not_written_over(verb: str, trained: Path, run: Path, rivc: Call) -> None:
    before = (run / "config.yaml").read_bytes()
    result = rivc("split", verb, trained, "--layer", 1, "--out", run)
    assert result.exit_code == 2
    assert "is no split, and its 'config.yaml' would be lost" in result.stderr
    assert (run / "config.yaml").read_bytes() == before


def test_no_split_and_no_cut_name_the_way_out(trained: Path, rivc: Call, tmp_path: Path) -> None:
    result = rivc("split", "serve", tmp_path)
    assert (result.exit_code, "rivc split fit" in result.stderr) == (2, True)
    result = rivc("split", "fit", trained, "--layer", 9, "--out", tmp_path / "out")
    assert (result.exit_code, "layers that emit counts are 1" in result.stderr) == (2, True)


@pytest.mark.parametrize("verb", ["fit", "learn"])
def test_where_nothing_can_be_written_is_told_before_the_work(
    verb: str, trained: Path, rivc: Call, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "split"
    result = rivc("split", verb, trained, "--layer", 1, "--out", out)
    assert (result.exit_code, "takes files" in result.stderr) == (2, True)
    assert result.stderr.count("\n") == 1
