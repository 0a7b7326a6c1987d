"""Records to the real Weights & Biases, without a network: its own file is read back."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from rivc.train import Trainer, load_config
from tests.train.test_wandb import TINY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

wandb = pytest.importorskip("wandb", reason="pip install 'rivc[wandb]'")
PARTS = "wandb/offline-run-*/run-*.wandb"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    wandb.teardown()  # it looks at its environment once
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def chunks(data: bytes) -> Iterator[bytes]:
    """What a log of LevelDB holds, after the 7 bytes of wandb: blocks of 32 KiB."""
    at, whole = 7, b""
    while at + 7 <= len(data):
        if (room := 32768 - at % 32768) < 7:
            at += room
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in {1, 4}:  # a whole one, or the last part of one
            yield whole
            whole = b""


def read(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The records of a file, and with what codes it says that the run ended."""
    from wandb.proto import wandb_internal_pb2 as proto

    wandb.teardown()  # its process writes the rest of the file
    found = [proto.Record.FromString(chunk) for chunk in chunks(path.read_bytes())]
    history = [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in one.history.item}
        for one in found
        if one.HasField("history")
    ]
    return history, [one.exit.exit_code for one in found if one.HasField("exit")]


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_an_offline_run_has_every_number_of_every_record(tmp_path: Path) -> None:
    Trainer(load_config("quickstart", TINY), tmp_path / "run").run()
    [path] = (tmp_path / "run").glob(PARTS)
    history, ended = read(path)
    assert ended == [0]
    for there, here in zip(history, records(tmp_path / "run"), strict=True):
        assert there["_step"] == here["env_steps"]
        assert {key: there[key] for key in here} == pytest.approx(here, abs=1e-6)


def test_a_run_that_is_killed_and_resumed_stays_one_run(tmp_path: Path) -> None:
    def die(record: dict[str, Any]) -> None:
        if record["env_steps"] >= 80:
            raise OSError("the power is gone")

    settings = TINY | {"checkpoint.every_env_steps": 40}
    with pytest.raises(OSError, match="power"):
        Trainer(load_config("quickstart", settings), tmp_path / "run", [die]).run()
    Trainer.resume(tmp_path / "run").run()
    first, second = sorted((tmp_path / "run").glob(PARTS))
    assert first.name == second.name  # run-ID.wandb
    assert read(first)[1] == [1]
    assert read(second)[1] == [0]
    steps = {record["_step"] for path in (first, second) for record in read(path)[0]}
    assert steps == {record["env_steps"] for record in records(tmp_path / "run")}


def test_without_a_key_the_run_is_made_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert Trainer(load_config("quickstart", TINY), tmp_path / "run").run() is not None
    assert "Weights & Biases failed" in caplog.text
    assert len(records(tmp_path / "run")) == 3
