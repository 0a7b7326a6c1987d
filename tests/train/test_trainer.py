"""The loop: equal samplers give equal runs, and wrong integers stop it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from rivc.errors import (
    ConfigError,
    MismatchError,
    UsageError,
)
from rivc.neurochip.emulator import Emulator
from rivc.snn_convert import SpikingProgram, reference
from rivc.train import Trainer, load_config
from rivc.train.record import read_metrics
from tests.train.runs import digest, results, small

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_softmax_has_no_share_of_random_actions(tmp_path: Path, finished: Path) -> None:
    Trainer(small(**{"explore.kind": "boltzmann"}), tmp_path / "run").run()
    assert "epsilon" in read_metrics(finished)[-1]
    assert "epsilon" not in read_metrics(tmp_path / "run")[-1]


def test_certified_metrics_are_recorded_when_asked_for(tmp_path: Path, finished: Path) -> None:
    Trainer(small(**{"train.certify_noise": 0.05}), tmp_path / "run").run()
    last = read_metrics(tmp_path / "run")[-1]
    assert 0 <= last["certified_share"] <= 1
    assert last["certified_gap_steps"] < last["action_gap_steps"]
    assert "certified_share" not in read_metrics(finished)[-1]
