"""Runs that are cut off, stopped or fail leave what is whole, and end as if nothing had been."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from rivc.errors import (
    BackendError,
    ConfigError,
    DamagedFileError,
    DivergedError,
    QuantError,
    UsageError,
)
from rivc.neurochip.emulator import Emulator
from rivc.train import Trainer, load_config
from rivc.train.fused import FusedLearner
from rivc.train.learner import Learner
from rivc.train.policy import load_policy
from rivc.train.record import read_metrics
from rivc.train.run import RunFolder
from rivc.train.worlds import Copy, Worlds
from tests.train.runs import digest, results, small, timeless


class Stop(Exception):  # noqa: N818 (stands for a power cut)
    """The process dies here."""


@pytest.mark.parametrize("step", [201, 260, 417, 599])
def test_a_run_cut_off_anywhere_ends_in_the_same_bytes(
    finished: Path, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    original = Worlds.step

    def dying_step(self: Worlds, action: np.ndarray) -> Any:
        nonlocal count
        count += len(self.copies)
        if count >= step:
            raise Stop
        return original(self, action)

    run = tmp_path / "cut"
    with monkeypatch.context() as patch:
        patch.setattr(Worlds, "step", dying_step)
        with pytest.raises(Stop):
            Trainer(small(), run).run()
    Trainer.resume(run).run()
    assert results(run) == results(finished)
    assert timeless(run) == timeless(finished)


def test_records_are_on_the_disk_before_a_checkpoint_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = [], os.fsync

    def note(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        synced.append((path.name, path.stat().st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    run = tmp_path / "run"
    Trainer(small(), run).run()
    whole = "metrics.jsonl", (run / "metrics.jsonl").stat().st_size
    folders = [i for i, (name, _) in enumerate(synced) if re.fullmatch(r"\.\d{9}\.part", name)]
    assert whole in synced[: folders[-1]]


def test_a_step_that_fails_half_way_leaves_the_checkpoint_before_it(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies have moved that nobody remembers: what is saved then is no state of the run."""
    run, made, original = tmp_path / "broken", 0, Copy.step

    def broken_step(self: Copy, action: np.ndarray) -> Any:
        nonlocal made
        made += 1
        observation, *rest = original(self, action)
        return (observation * (np.nan if made == 405 else 1.0), *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Copy, "step", broken_step)
        with pytest.raises(QuantError, match="NaN"):
            Trainer(small(), run).run()
    assert max(int(path.name) for path in (run / "checkpoints").glob("0*")) < 400
    Trainer.resume(run).run()
    assert results(run) == results(finished)


@pytest.mark.parametrize("which", ["best", "latest"])
def test_a_network_that_is_newer_than_its_program_is_no_policy(
    finished: Path, tmp_path: Path, which: Literal["best", "latest"]
) -> None:
    run = tmp_path / "cut"
    shutil.copytree(finished, run)
    folder = RunFolder.open(run)
    program = load_policy(folder, which).program
    other = replace(program, readout_scale=2 * program.readout_scale)
    other.save(folder.program if which == "latest" else folder.best / "program.npz")
    load_policy(folder, which)  # altered: whoever compares forms will find it
    name = "program_sha256" if which == "latest" else "best_program_sha256"
    folder.note({name: other.sha256})  # as if the network alone were of a later moment
    with pytest.raises(DamagedFileError, match="is newer than its program"):
        load_policy(folder, which)


