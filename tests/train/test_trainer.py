"""The loop: equal samplers give equal runs, interrupted runs go on, wrong integers stop it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import torch

from rivc.errors import (
    BackendError,
    ConfigError,
    DamagedFileError,
    DivergedError,
    MismatchError,
    QuantError,
    UsageError,
)
from rivc.neurochip.emulator import Emulator
from rivc.snn_convert import SpikingProgram, reference
from rivc.train import Trainer, load_config
from rivc.train.fused import FusedLearner
from rivc.train.learner import Learner
from rivc.train.policy import load_policy
from rivc.train.record import read_metrics
from rivc.train.run import RunFolder
from rivc.train.worlds import Copy, Worlds

if TYPE_CHECKING:
    from rivc.train import Config

SMALL = {
    "train.env_steps": 600,
    "train.warmup_env_steps": 200,
    "net.hidden": [16, 16],
    "train.batch_size": 16,
    "eval.every_env_steps": 250,
    "eval.episodes": 2,
    "checkpoint.every_env_steps": 200,
    "log.every_env_steps": 100,
    "audit.every_conversions": 4,
}


def small(**overrides: Any) -> Config:
    return load_config("quickstart", {**SMALL, **overrides})


def digest(folder: Path) -> dict[str, str]:
    """Hash of every visible file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def results(run: Path) -> dict[str, str]:
    return digest(run / "checkpoints") | digest(run / "best")


