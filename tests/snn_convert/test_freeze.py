"""The heart of the matter: network, definition, emulator and real spikes are one function."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import DivergedError
from rivc.nets import QNetwork, build_network
from rivc.neurochip import load_backend
from rivc.quant import load_profile
from rivc.snn_convert import SpikingProgram, convert, reference
from tests.programs import random_counts
from tests.strategies import network_arguments, seeds

PROFILES = ["ideal", "akida1", "akida2"]
WIDTHS = [("ideal", bits, bits) for bits in (1, 2, 3, 4, 8)] + [
    (name, *both)
    for name in ("akida1", "akida2")
    for both in product(load_profile(name).weight_bits, load_profile(name).activation_bits)
]


def network(kind: str, profile: str, weight_bits: int, activation_bits: int) -> QNetwork:
    shapes: dict[str, dict[str, Any]] = {
        "mlp": {"input_shape": (8,), "hidden": (48, 32)},
        "conv": {"input_shape": (10, 8, 2), "conv": ((6, 3, 2), (8, 3, 1)), "hidden": (24,)},
    }
    return build_network(
        kind,
        action_layout=(2, 3),
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        profile=profile,
        seed=weight_bits,
        **shapes[kind],
    )


def train(net: QNetwork, updates: int = 5) -> None:
    """Move every parameter, steps included, well away from where it started."""
    generator = torch.Generator().manual_seed(0)
    top = net.encoding.levels + 1
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    for _ in range(updates):
        x = torch.randint(0, top, (32, *net.encoding.shape), generator=generator, dtype=torch.uint8)
        target = torch.randn(32, *net.action_layout, generator=generator)
        loss = (net(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def assert_one_function(net: QNetwork, counts: np.ndarray, chips: tuple[str, ...]) -> None:
    program = convert(net)
    expected = reference.run(program, counts)
    np.testing.assert_array_equal(net.readout(torch.from_numpy(counts)).numpy(), expected)
    for name in chips:
        chip = load_backend(name)
        chip.load(program)
        np.testing.assert_array_equal(chip.infer(counts).readout, expected, err_msg=name)


CHIPS = ("emulator", "snntorch")


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize(("profile", "weight_bits", "activation_bits"), WIDTHS)
def test_all_forms_agree_before_and_after_training(
    kind: str, profile: str, weight_bits: int, activation_bits: int, rng: np.random.Generator
) -> None:
    net = network(kind, profile, weight_bits, activation_bits)
    assert_one_function(net, random_counts(convert(net), rng, 60), CHIPS)
    train(net)
    assert_one_function(net, random_counts(convert(net), rng, 200), CHIPS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize(("profile", "weight_bits", "activation_bits"), WIDTHS)
def test_all_forms_agree_on_ten_thousand_inputs(
    kind: str, profile: str, weight_bits: int, activation_bits: int, rng: np.random.Generator
) -> None:
    net = network(kind, profile, weight_bits, activation_bits)
    for _ in range(2):
        program = convert(net)
        for _ in range(10):
            assert_one_function(net, random_counts(program, rng, 1000), CHIPS)
        train(net)


@settings(max_examples=30)
@given(st.sampled_from(PROFILES).flatmap(network_arguments), seeds)
def test_all_forms_agree_on_any_network(arguments: dict[str, Any], seed: int) -> None:
    net = build_network(**arguments)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            noise = torch.from_numpy(rng.standard_normal(parameter.shape))
            parameter.add_(noise, alpha=float(rng.choice([0.1, 1.0, 10.0])))
    assert_one_function(net, random_counts(convert(net), rng, 4), CHIPS)


EXTREMES = [(0.0, 0.0), (0.0, -40.0), (0.0, 40.0), (-1e30, -40.0), (1e30, -40.0), (1e30, 40.0)]


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize(
    ("profile", "weight_bits", "activation_bits"),
    [("ideal", 1, 1), ("ideal", 4, 4), ("ideal", 8, 8), ("akida1", 4, 4), ("akida2", 8, 8)],
)
def test_all_forms_agree_at_the_worst_the_arithmetic_allows(
    kind: str, sign: float, profile: str, weight_bits: int, activation_bits: int
) -> None:
    """Every weight at an end of its grid, every input full, biases and thresholds clamped."""
    net = network(kind, profile, weight_bits, activation_bits)
    counts = np.full((2, *net.encoding.shape), net.encoding.levels, np.uint8)
    counts[0] = 0
    for bias, log_step in EXTREMES:
        with torch.no_grad():
            for layer, _ in net.chain():
                layer.weight.fill_(sign)
                layer.bias.fill_(bias)
                if layer.log_step is not None:
                    layer.log_step.fill_(log_step)
        for (layer, _), q in zip(net.chain(), net.integers(), strict=True):
            reach = layer.spec.grid.q_max
            scaled = profile == "akida2" and not layer.spec.is_readout
            assert (sign * q.weight >= (reach / 2**0.5 - 1 if scaled else reach)).all()
        assert_one_function(net, counts, CHIPS)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_batch_of_one_equals_a_batch_of_a_thousand(
    kind: str, bits: int, rng: np.random.Generator
) -> None:
    net = network(kind, "ideal", bits, bits)
    train(net)
    counts = random_counts(convert(net), rng, 1000)
    x = torch.from_numpy(counts)
    whole, chip = net.readout(x), load_backend("emulator")
    chip.load(convert(net))
    by_chip = chip.infer(counts).readout
    for b in range(0, 1000, 37):
        assert torch.equal(net.readout(x[b : b + 1])[0], whole[b])
        np.testing.assert_array_equal(chip.infer(counts[b : b + 1]).readout[0], by_chip[b])


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_no_integer(threads: int, rng: np.random.Generator) -> None:
    net = network("conv", "ideal", 8, 8)
    counts = random_counts(convert(net), rng, 40)
    torch.set_num_threads(threads)
    try:
        assert_one_function(net, counts, ())
    finally:
        torch.set_num_threads(1)


def test_action_values_equal_the_program_s(rng: np.random.Generator) -> None:
    net = network("mlp", "ideal", 4, 4)
    program = convert(net)
    counts = random_counts(program, rng, 50)
    values = program.q_values(reference.run(program, counts))
    by_net = net(torch.from_numpy(counts)).detach().numpy()
    np.testing.assert_allclose(values, by_net, rtol=1e-6)


def test_the_same_network_gives_the_same_program() -> None:
    assert convert(network("conv", "ideal", 4, 4)) == convert(network("conv", "ideal", 4, 4))


def test_a_program_keeps_its_integers_when_the_network_trains_on(rng: np.random.Generator) -> None:
    net = network("mlp", "ideal", 4, 4)
    program = convert(net)
    counts = random_counts(program, rng, 10)
    before, sha256 = reference.run(program, counts), program.sha256
    train(net)
    np.testing.assert_array_equal(reference.run(program, counts), before)
    assert SpikingProgram.__eq__(program, program)
    assert convert(net).sha256 != sha256


def test_an_image_without_convolutions_is_flattened_first(rng: np.random.Generator) -> None:
    for hidden in ((), (5,)):
        net = build_network("conv", input_shape=(3, 4, 2), action_layout=(1, 3), hidden=hidden)
        assert convert(net).layers[0].kind == "flatten"
        assert_one_function(net, random_counts(convert(net), rng, 20), CHIPS)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["layers.0.weight", "layers.1.bias", "layers.0.log_step"])
def test_a_network_that_diverged_is_not_converted(name: str, value: float) -> None:
    net = network("mlp", "ideal", 4, 4)
    with torch.no_grad():
        net.get_parameter(name).view(-1)[0] = value
    with pytest.raises(DivergedError, match=name):
        convert(net)


def test_a_step_that_vanished_is_no_integer() -> None:
    net = network("mlp", "ideal", 4, 4)
    with torch.no_grad():
        net.get_parameter("layers.0.log_step").fill_(-800.0)  # finite, but its exponential is 0
    with pytest.raises(DivergedError, match="thresholds of layer 0"):
        convert(net)


def test_integers_that_are_at_hand_give_the_same_program() -> None:
    """Also those of a training step, which carry gradients."""
    net = network("conv", "ideal", 4, 4)
    assert convert(net, net.integers()) == convert(net)
