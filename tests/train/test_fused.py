"""The fused learner: the same integers, the same gradients, the same checkpoints."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from rivc.errors import ConfigError, DivergedError, QuantError
from rivc.quant import weighing
from rivc.snn_convert import convert
from rivc.train.fused import FusedLearner
from rivc.train.fused import network as passes
from rivc.train.fused.kernels import adam
from rivc.train.fused.updates import put_together
from rivc.train.learner import Learner
from rivc.train.learners import make_learner, why_not_fused
from tests.learners import (
    BATCH,
    CASES,
    CONV,
    gradient,
    network,
    pair,
    parameters,
    replay,
    settings,
    step,
)


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_equal_those_of_torch(case: str) -> None:
    ours, theirs = pair(case)
    assert step(theirs) == pytest.approx(step(ours), rel=1e-5, abs=1e-7)
    expected, found = gradient(ours), gradient(theirs)
    if case == "small steps":  # torch scales the gradients of weights and biases in place
        ratio = found.norm() / expected.norm()
        assert ratio > 10
        return
    assert float((found - expected).norm() / expected.norm()) < 2e-6


@pytest.mark.parametrize("case", [case for case in CASES if "pictures" in case])
def test_gradients_are_the_same_where_a_batch_is_taken_in_parts(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = pair(case)
    step(whole)
    monkeypatch.setattr(passes, "CACHED", 1500)
    _, parts = pair(case)
    step(parts)
    assert parts._online.chain.block < BATCH < whole._online.chain.block
    expected, found = gradient(whole), gradient(parts)
    assert float((found - expected).norm() / expected.norm()) < 2e-6


def test_moments_of_what_no_gradient_reaches_fall_to_zero() -> None:
    """Below the smallest normal number, arithmetic is many times slower, and 0.9 rounds to 1."""
    p, m, v = np.ones(3, np.float32), np.full(3, 1e-3, np.float32), np.full(3, 1e-6, np.float32)
    for _ in range(1000):
        adam(p, np.zeros(3, np.float32), m, v, (1.0, 1e-3, 1.0))
    assert not m.any()
    v[:] = 1e-41
    adam(p, np.full(3, 1e-21, np.float32), m, v, (1.0, 1e-3, 1.0))
    assert not v.any()


def test_arrays_of_the_passes_begin_with_a_line_of_the_cache() -> None:
    chain = FusedLearner(settings({}), network(hidden=(24, 33)))._online.chain
    wide = [chain.values, chain.grad, chain.w_q, chain.out, chain.cut, chain.back, chain.packed]
    assert not any(array.ctypes.data % 64 for array in wide)
    assert passes.aligned((3, 5), np.int32).shape == (3, 5)


def test_what_is_read_at_once_lies_within_the_weights() -> None:
    """The way back reads up to 31 numbers behind those of the last layer."""
    chain = FusedLearner(settings({}), network(hidden=(24, 33)))._online.chain
    last = chain.layers[-1]
    assert len(chain.w_q) >= last["synapses"] + last["units"] * last["inputs"] + weighing.WIDE - 1


@pytest.mark.parametrize("case", CASES)
def test_an_update_moves_the_parameters_as_torch_moves_them(case: str) -> None:
    ours, theirs = pair(case)
    before = parameters(ours.net)
    for seed in range(2):
        step(ours, seed)
        step(theirs, seed)
    moved = parameters(ours.net) - before
    # Adam divides by the gradient's size, so a gradient of nearly zero may be rounded to any sign.
    off = (parameters(theirs.net) - before - moved).abs() > 1e-2 * moved.abs().max()
    assert float(off.float().mean()) < 0.01


@pytest.mark.parametrize("case", CASES)
def test_it_freezes_into_the_program_of_the_network(case: str) -> None:
    _, fused = pair(case)
    for seed in range(20):
        step(fused, seed)
        assert fused.freeze().sha256 == convert(fused.net).sha256


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": (24, 33)},
        {"shape": (3,)},
        {"conv": ((16, 3, 2), (18, 2, 1))},
        {"conv": ((16, 3, 1), (17, 2, 2)), "shape": (6, 5, 1)},
        {"readout": "centred", "layout": (3, 6)},
        {"readout": "centred", "layout": (3, 6), "conv": ((16, 3, 2),)},
    ],
    ids=["dense", "three inputs", "pictures", "lines of three", "centred", "centred pictures"],
)
def test_sums_over_bytes_and_over_floats_train_alike(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, with integers of full range."""
    found = []
    for is_fast in (False, True):
        monkeypatch.setattr(weighing, "BYTES_ARE_FAST", is_fast)
        learner = FusedLearner(settings({}), network(**options))
        assert learner._online.chain.layers["over_bytes"].any() == is_fast
        losses = [step(learner, seed) for seed in range(4)]
        found.append((losses, parameters(learner.net)))
    (floats, by_floats), (over_bytes, by_bytes) = found
    assert floats == over_bytes
    assert torch.equal(by_floats, by_bytes)


