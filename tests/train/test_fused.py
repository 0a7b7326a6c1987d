"""The fused learner: the same integers, the same gradients, the same checkpoints."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from rivc.errors import ConfigError, DivergedError, QuantError
from rivc.nets import build_network
from rivc.quant import int8
from rivc.quant.products import multiply, multiply_rows, transpose
from rivc.snn_convert import convert
from rivc.train import load_config
from rivc.train.fused import FusedLearner
from rivc.train.fused.updates import put_together
from rivc.train.learner import Learner
from rivc.train.learners import make_learner, why_not_fused
from rivc.train.replay import Replay

if TYPE_CHECKING:
    from rivc.nets import QNetwork
    from rivc.train import Config

INPUTS, LAYOUT, BATCH = 7, (3, 4), 32
PICTURE, CONV = (9, 7, 2), ((5, 3, 2), (6, 2, 1))
HARD = {"train.inverse_temperature": float("inf")}
CASES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "default": ({}, (4, 4)),
    "single": ({"train.double_q": False}, (4, 4)),
    "dqn": ({**HARD, "train.gap_coef": 0.0}, (2, 2)),
    "advantage": (HARD, (8, 8)),
    "unclipped": ({"train.gap_clip": float("-inf")}, (3, 2)),
    "no margin": ({"train.margin_coef": 0.0}, (1, 1)),
    "wide margin": ({"train.margin": 1e4, "train.n_step": 3}, (4, 1)),
    "floats": ({"quant.enabled": False}, (4, 4)),
    "centred": ({"net.readout": "centred"}, (4, 4)),
    "centred, hard": ({**HARD, "net.readout": "centred", "train.double_q": False}, (2, 2)),
    "centred floats": ({"net.readout": "centred", "quant.enabled": False}, (4, 4)),
    "centred pictures": ({"net.readout": "centred", "net.conv": CONV}, (4, 4)),
    "small steps": ({"train.max_grad_norm": 1e-3}, (5, 6)),
    "pictures": ({"net.conv": CONV}, (4, 4)),
    "pictures in floats": ({"net.conv": CONV, "quant.enabled": False}, (4, 4)),
    "pictures of few bits": ({"net.conv": CONV, "train.margin": 16.5}, (2, 1)),  # off the kink
}


def network(weight_bits: int = 4, activation_bits: int = 4, **options: Any) -> QNetwork:
    conv = options.pop("conv", ())
    net = build_network(
        "conv" if conv else "mlp",
        input_shape=options.pop("shape", PICTURE if conv else (INPUTS,)),
        conv=conv,
        action_layout=options.pop("layout", LAYOUT),
        hidden=options.pop("hidden", (24, 16)),
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        seed=1,
        **options,
    )
    with torch.no_grad():  # a readout that starts near zero has few gradients to compare
        net.layers[-1].weight.mul_(60)
        for layer, _ in net.chain():
            layer.bias.normal_(0, 0.1, generator=torch.Generator().manual_seed(2))
    return net


def replay(shape: tuple[int, ...] = (INPUTS,)) -> Replay:
    rng = np.random.default_rng(3)
    memory = Replay(256, shape, np.uint8, LAYOUT[0])
    slots = memory.open(rng.integers(0, 256, (256, *shape)))
    action = rng.integers(0, LAYOUT[1], (255, LAYOUT[0]))
    memory.close(slots[:-1], action, rng.normal(size=255) * 9, rng.random(255) < 0.1, slots[1:])
    return memory


def settings(overrides: dict[str, Any]) -> Config:
    return load_config("quickstart", {"train.batch_size": BATCH, **overrides})


def pair(case: str) -> tuple[Learner, FusedLearner]:
    overrides, widths = CASES[case]
    config = settings(overrides)
    net = network(*widths, conv=config.net.conv, readout=config.net.readout)
    net.quantized = config.quant.enabled
    return Learner(config, net), FusedLearner(config, copy.deepcopy(net))


def step(learner: Learner | FusedLearner, seed: int = 0) -> tuple[float, float]:
    info = learner.update(
        replay(learner.net.encoding.shape), np.random.default_rng(seed), env_steps=seed * 100
    )
    return info.td_loss, info.margin_loss


def gradient(learner: Learner | FusedLearner) -> torch.Tensor:
    """Every gradient of the last update, before it was clipped where that shows."""
    if isinstance(learner, Learner):
        grads = [
            torch.zeros_like(p) if p.grad is None else p.grad for p in learner.net.parameters()
        ]
        return torch.cat([grad.flatten() for grad in grads])
    vector = learner._online.vector
    parts = [torch.from_numpy(vector.view(vector.grad, p)) for p in learner.net.parameters()]
    return torch.cat([part.flatten() for part in parts])


def parameters(net: QNetwork) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


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
        monkeypatch.setattr(int8, "IS_FAST", is_fast)
        learner = FusedLearner(settings({}), network(**options))
        assert learner._online.chain.layers["is_packed"].any() == is_fast
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


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (8, 4, 33), (6, 9, 17), (13, 18, 64)])
def test_products_are_those_of_numpy(shape: tuple[int, int, int]) -> None:
    rows, depth, width = shape
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (rows, depth)).astype(np.float32)
    w = rng.integers(-7, 8, (depth, width)).astype(np.float32)
    out, turned = np.full((rows, width), np.nan, np.float32), np.empty((width, depth), np.float32)
    multiply(x, w, out)
    np.testing.assert_array_equal(out, x @ w)
    transpose(w, turned)
    np.testing.assert_array_equal(turned, w.T)
    multiply_rows(x, turned, out)
    np.testing.assert_array_equal(out, x @ w)


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
    rng = np.random.default_rng(0)
    drawn = rng.bit_generator.state
    with pytest.raises(DivergedError, match="after 1 updates"):
        fused.update(replay(), rng, 0, count=3)
    assert fused.updates == 1
    assert rng.bit_generator.state == drawn


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


def test_values_of_the_target_are_those_of_the_present_one() -> None:
    """What is remembered of a batch is used until the target moves, and equals a fresh pass."""
    learner, memory = FusedLearner(settings({}), network(conv=CONV)), replay(PICTURE)
    for seed in range(6):
        learner.update(memory, np.random.default_rng(seed), 0)
        if seed == 3:
            learner.sync_target()
        x = learner._bench.x.astype(np.uint8).reshape(-1, *PICTURE)
        if seed != 3:
            fresh = learner.target_net(torch.from_numpy(x)).numpy()
            np.testing.assert_array_equal(learner._memory[1].q, fresh)
    assert (learner._memory[1].owner >= 0).any()


def follow(learner: FusedLearner, memory: Replay, seed: int) -> None:
    """Update, and compare the target's values with a fresh pass."""
    learner.update(memory, np.random.default_rng(seed), 0)
    x = torch.from_numpy(learner._bench.x.astype(np.uint8))
    np.testing.assert_array_equal(learner._memory[1].q, learner.target_net(x).numpy())


