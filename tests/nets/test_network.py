"""The network as a whole: its values are its integers, and its gradients reach everything."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rivc.errors import QuantError
from rivc.nets import QNetwork, build_network
from rivc.nets.calibrate import calibrate

MLP: dict[str, Any] = {"kind": "mlp", "input_shape": (8,), "action_layout": (2, 3)}
CONV: dict[str, Any] = {"kind": "conv", "input_shape": (9, 7, 2), "action_layout": (1, 4)}


@pytest.fixture(params=["mlp", "conv"])
def net(request: pytest.FixtureRequest) -> QNetwork:
    if request.param == "mlp":
        return build_network(**MLP, hidden=(16, 16), seed=1)
    return build_network(**CONV, conv=((4, 3, 2), (4, 3, 1)), hidden=(16,), seed=1)


def counts(net: QNetwork, batch: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, *net.encoding.shape)
    top = net.encoding.levels + 1
    return torch.randint(0, top, shape, generator=generator, dtype=torch.uint8)


def test_action_values_are_the_readout_times_its_scale(net: QNetwork) -> None:
    x = counts(net)
    expected = net.readout(x).float() * net.readout_scale()
    torch.testing.assert_close(net(x), expected, rtol=1e-6, atol=0)
    assert torch.equal(net(x).argmax(-1), net.readout(x).argmax(-1))


def test_autocast_changes_no_integer(net: QNetwork) -> None:
    x = counts(net)
    expected = net.readout(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(net.readout(x), expected)
        assert net(x).dtype == torch.float32


def test_integers_that_are_handed_in_are_used(net: QNetwork) -> None:
    x, integers = counts(net), net.integers()
    before = net(x)
    with torch.no_grad():
        net.weights_and_biases()[0].neg_()
    assert torch.equal(net(x, integers), before)
    assert not torch.equal(net(x), before)


def test_gradients_reach_every_parameter(net: QNetwork) -> None:
    net(counts(net)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_training_on_the_integers_lowers_the_loss(net: QNetwork) -> None:
    x = counts(net)
    target = torch.randn(32, *net.action_layout, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        loss = (net(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_the_real_network_is_near_the_integer_one_at_eight_bits() -> None:
    """With borders: a convolution that padded differently would be far off."""
    net = build_network(
        **CONV, conv=((6, 3, 1),), hidden=(16,), weight_bits=8, activation_bits=8, seed=2
    )
    with torch.no_grad():
        for layer, _ in net.chain():
            layer.weight.normal_(0, 0.2, generator=torch.Generator().manual_seed(3))
    x = counts(net, 64)
    calibrate(net, x)
    integer = net(x)
    net.quantized = False
    real = net(x)
    assert float((integer - real).detach().abs().mean()) < 0.05 * float(real.detach().std())


@pytest.mark.parametrize("kind", [MLP, CONV], ids=["mlp", "conv"])
def test_a_network_without_hidden_layers_is_linear_in_centred_counts(kind: dict[str, Any]) -> None:
    net = build_network(**kind, seed=2)
    x = counts(net, 64)
    integer = net(x)
    net.quantized = False
    real = net(x)
    assert float((integer - real).detach().abs().max()) < 0.05 * float(real.detach().std())


def test_float_training_is_differentiable_too(net: QNetwork) -> None:
    net.quantized = False
    net(counts(net)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.weights_and_biases())


def test_a_saved_state_gives_the_same_integers(net: QNetwork) -> None:
    other = build_network(
        **(MLP if len(net.encoding.shape) == 1 else CONV),
        hidden=(16, 16) if len(net.encoding.shape) == 1 else (16,),
        conv=() if len(net.encoding.shape) == 1 else ((4, 3, 2), (4, 3, 1)),
        seed=99,
    )
    other.load_state_dict(net.state_dict())
    x = counts(net)
    assert torch.equal(other.readout(x), net.readout(x))


def test_weights_and_biases_leave_out_the_steps(net: QNetwork) -> None:
    trained = {id(parameter) for parameter in net.weights_and_biases()}
    steps = {id(layer.log_step) for layer, _ in net.chain() if layer.log_step is not None}
    assert {id(parameter) for parameter in net.parameters()} == trained | steps
    assert not trained & steps


def centred(common: float, readout: str = "centred") -> QNetwork:
    """Two groups of three actions, whose outputs have some weights and a bias in common.

    All are multiples of 2^-10, so that sums and their thirds' differences are exact.
    """
    net = build_network(**MLP, hidden=(16,), readout=readout, seed=1)
    layer, generator = net.layers[-1], torch.Generator().manual_seed(2)
    with torch.no_grad():
        whole = torch.randint(-3, 4, layer.weight.shape, generator=generator) * 3
        shared = torch.randint(-9, 10, (2, 1, 16), generator=generator).expand(2, 3, 16)
        layer.weight.copy_((whole + common * shared.flatten(0, 1)) / 1024)
        layer.bias.copy_(torch.tensor([3.0, 0, -6, 9, 3, 0]) / 1024 + common / 16)
    return net


def test_a_centred_readout_holds_nothing_that_a_group_has_in_common() -> None:
    alone, shifted = centred(0.0), centred(16.0)
    x = counts(alone)
    assert torch.equal(alone.readout(x), shifted.readout(x))
    assert alone.readout(x).any()
    assert not torch.equal(centred(0.0, "plain").readout(x), centred(16.0, "plain").readout(x))
    lead = alone.action_values(x) - alone(x)
    torch.testing.assert_close(lead, lead[..., :1].expand_as(lead))
    moved = (shifted.action_values(x) - alone.action_values(x)).detach()
    assert float(moved.abs().mean()) > 0.1


@pytest.mark.parametrize("hidden", [(), (16,)])
def test_real_action_values_are_near_those_of_a_centred_readout(hidden: tuple[int, ...]) -> None:
    net = build_network(
        **MLP, hidden=hidden, readout="centred", weight_bits=8, activation_bits=8, seed=2
    )
    with torch.no_grad():
        net.layers[-1].weight.mul_(60)
        net.layers[-1].bias.copy_(torch.arange(6) / 3)
    x = counts(net, 64)
    calibrate(net, x)
    found, leads = net.action_values(x), net(x)
    net.quantized = False
    torch.testing.assert_close(found, net.action_values(x), rtol=0, atol=0.05)
    torch.testing.assert_close(leads, net(x), rtol=0, atol=0.05)
    torch.testing.assert_close(net(x).sum(-1), torch.zeros(64, 2), rtol=0, atol=1e-5)


def test_a_centred_readout_spends_its_range_on_what_decides() -> None:
    """Where states differ more than actions, two bits of weight are too few for both."""
    agreement = {}
    for readout in ("plain", "centred"):
        net = build_network(
            **MLP, hidden=(16,), weight_bits=2, profile="akida1", readout=readout, seed=3
        )
        with torch.no_grad():
            weight = net.layers[-1].weight
            weight.mul_(20).add_(torch.randn(16, generator=torch.Generator().manual_seed(4)))
        x = counts(net, 512)
        calibrate(net, x)
        emitted = net.watch(x, net.integers(), 0)[1].float()
        wanted = (emitted @ weight.T).view(-1, 2, 3).argmax(-1)
        agreement[readout] = float((net.readout(x).argmax(-1) == wanted).float().mean())
    assert agreement["centred"] > 0.9
    assert agreement["plain"] < 0.8


def test_gradients_of_a_centred_readout_are_those_of_a_plain_one() -> None:
    """Taking out and adding again cancel; what is received feels both parts."""
    net = centred(1.0)
    x, upstream = counts(net), torch.randn(32, 2, 3, generator=torch.Generator().manual_seed(5))
    [emitted, _] = net._outputs(x, net.integers())
    net.action_values(x).backward(upstream)
    step = net.layers[0].log_step.detach().exp()
    expected = upstream.flatten(1).T @ (emitted.detach() * step)
    torch.testing.assert_close(net.layers[-1].weight.grad, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.layers[-1].bias.grad, upstream.flatten(1).sum(0))
    net.layers[0].weight.grad = None
    with_value = net.layers[0].bias.grad.clone()
    net.layers[0].bias.grad = None
    net(x).backward(upstream)
    assert not torch.allclose(net.layers[0].bias.grad, with_value, rtol=0.1)


def test_a_count_that_the_input_does_not_hold_is_an_error() -> None:
    net = build_network(
        "mlp", input_shape=(3,), action_layout=(1, 2), hidden=(4,), profile="akida1"
    )
    net.readout(torch.full((1, 3), 15, dtype=torch.uint8))
    with pytest.raises(QuantError, match=r"a count of 16 where the input holds 0\.\.15"):
        net.readout(torch.full((1, 3), 16, dtype=torch.uint8))
