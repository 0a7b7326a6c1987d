"""The peer: Stable-Baselines3's DQN, and its network quantized after training."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from rivc.compare.job import Evaluation, Job, Width
from rivc.compare.suite import load_suite
from rivc.compare.work import perform
from rivc.envs.factory import make
from rivc.errors import ConfigError
from rivc.report.comparison import FLOAT_BITS
from rivc.snn_convert import SpikingProgram, reference
from rivc.train import load_config
from tests.learning.time_to_solved import ZOO, ZOO_ENV_STEPS

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.compare.sb3_nets import Peer
    from rivc.envs.factory import Task
    from rivc.quant.encoding import InputEncoding
    from rivc.train import Config

pytest.importorskip("stable_baselines3", reason="pip install 'rivc[sb3]'")

from rivc.compare import sb3, sb3_keep, sb3_nets

TINY: dict[str, Any] = {
    "env.count": 4,
    "net.hidden": [16],
    "train.env_steps": 240,
    "train.warmup_env_steps": 80,
    "train.batch_size": 16,
    "eval.every_env_steps": 80,
    "eval.episodes": 2,
    "log.every_env_steps": 80,
}
PIXELS: dict[str, Any] = {**TINY, "net.conv": [[4, 3, 3], [5, 3, 2]], "train.env_steps": 160}


@pytest.fixture(scope="module", params=["quickstart", "pan_servo"])
def config(request: pytest.FixtureRequest) -> Config:
    return load_config(request.param, PIXELS if request.param == "pan_servo" else TINY)


@pytest.fixture(scope="module")
def task(config: Config) -> Task:
    return make(config.env.id, **config.env.kwargs)


@pytest.fixture(scope="module")
def peer(config: Config, task: Task) -> Peer:
    return sb3.train(config, task)


def on_grid(encoding: InputEncoding, count: int) -> tuple[np.ndarray[Any, Any], Any]:
    """Random counts, and the observations that they stand for exactly."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 256, (count, *encoding.shape), dtype=np.uint8)
    if encoding.kind == "image":
        return counts, counts
    return counts, (np.array(encoding.low) + counts * np.array(encoding.step)).astype(np.float32)


def test_the_copied_network_is_the_peers(config: Config, task: Task, peer: Peer) -> None:
    """The same action values on every input that counts can express, before any rounding."""
    policy = sb3_nets.quantized(peer, config, task, Width(weights=4, activations=4))
    counts, observations = on_grid(policy.program.encoding, 50)
    with torch.no_grad():
        x = torch.from_numpy(observations)
        theirs = peer.q_net(x.permute(0, 3, 1, 2) if x.dim() == 4 else x)
        ours = policy.net(torch.from_numpy(counts))[:, 0]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_eight_bits_lose_little_and_two_lose_more(config: Config, task: Task, peer: Peer) -> None:
    errors = []
    for bits in (8, 2):
        policy = sb3_nets.quantized(peer, config, task, Width(weights=bits, activations=bits))
        counts = policy.program.encode(peer.seen[:64])
        q = reference.run(policy.program, counts) * policy.program.readout_scale
        real = policy.net(torch.from_numpy(counts)).numpy()
        errors.append(np.abs(q - real).mean() / np.abs(real).mean())
    assert errors[0] < errors[1] / 4
    assert errors[0] < 0.05


def same_weights(one: Peer, other: Peer) -> bool:
    found = other.q_net.state_dict()
    return all(torch.equal(tensor, found[k]) for k, tensor in one.q_net.state_dict().items())


def test_equal_configurations_give_equal_weights(config: Config, task: Task, peer: Peer) -> None:
    again = sb3.train(config, task)
    assert same_weights(again, peer)
    assert again.curve == peer.curve


def test_it_makes_the_steps_and_updates_that_rivc_makes(config: Config, peer: Peer) -> None:
    """An iteration is counted when it ends, so the last may reach a little beyond."""
    gathered = config.train.env_steps - config.train.warmup_env_steps
    assert 0 <= peer.env_steps - config.train.env_steps < config.train.env_steps_per_conversion
    most = (
        gathered + 2 * config.train.env_steps_per_conversion
    ) * config.train.updates_per_env_step
    assert 0.9 * gathered * config.train.updates_per_env_step <= peer.updates <= most
    assert [x for x, _ in peer.curve] == sorted({x for x, _ in peer.curve})
    assert len(peer.curve) == peer.env_steps // config.eval.every_env_steps


WIDTHS = Width(weights=4, activations=4), Width(weights=2, activations=1)


def job_of(config: Config, widths: tuple[Width, ...] = WIDTHS, episodes: int = 2) -> Job:
    return Job(
        name="task/dqn",
        task="task",
        variant="dqn",
        bit_width=FLOAT_BITS,
        config=config,
        peer="sb3",
        widths=widths,
        evaluation=Evaluation(episodes=episodes, states=32),
    )