def test_sums_beyond_float32_are_refused() -> None:
    wide = network(8, 8, shape=(600,))  # 600 * 255 * 127 > 2^24
    assert "float64" in why_not_fused(settings({}), wide)
    with pytest.raises(QuantError, match=r"layer 0 need float64.*train\.learner=torch"):
        FusedLearner(settings({}), wide)


def test_what_is_not_finite_is_not_frozen() -> None:
    fused = FusedLearner(settings({}), network())
    fused.freeze()
    next(fused.net.parameters()).data[0, 0] = torch.nan
    with pytest.raises(DivergedError, match="not finite"):
        fused.freeze()


def test_values_that_no_number_holds_are_not_frozen() -> None:
    """All parameters are finite, and what one readout integer is worth is not."""
    fused = FusedLearner(settings({}), network())
    fused.freeze()
    with torch.no_grad():
        fused.net.layers[-2].log_step.fill_(100.0)
    for freeze in (fused.freeze, lambda: convert(fused.net)):
        with pytest.raises(DivergedError, match="scale of the readout became inf"):
            freeze()


@pytest.mark.parametrize("case", [case for case in CASES if "floats" not in case])
def test_its_forward_pass_is_that_of_the_network(case: str) -> None:
    _, fused = pair(case)
    step(fused)
    fused._online.derive()
    shape = 2 * BATCH, *fused.net.encoding.shape
    x = np.random.default_rng(4).integers(0, 256, shape).astype(np.uint8)
    found = fused._online.forward(x.reshape(len(x), -1))
    expected = fused.net.action_values(torch.from_numpy(x)).detach().numpy()
    if "centred" in case:  # the value of the state is a sum of floats
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * abs(expected).max())
    else:
        np.testing.assert_array_equal(found, expected)


def test_updates_taken_together_are_those_taken_one_by_one() -> None:
    together, alone = (FusedLearner(settings({}), network()) for _ in range(2))
    memory, rngs = replay(), [np.random.default_rng(3) for _ in range(4)]
    parts = [memory.draw(rngs[0], BATCH) for _ in range(3)]
    np.testing.assert_array_equal(memory.draw(rngs[1], 3 * BATCH), np.concatenate(parts))
    info = together.update(memory, rngs[2], 0, count=3)
    assert [alone.update(memory, rngs[3], 0) for _ in range(3)][-1] == info
    assert torch.equal(parameters(together.net), parameters(alone.net))
    assert together.updates == alone.updates == 3


def test_a_batch_of_another_size_is_refused() -> None:
    fused = FusedLearner(settings({}), network())
    before, fused.config = parameters(fused.net), settings({"train.batch_size": 2 * BATCH})
    with pytest.raises(ConfigError, match=f"batch_size is {2 * BATCH}, .* made for {BATCH}"):
        fused.update(replay(), np.random.default_rng(0), 0)
    assert torch.equal(parameters(fused.net), before)


