"""The halves of a network, learning apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rivc.codec import GradientCodec, GroupPlan, GroupQuantizer
from rivc.errors import DivergedError, QuantError
from rivc.nets import build_network
from rivc.snn_convert import convert, reference
from rivc.split.halves import cut
from rivc.train.policy import Policy
from rivc.train.tail import EdgeLearner, Halves, LessonPlan, Tutor, as_planes

PLAN = LessonPlan(
    lessons=64, batch_size=16, learning_rate=1e-2, updates_per_lesson=4.0, huber_delta=1.0
)


def conv_policy() -> Policy:
    net = build_network(
        "conv",
        input_shape=(12, 12, 2),
        action_layout=(1, 3),
        conv=((4, 3, 2), (6, 3, 2)),
        hidden=(8,),
        seed=3,
    )
    with torch.no_grad():
        net.layers[-1].weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    return Policy("best", net.requires_grad_(False), convert(net))


def dense_policy() -> Policy:
    net = build_network("mlp", input_shape=(5,), action_layout=(2, 3), hidden=(9, 7), seed=3)
    return Policy("best", net.requires_grad_(False), convert(net))


POLICY = conv_policy()
CASES = [(POLICY, 1), (POLICY, 2), (POLICY, 4), (dense_policy(), 1), (dense_policy(), 2)]


def some_inputs(policy: Policy, count: int = 20) -> np.ndarray:
    shape = policy.program.encoding.shape
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.mark.parametrize(("policy", "layer"), CASES)
def test_halves_that_learnt_nothing_freeze_to_the_cut_program(policy: Policy, layer: int) -> None:
    halves, split = Halves(policy, layer), cut(policy.program, layer)
    assert halves.frozen().edge.sha256 == split.edge.sha256
    assert halves.frozen().server.sha256 == split.server.sha256
    assert convert(halves.tail).sha256 == split.server.sha256


@pytest.mark.parametrize(("policy", "layer"), CASES)
def test_the_edge_emits_the_counts_of_its_program(policy: Policy, layer: int) -> None:
    halves, split, x = Halves(policy, layer), cut(policy.program, layer), some_inputs(policy)
    counts = split.counts(reference.run(split.edge, x))
    assert np.array_equal(halves.emitted(x, halves.edge.integers()), counts)
    readout = halves.tail.readout(torch.from_numpy(counts)).numpy()
    assert np.array_equal(readout, reference.run(policy.program, x))


def taught(bits: int = 0) -> tuple[Halves, float, float]:
    """Teach lessons on features that lost much; also what the tail erred by before and after."""
    halves, x = Halves(POLICY, 2), some_inputs(POLICY, 64)
    right = reference.run(POLICY.program, x)
    counts = halves.emitted(x, halves.edge.integers())
    groups = GroupQuantizer.fit(channels_first(counts), GroupPlan(2, 1, 3), 4)
    codec = GradientCodec(groups, bits) if bits else None
    down = (groups, codec) if codec else None
    tutor = Tutor(halves.tail, POLICY.program.readout_scale, PLAN, down)
    edge = EdgeLearner(halves, groups, PLAN) if codec else None

    def seen(inputs: np.ndarray) -> np.ndarray:
        counts = halves.emitted(inputs, halves.edge.integers())
        planes = groups.restore(groups.reduce(channels_first(counts)))
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))

    def error() -> float:
        off = (tutor.infer(seen(x)) * halves.tail.readout_scale().item()) - right * scale
        return float(np.abs(off).mean())

    scale = POLICY.program.readout_scale
    before = error()
    for sequence, (one, wanted) in enumerate(zip(x, right, strict=True)):
        packet = tutor.learn(seen(one[None])[0], wanted.astype("<i4").tobytes(), sequence)
        if codec and edge:
            edge.take(one, codec.decode(packet)[1])
    assert tutor.lessons == 64
    assert tutor.updates == 256
    return halves, before, error()


def channels_first(counts: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(counts.transpose(0, 3, 1, 2))


def test_a_tail_learns_and_its_edge_stays_as_it_was() -> None:
    halves, before, after = taught()
    assert after < 0.75 * before
    frozen, split = halves.frozen(), cut(POLICY.program, 2)
    assert frozen.edge.sha256 == split.edge.sha256
    assert frozen.server.sha256 != split.server.sha256


def test_an_edge_learns_from_gradients_but_for_the_value_of_its_counts() -> None:
    halves, _, _ = taught(bits=4)
    frozen, split = halves.frozen(), cut(POLICY.program, 2)
    assert frozen.edge.sha256 != split.edge.sha256
    assert torch.equal(halves.edge.layers[1].log_step, POLICY.net.layers[1].log_step)
    x = some_inputs(POLICY)
    counts = frozen.counts(reference.run(frozen.edge, x))
    assert np.array_equal(halves.emitted(x, halves.edge.integers()), counts)
    readout = halves.tail.readout(torch.from_numpy(counts)).numpy()
    assert np.array_equal(readout, reference.run(frozen.server, counts))


def test_the_gradient_that_comes_down_is_that_of_the_loss() -> None:
    """With one group a channel, gains alike and many bits, the edge gets what autograd would."""
    halves, x = Halves(POLICY, 2), some_inputs(POLICY, 1)
    channels, height, width = 6, 3, 3
    groups = GroupQuantizer(
        (channels, height, width),
        4,
        4,
        np.arange(channels, dtype=np.int32),
        np.ones(channels, np.int32),
        np.ones((channels, height), np.int64),
    )
    codec = GradientCodec(groups, 8)
    tutor = Tutor(halves.tail, 0.01, PLAN, (groups, codec))
    counts = halves.emitted(x, halves.edge.integers())
    wanted = np.array([[5, -40, 70]], "<i4")
    packets = [tutor._gradient(counts[0], wanted * np.float32(0.01), 0) for _ in range(200)]
    down = np.mean([groups.spread(codec.decode(one)[1]) for one in packets], axis=0)
    real = torch.from_numpy(counts).float().requires_grad_()
    right = torch.from_numpy(wanted[None] * np.float32(0.01))
    [gradient] = torch.autograd.grad(tutor._loss(real, right), real)
    exact = as_planes(gradient[0].numpy())
    assert np.abs(exact).max() > 0
    assert np.abs(down - exact).max() < np.abs(exact).max() / 127


@pytest.mark.parametrize("factor", [np.nan, np.inf])
@pytest.mark.parametrize("bits", [0, 4])
def test_a_tail_that_diverges_says_so_before_it_takes_the_step(bits: int, factor: float) -> None:
    halves, x = Halves(POLICY, 2), some_inputs(POLICY, 1)
    counts = halves.emitted(x, halves.edge.integers())
    groups = GroupQuantizer.fit(channels_first(counts), GroupPlan(2, 1, 3), 4)
    down = (groups, GradientCodec(groups, bits)) if bits else None
    tutor = Tutor(halves.tail, POLICY.program.readout_scale, PLAN, down)
    loss, before = tutor._loss, [p.clone() for p in halves.tail.parameters()]
    tutor._loss = lambda *given: factor * loss(*given)  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match="after 0 updates"):
        tutor.learn(counts[0], np.array([[5, -40, 70]], "<i4").tobytes(), 0)
    assert all(map(torch.equal, before, halves.tail.parameters()))


def test_a_lesson_of_another_size_is_refused() -> None:
    tutor = Tutor(Halves(POLICY, 2).tail, 1.0, PLAN)
    with pytest.raises(QuantError, match="lesson"):
        tutor.learn(np.zeros((3, 3, 6), np.uint8), b"1234", 0)