def test_slots_that_are_overwritten_have_other_values() -> None:
    learner, memory = FusedLearner(settings({}), network()), replay()
    for seed in range(4):
        follow(learner, memory, seed)
    rng = np.random.default_rng(5)
    slots = memory.open(rng.integers(0, 256, (128, INPUTS)))
    action = rng.integers(0, LAYOUT[1], (127, LAYOUT[0]))
    memory.close(slots[:-1], action, rng.normal(size=127), rng.random(127) < 0.1, slots[1:])
    for seed in range(4):
        follow(learner, memory, seed)
    assert (learner._memory[1].owner >= memory.capacity).any()


def test_values_at_hand_are_used() -> None:
    learner, memory = FusedLearner(settings({}), network()), replay()
    follow(learner, memory, 0)
    kept = learner._memory[1]
    kept.values[kept.owner >= 0] = 7.0
    learner.update(memory, np.random.default_rng(0), 0)
    assert (kept.q == 7.0).all()
    learner.sync_target()
    learner.update(memory, np.random.default_rng(0), 0)
    assert not (kept.q == 7.0).any()


def test_a_replay_put_back_in_place_has_other_values() -> None:
    learner, memory = FusedLearner(settings({}), network()), replay()
    follow(learner, memory, 0)
    rows = memory.rows(0, 256)
    rows["observation"] = 255 - rows["observation"]
    learner.restore(copy.deepcopy(learner.state()))
    memory.restore(0, rows)
    follow(learner, memory, 0)


def test_another_replay_has_values_of_its_own() -> None:
    learner, (first, second) = FusedLearner(settings({}), network()), (replay(), replay())
    second.columns.observation[:] = 255 - second.columns.observation
    for memory in (first, second):
        learner.update(memory, np.random.default_rng(0), 0)
    x = torch.from_numpy(learner._bench.x.astype(np.uint8))
    np.testing.assert_array_equal(learner._memory[1].q, learner.target_net(x).numpy())