def test_a_job_judges_the_peer_in_floating_point_and_at_every_width(tmp_path: Path) -> None:
    job = job_of(load_config("quickstart", {**TINY, "net.hidden": [8, 8]}))
    row = sb3.trained_and_judged(job, tmp_path)
    forms = [(result["form"], result["bit_width"]) for result in row["results"]]
    assert forms == [("fpnn", 32), ("chip", 4), ("chip", 1)]
    program = SpikingProgram.load(tmp_path / "program-1bit.npz")
    assert row["results"][2]["program_sha256"] == program.sha256
    assert [layer.weight_bits for layer in program.layers] == [8, 2, 8]
    assert [layer.levels for layer in program.layers[:2]] == [1, 1]
    assert row["cpu_seconds"] > 0


def result_of(job: Job, folder: Path) -> dict[str, Any]:
    """What a job leaves in a folder, without how long its evaluation took."""
    job.save(folder)
    perform(folder, lambda _: None)
    row: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert row.pop("evaluation_cpu_seconds") > 0
    return row


def never(*_: object) -> Peer:
    raise AssertionError("trained again")


def test_another_evaluation_and_other_widths_do_not_train_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And end in the row of a job that was so from the beginning."""
    narrow, other = (WIDTHS[1],), job_of(config, (WIDTHS[1],), episodes=3)
    afresh = result_of(other, tmp_path / "afresh")
    first = result_of(job_of(config), tmp_path / "job")
    monkeypatch.setattr(sb3, "train", never)
    again = result_of(other, tmp_path / "job")
    assert again.pop("cpu_seconds") == first["cpu_seconds"]
    assert afresh.pop("cpu_seconds") > 0
    assert again == afresh
    assert again["results"] != first["results"]
    same = result_of(job_of(config, narrow), tmp_path / "job")["results"]
    assert same == [first["results"][0], first["results"][2]]


def test_a_judgement_that_failed_does_not_train_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ConfigError("no such chip")

    job = job_of(load_config("quickstart", TINY))
    with monkeypatch.context() as patch:
        patch.setattr(sb3, "judge", fail)
        with pytest.raises(ConfigError, match="no such chip"):
            result_of(job, tmp_path)
    monkeypatch.setattr(sb3, "train", never)
    assert len(result_of(job, tmp_path)["results"]) == 3


def test_another_training_and_ruins_are_trained_again(
    config: Config, task: Task, peer: Peer, tmp_path: Path
) -> None:
    def recalled(job: Job) -> Peer | None:
        return sb3_keep.recall(tmp_path / job.training_hash, lambda: copy.deepcopy(peer.q_net))

    job = job_of(config)
    assert recalled(job) is None
    sb3_keep.keep(peer, tmp_path / job.training_hash)
    again = recalled(job)
    assert again is not None
    assert same_weights(again, peer)
    assert (again.curve, again.cpu_seconds) == (peer.curve, peer.cpu_seconds)
    chips = [sb3_nets.quantized(p, config, task, WIDTHS[0]).program.sha256 for p in (again, peer)]
    assert chips[0] == chips[1]
    assert recalled(job_of(config.model_copy(update={"seed": 1}))) is None
    [state] = tmp_path.rglob("state.safetensors")
    state.write_bytes(state.read_bytes()[:-1])
    assert recalled(job) is None


def test_what_the_peer_cannot_do_is_told(config: Config) -> None:
    odd = load_config("quickstart", {**TINY, "train.updates_per_env_step": 0.3})
    with pytest.raises(ConfigError, match=r"whole updates .* not 8 and 9\.6"):
        sb3.arguments(odd)
    task = make("CartPole-v1")
    with pytest.raises(ConfigError, match="one choice a step; CartPole-v1 has 3 of 2"):
        sb3.train(config, replace(task, action_layout=(3, 2)))


def test_the_tuned_peer_has_the_settings_of_the_zoo() -> None:
    job = next(job for job in load_suite("peers").jobs() if job.variant == "SB3 DQN, tuned")
    found = sb3.arguments(job.config)
    rate = found["learning_rate"]
    assert {rate(left) for left in (0.0, 0.5, 1.0)} == {ZOO["learning_rate"]}
    found |= {"learning_rate": rate(1.0), "buffer_size": ZOO["buffer_size"]}  # more than is seen
    assert {name: found[name] for name in ZOO} == ZOO
    assert (job.config.env.count, job.config.train.env_steps) == (1, ZOO_ENV_STEPS)


def test_a_peer_ends_with_the_suite_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[Any] = []
    results = {"results": [{"return_mean": 1.0}]}
    monkeypatch.setattr(sb3, "trained_and_judged", lambda *_: results if watched else None)
    job = next(job for job in load_suite("peers").jobs() if job.peer == "sb3")
    job.save(tmp_path)
    perform(tmp_path, watched.append)
    assert len(json.loads((tmp_path / "result.json").read_text())["results"]) == 1