def timeless(run: Path) -> list[dict[str, Any]]:
    """All records but how fast it went."""
    return [{k: v for k, v in r.items() if "per_s" not in k} for r in read_metrics(run)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "full"
    Trainer(small(), run).run()
    return run


def test_a_run_leaves_what_the_contract_says(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {
        "config.yaml",
        "manifest.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "best",
        "program.npz",
    } <= names
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["program_sha256"] == SpikingProgram.load(finished / "program.npz").sha256
    assert (
        manifest["best_program_sha256"]
        == SpikingProgram.load(finished / "best" / "program.npz").sha256
    )
    assert manifest["seed"] == 0
    assert "torch" in manifest["versions"]


def test_records_hold_the_metrics(finished: Path) -> None:
    records = read_metrics(finished)
    assert [r["env_steps"] for r in records] == sorted(r["env_steps"] for r in records)
    last = records[-1]
    assert last["conversion_mismatches"] == 0
    assert last["action_agreement"] == 1.0
    wanted = (
        "updates conversions audited_states epsilon td_loss margin_loss action_gap "
        "action_gap_steps spikes_per_decision synops_per_decision env_steps_per_s updates_per_s "
        "eval_return best_return"
    )
    assert set(wanted.split()) <= last.keys()


def test_the_number_of_updates_is_the_share_of_env_steps(finished: Path) -> None:
    last = read_metrics(finished)[-1]
    assert last["updates"] == int((last["env_steps"] - 200) * 0.5)


def test_the_same_seed_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    Trainer(small(), tmp_path / "again").run()
    assert results(tmp_path / "again") == results(finished)


def test_another_seed_gives_other_bytes(finished: Path, tmp_path: Path) -> None:
    Trainer(small(seed=1), tmp_path / "other").run()
    assert results(tmp_path / "other") != results(finished)


@pytest.mark.parametrize(
    ("name", "options"), [("snntorch", {}), ("spiking", {"schedule": "gated"})]
)
def test_spiking_and_counting_samplers_give_the_same_bytes(
    finished: Path, tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    config = small(**{"backend.name": name, "backend.options": options})
    Trainer(config, tmp_path / "spikes").run()
    assert results(tmp_path / "spikes") == results(finished)


def test_a_network_in_integers_gathers_what_its_chip_would(finished: Path, tmp_path: Path) -> None:
    """The network draws the same samples, so that nothing but the number of spikes is another."""
    Trainer(small(**{"train.sampler": "network"}), tmp_path / "run").run()
    assert digest(tmp_path / "run" / "best") == digest(finished / "best")


def test_a_network_in_floats_gathers_other_samples_than_its_chip(tmp_path: Path) -> None:
    for name in ("chip", "network"):
        options = {"quant.enabled": False, "quant.activation_bits": 1, "train.sampler": name}
        Trainer(small(**options), tmp_path / name).run()
    assert digest(tmp_path / "chip" / "best") != digest(tmp_path / "network" / "best")


def test_a_schedule_that_spikes_otherwise_learns_the_same_policy(
    finished: Path, tmp_path: Path
) -> None:
    """Only the number of spikes on record is another one."""
    config = small(**{"backend.name": "spiking", "backend.options": {"schedule": "radix"}})
    Trainer(config, tmp_path / "digits").run()
    ours, theirs = results(tmp_path / "digits"), results(finished)
    changed = {name for name in theirs if ours[name] != theirs[name]}
    assert {name.rpartition("/")[2] for name in changed} <= {"state.json"}


def test_a_chip_that_errs_on_purpose_is_trained_on_and_errs_alike_every_time(
    finished: Path, tmp_path: Path
) -> None:
    config = small(
        **{"backend.name": "spiking", "backend.options": {"dropped_spikes": 0.2, "seed": 1}}
    )
    for run in ("one", "other"):
        Trainer(config, tmp_path / run).run()
    assert results(tmp_path / "one") == results(tmp_path / "other") != results(finished)
    last = read_metrics(tmp_path / "one")[-1]
    assert last["audited_states"] == read_metrics(finished)[-1]["audited_states"]
    assert last["conversion_mismatches"] > 0


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


def test_resuming_a_finished_run_changes_nothing(finished: Path) -> None:
    before = results(finished)
    Trainer.resume(finished).run()
    assert results(finished) == before


def test_a_replay_that_copies_would_overrun_is_told_before_anything_is_written(
    tmp_path: Path,
) -> None:
    config = small(**{"env.count": 8, "train.replay_capacity": 16})
    with pytest.raises(ConfigError, match="so 32 or more"):
        Trainer(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_never_overwritten(finished: Path) -> None:
    with pytest.raises(UsageError, match="rivc resume"):
        Trainer(small(), finished)


def test_one_process_writes_a_run(finished: Path) -> None:
    trainer = Trainer.resume(finished)
    with trainer.folder.lock(), pytest.raises(UsageError, match="another process"):
        Trainer.resume(finished).run()


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


class OffByOne(Emulator):
    """A chip whose last readout integer is one too large."""

    def infer(self, counts: np.ndarray) -> Any:
        result = super().infer(counts)
        readout = result.readout.copy()
        readout[:, -1, -1] += 1
        return replace(result, readout=readout)


def test_one_wrong_integer_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rivc.neurochip.emulator.Emulator", OffByOne)
    with pytest.raises(MismatchError, match="emulator differs from the program in 32 of 32 states"):
        Trainer(small(), tmp_path / "off").run()


def test_float_training_converts_what_it_calibrates(tmp_path: Path) -> None:
    trainer = Trainer(small(**{"quant.enabled": False, "train.margin_coef": 0}), tmp_path / "float")
    trainer.run()
    program, net = trainer.loop.program, trainer.session.learner.net
    counts = np.random.default_rng(0).integers(0, 256, (50, 4)).astype(np.uint8)
    np.testing.assert_array_equal(
        net.readout(torch.from_numpy(counts)).numpy(), reference.run(program, counts)
    )
    assert read_metrics(tmp_path / "float")[-1]["conversion_mismatches"] > 0


@pytest.mark.slow
def test_the_quickstart_is_the_same_through_counts_and_through_spikes(tmp_path: Path) -> None:
    for name in ("emulator", "snntorch"):
        overrides = {"train.env_steps": 3000, "backend.name": name}
        Trainer(load_config("quickstart", overrides), tmp_path / name).run()
    assert results(tmp_path / "emulator") == results(tmp_path / "snntorch")


def test_certified_metrics_are_recorded_when_asked_for(tmp_path: Path, finished: Path) -> None:
    Trainer(small(**{"train.certify_noise": 0.05}), tmp_path / "run").run()
    last = read_metrics(tmp_path / "run")[-1]
    assert 0 <= last["certified_share"] <= 1
    assert last["certified_gap_steps"] < last["action_gap_steps"]
    assert "certified_share" not in read_metrics(finished)[-1]
