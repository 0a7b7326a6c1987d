"""Activation steps from data."""

from __future__ import annotations

import pytest
import torch

from rivc.nets import QNetwork, build_network
from rivc.nets.calibrate import best_step, calibrate
from rivc.quant.qat import staircase
from rivc.quant.qat.staircase import squared_errors


def network(kind: str) -> QNetwork:
    if kind == "mlp":
        return build_network("mlp", input_shape=(8,), action_layout=(1, 4), hidden=(32, 32))
    return build_network(
        "conv", input_shape=(9, 7, 2), action_layout=(1, 4), conv=((4, 3, 2),), hidden=(32,)
    )


def counts(net: QNetwork) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (200, *net.encoding.shape), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_only_the_steps_change_and_the_same_states_give_the_same_steps(kind: str) -> None:
    one, other = network(kind), network(kind)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    calibrate(one, counts(one))
    calibrate(other, counts(other))
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
        assert torch.equal(value, before[name]) == (not name.endswith("log_step") or "in" in name)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_calibrated_steps_bring_the_integers_near_the_real_network(
    kind: str, factor: float
) -> None:
    net = network(kind)
    x = counts(net)
    net.quantized = False
    real = net(x).detach()
    net.quantized = True
    with torch.no_grad():
        for layer, _ in net.chain():
            if layer.log_step is not None:
                layer.log_step.add_(torch.tensor(factor).log())
    far = float((net(x).detach() - real).square().mean())
    calibrate(net, x)
    near = float((net(x).detach() - real).square().mean())
    assert near < 0.2 * far
    assert near < 0.2 * float(real.var())


def test_the_first_layer_is_fitted_around_the_middle_of_the_input() -> None:
    """Inputs at the middle of their range drive nothing but the bias."""
    net = network("mlp")
    (first, _), *_ = net.chain()
    assert first.log_step is not None
    with torch.no_grad():
        first.bias.fill_(0.01)
    middle = torch.randint(127, 129, (200, 8), generator=torch.Generator().manual_seed(0))
    calibrate(net, middle.to(torch.uint8))
    assert float(first.log_step.detach().exp()) * first.spec.levels < 0.1


def test_the_best_step_loses_no_more_than_its_neighbours() -> None:
    h = torch.randn(5000, generator=torch.Generator().manual_seed(0)).clamp_min(0)

    def lost(step: torch.Tensor) -> float:
        count = torch.floor(h / step + 0.5).clamp(0, 15)
        return float((count * step - h).square().mean())

    step = best_step(h, 15)
    assert lost(step) <= min(lost(step * 0.9), lost(step * 1.1))


def test_silence_gives_a_usable_step() -> None:
    step = best_step(torch.zeros(10), 15)
    assert 0 < float(step) < float("inf")


def test_errors_of_steps_are_the_same_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    h = torch.randn(5000, generator=torch.Generator().manual_seed(0)).clamp_min(0)
    steps = torch.linspace(0.01, 0.5, 7)
    found = squared_errors(h, steps, 15)
    monkeypatch.setattr(staircase, "why_not", lambda: "told so")
    torch.testing.assert_close(found, squared_errors(h, steps, 15), rtol=1e-6, atol=0)
    counts = torch.floor(h.double() / steps[3].double() + 0.5).clamp_max(15)
    exact = (counts * steps[3].double() - h.double()).square().mean()
    torch.testing.assert_close(found[3], exact, rtol=1e-5, atol=0)