@pytest.mark.parametrize("n_step", [1, 3])
def test_its_batch_is_that_of_the_replay(n_step: int) -> None:
    config = settings({"train.n_step": n_step, "train.reward_scale": 1.0})
    fused, memory = FusedLearner(config, network()), replay()
    slots = memory.draw(np.random.default_rng(7), BATCH)
    put_together(memory.columns, slots, fused._task, fused._bench)
    discount = config.train.discount
    batch = memory.sample(np.random.default_rng(7), BATCH, discount=discount, n_step=n_step)
    assert (batch.discount == 0).any()
    found = fused._bench
    x = np.concatenate([batch.observation, batch.next_observation])
    for ours, theirs in (
        (found.x, x),
        (found.action, batch.action),
        (found.reward, batch.reward),
        (found.discount, batch.discount),
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_the_target_follows_by_its_share() -> None:
    _, fused = pair("default")
    old = parameters(fused.target_net)
    step(fused)
    fused.sync_target(blend=0.25)
    torch.testing.assert_close(
        parameters(fused.target_net), old + 0.25 * (parameters(fused.net) - old)
    )
    fused.sync_target()
    assert torch.equal(parameters(fused.target_net), parameters(fused.net))


@pytest.mark.parametrize("kinds", [(Learner, FusedLearner), (FusedLearner, Learner)])
def test_a_checkpoint_of_one_learner_continues_in_the_other(
    kinds: tuple[type[Learner | FusedLearner], ...],
) -> None:
    first, second = (kind(settings({}), network()) for kind in kinds)
    for seed in range(3):
        step(first, seed)
    second.restore(copy.deepcopy(first.state()))
    assert second.updates == 3
    assert torch.equal(parameters(second.net), parameters(first.net))
    step(first, 9)
    step(second, 9)
    torch.testing.assert_close(parameters(second.net), parameters(first.net), rtol=0, atol=1e-5)


def test_a_fused_run_restored_goes_on_bit_for_bit() -> None:
    first, second = (FusedLearner(settings({}), network()) for _ in range(2))
    step(first)
    second.restore(copy.deepcopy(first.state()))
    step(first, 1)
    step(second, 1)
    assert torch.equal(parameters(first.net), parameters(second.net))


def test_a_state_without_moments_takes_them_back() -> None:
    fresh, used = (FusedLearner(settings({}), network()) for _ in range(2))
    begun = copy.deepcopy(fresh.state())
    step(used)
    used.restore(begun)
    step(fresh, 1)
    step(used, 1)
    assert torch.equal(parameters(fresh.net), parameters(used.net))


@pytest.mark.parametrize("where", ["bias", "log_step"])
def test_a_loss_that_is_not_finite_changes_nothing(where: str) -> None:
    _, fused = pair("default")
    with torch.no_grad():
        getattr(fused.net.layers[0], where).fill_(float("nan"))
    before, rng = parameters(fused.net), np.random.default_rng(0)
    drawn = rng.bit_generator.state
    with pytest.raises(DivergedError, match="no longer finite"):
        fused.update(replay(), rng, 0)
    assert torch.equal(parameters(fused.net).nan_to_num(), before.nan_to_num())
    assert rng.bit_generator.state == drawn
    assert fused.updates == 0


def test_updates_before_one_that_is_not_finite_stand() -> None:
    fused = FusedLearner(settings({"train.learning_rate": 1e38}), network())
    rng, once = np.random.default_rng(0), np.random.default_rng(0)
    with pytest.raises(DivergedError, match="after 1 updates"):
        fused.update(replay(), rng, 0, count=3)
    assert fused.updates == 1
    replay().draw(once, fused.config.train.batch_size)
    assert rng.bit_generator.state == once.bit_generator.state  # as after that one


def test_what_it_cannot_train_is_left_to_torch() -> None:
    config, lattice = settings({}), network(profile="akida1")
    assert "akida1" in why_not_fused(config, lattice)
    assert isinstance(make_learner(config, lattice), Learner)
    assert "certify" in why_not_fused(settings({"train.certify_noise": 0.1}), network())
    with pytest.raises(ConfigError, match="akida1"):
        make_learner(settings({"train.learner": "fused"}), lattice)


@pytest.mark.parametrize("conv", [(), CONV])
def test_a_network_is_fused_unless_torch_is_asked_for(conv: Any) -> None:
    assert isinstance(make_learner(settings({}), network(conv=conv)), FusedLearner)
    assert isinstance(make_learner(settings({"train.learner": "torch"}), network()), Learner)