def test_a_stopped_run_goes_on_to_the_same_policy(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "stopped"
    trainer = Trainer(small(), run)
    trainer.observers.append(
        lambda record: setattr(trainer, "stop_requested", record["env_steps"] > 300)
    )
    assert trainer.run() is None
    Trainer.resume(run).run()
    assert digest(run / "best") == digest(finished / "best")
    assert (run / "program.npz").read_bytes() == (finished / "program.npz").read_bytes()


def test_a_run_that_was_made_longer_goes_on_to_its_new_end(finished: Path, tmp_path: Path) -> None:
    longer = shutil.copytree(finished, tmp_path / "longer")
    reconfigure(longer, {"train.env_steps": 900, "checkpoint.every_env_steps": 10_000})
    score = Trainer.resume(longer).run()
    assert score is not None
    last = read_metrics(longer)[-1]
    assert last["eval_env_steps"] == last["env_steps"] >= 900
    assert load_policy(RunFolder.open(longer), "latest").program.sha256
    assert Trainer.resume(longer).run() is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"env.count": 4}, "env.count 8, which is now 4"),
        ({"net.hidden": [16, 24]}, "made with another network"),
        ({"env.id": "Acrobot-v1"}, r"observations \(4,\), and env now shows \(6,\)"),
    ],
)
def test_a_run_does_not_go_on_as_another_one(
    finished: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    reconfigure(run, {"train.env_steps": 900, **changes})
    with pytest.raises(ConfigError, match=told):
        Trainer.resume(run).run()


def reconfigure(run: Path, changes: dict[str, Any]) -> None:
    """Edit the settings of a run."""
    config = load_config(run / "config.yaml", changes)
    (run / "config.yaml").write_text(config.to_yaml())


def test_a_state_that_cannot_be_saved_is_told_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worlds, "capture", lambda _: {"rng": np.random.default_rng(0)})
    with pytest.raises(UsageError, match="cannot save state/collector/worlds/rng: a Generator"):
        Trainer(small(), tmp_path / "run").run()
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))


def test_resuming_a_finished_run_changes_nothing(finished: Path) -> None:
    before = results(finished)
    Trainer.resume(finished).run()
    assert results(finished) == before


@pytest.mark.parametrize(("name", "kind"), [("torch", Learner), ("fused", FusedLearner)])
def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_a_checkpoint(
    name: str, kind: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = kind.update

    def poisoned(self: Any, replay: Any, rng: Any, env_steps: int, count: int) -> Any:
        good, nan = min(count, 60 - self.updates), float("nan")
        info = original(self, replay, rng, env_steps, good) if good else None
        if good == count:
            return info
        replay._arrays["reward"], whole = replay._arrays["reward"] * nan, replay._arrays["reward"]
        try:
            return original(self, replay, rng, env_steps, count - good)
        finally:
            replay._arrays["reward"] = whole

    run = tmp_path / "nan"
    with monkeypatch.context() as patch:
        patch.setattr(kind, "update", poisoned)
        with pytest.raises(DivergedError, match="no longer finite after 60 updates"):
            Trainer(small(**{"train.learner": name}), run).run()
    trainer = Trainer.resume(run)
    [failure] = trainer.folder.read_manifest()["failures"]
    assert "no longer finite" in failure["error"]
    trainer.run()
    assert trainer.folder.failures == 1
    assert trainer.session.learner.updates == (trainer.session.progress.env_steps - 200) // 2
    assert all(torch.isfinite(p).all() for p in trainer.session.learner.net.parameters())


def test_a_network_that_has_no_program_any_more_has_diverged(tmp_path: Path) -> None:
    trainer = Trainer(small(), tmp_path / "far")

    def ruin(_: dict[str, Any]) -> None:
        with torch.no_grad():
            trainer.session.learner.net.layers[-2].log_step.fill_(100.0)

    trainer.observers.append(ruin)
    with pytest.raises(DivergedError):
        trainer.run()
    assert trainer.folder.failures == 1


class Flaky(Emulator):
    """A chip that is unplugged after some inferences."""

    left = 40

    def infer(self, counts: np.ndarray) -> Any:
        self.left -= 1
        if self.left == 0:
            raise BackendError("the chip does not answer")
        return super().infer(counts)


def test_a_chip_that_fails_loses_no_transition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, made = tmp_path / "flaky", 0
    original = Worlds.step

    def counted_step(self: Worlds, action: np.ndarray) -> Any:
        nonlocal made
        made += len(self.copies)
        return original(self, action)

    with monkeypatch.context() as patch:
        patch.setattr("rivc.neurochip.emulator.Emulator", Flaky)
        patch.setattr(Worlds, "step", counted_step)
        with pytest.raises(BackendError):
            Trainer(small(), run).run()
    newest = max((run / "checkpoints").glob("0*"))
    assert int(newest.name) == made
    trainer = Trainer.resume(run)
    trainer.run()
    assert trainer.session.progress.env_steps >= 600
