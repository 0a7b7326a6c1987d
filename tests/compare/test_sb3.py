"""The peer: Stable-Baselines3's DQN, and its network quantized after training."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from rivc.compare.job import FLOAT_BITS, Evaluation, Job, Width
from rivc.compare.suite import load_suite
from rivc.compare.work import perform
from rivc.envs.factory import make
from rivc.errors import ConfigError
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

from rivc.compare import sb3, sb3_nets

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


def test_equal_configurations_give_equal_weights(config: Config, task: Task, peer: Peer) -> None:
    again = sb3.train(config, task)
    for name, tensor in peer.q_net.state_dict().items():
        assert torch.equal(tensor, again.q_net.state_dict()[name])
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


def test_a_job_judges_the_peer_in_floating_point_and_at_every_width(tmp_path: Path) -> None:
    job = Job(
        name="cartpole/dqn",
        task="cartpole",
        variant="dqn",
        bit_width=FLOAT_BITS,
        config=load_config("quickstart", {**TINY, "net.hidden": [8, 8]}),
        peer="sb3",
        widths=(Width(weights=4, activations=4), Width(weights=2, activations=1)),
        evaluation=Evaluation(episodes=2, states=32),
    )
    row = sb3.trained_and_judged(job, tmp_path)
    forms = [(result["form"], result["bit_width"]) for result in row["results"]]
    assert forms == [("fpnn", 32), ("chip", 4), ("chip", 1)]
    program = SpikingProgram.load(tmp_path / "program-1bit.npz")
    assert row["results"][2]["program_sha256"] == program.sha256
    assert [layer.weight_bits for layer in program.layers] == [8, 2, 8]
    assert [layer.levels for layer in program.layers[:2]] == [1, 1]
    assert row["cpu_seconds"] > 0


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
    monkeypatch.setattr(
        sb3, "trained_and_judged", lambda job, run: {"results": [{} for _ in watched]}
    )
    job = next(job for job in load_suite("peers").jobs() if job.peer == "sb3")
    job.save(tmp_path)
    perform(tmp_path, watched.append)
    assert len(json.loads((tmp_path / "result.json").read_text())["results"]) == 1
