"""A finished policy in all its forms."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from rivc.envs.factory import make
from rivc.nets import build_network
from rivc.neurochip import load_backend
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import convert
from rivc.train.appraise import Appraisal, _Witness, appraisal_seeds, appraise, decide
from rivc.train.evaluate import evaluation_seeds
from rivc.train.policy import Policy

if TYPE_CHECKING:
    from rivc.nets import QNetwork

RANGES = np.array([2.4, 3.0, 0.21, 3.0])


def network(*, quantized: bool = True) -> QNetwork:
    encoding = InputEncoding.over_range(-RANGES, RANGES, bit_width=8)
    net = build_network(
        "mlp", input_shape=(4,), action_layout=(1, 2), hidden=(16,), encoding=encoding, seed=3
    )
    net.quantized = quantized
    return net.requires_grad_(False)


def judge(policy: Policy, *names: str, episodes: int = 3) -> list[Appraisal]:
    tasks = [make("CartPole-v1") for _ in range(2)]
    chips = {name: load_backend(name) for name in names}
    return appraise(policy, tasks, chips, appraisal_seeds(0, episodes))


def test_forms_with_equal_integers_play_equal_episodes() -> None:
    net = network()
    fpnn, *chips = judge(Policy("best", net, convert(net)), "emulator", "snntorch")
    assert [chip.form for chip in chips] == ["emulator", "snntorch"]
    for chip in chips:
        assert chip.score == fpnn.score
        assert chip.states == fpnn.states == sum(e.length for e in fpnn.score.episodes)
        assert chip.action_agreement == 1.0
        assert chip.readout_mismatches == 0
    assert chips[0].spikes_per_decision == chips[1].spikes_per_decision
    assert chips[0].synops_per_decision == chips[1].synops_per_decision


def test_the_fpnn_has_no_spikes() -> None:
    net = network()
    [fpnn] = judge(Policy("best", net, convert(net)))
    assert fpnn.form == "fpnn"
    assert fpnn.spikes_per_decision is None
    assert fpnn.synops_per_decision is None


def test_a_program_that_is_not_the_networks_is_found_out() -> None:
    net = network()
    program = convert(net)
    readout = replace(program.layers[-1], bias=program.layers[-1].bias + np.int32([9999, 0]))
    other = replace(program, layers=(*program.layers[:-1], readout))
    _, chip = judge(Policy("best", net, other), "emulator")
    assert chip.readout_mismatches == chip.states
    assert chip.action_agreement < 1.0


def test_a_network_in_reals_is_compared_in_readout_steps() -> None:
    net = network(quantized=False)
    counts = np.random.default_rng(0).integers(0, 256, (16, 4), dtype=np.uint8)
    actions, readout = decide(net, counts, net.integers())
    q = net(torch.from_numpy(counts)).numpy()
    assert actions.tolist() == q.argmax(2).tolist()
    np.testing.assert_allclose(
        readout * float(net.readout_scale()), q, atol=float(net.readout_scale())
    )
    _, chip = judge(Policy("best", net, convert(net)), "emulator")
    assert chip.readout_mismatches > 0


def test_appraisals_play_what_evaluations_did_not() -> None:
    assert not set(appraisal_seeds(0, 100)) & set(evaluation_seeds(0, 100))


@pytest.mark.parametrize("episodes", [1, 5])
def test_there_is_one_episode_a_seed(episodes: int) -> None:
    net = network()
    for result in judge(Policy("best", net, convert(net)), "emulator", episodes=episodes):
        assert len(result.score.episodes) == episodes


def test_one_state_of_a_batch_does_not_keep_the_batch() -> None:
    net = network()
    witness = _Witness(Policy("best", net, convert(net)))
    witness.act(np.zeros((50, 4), np.float32))
    [kept] = witness.sample
    assert kept.base is None
