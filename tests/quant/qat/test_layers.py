"""Integers forward, and gradients that are those of the layer without its rounding."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)

from rivc.quant import ArithmeticProfile, load_profile
from rivc.quant.qat import (
    LayerIntegers,
    LayerSpec,
    QuantConv2d,
    QuantDense,
    QuantLayer,
    staircase,
)
from rivc.quant.qat.staircase import per_channel

IDEAL = load_profile("ideal")
KINDS = ["dense", "conv2d"]
FORMS = [("dense", 0), *[(kind, levels) for kind in KINDS for levels in (1, 15, 255)]]


class Case(NamedTuple):
    """A layer, what it receives and how much each output matters."""

    layer: QuantLayer
    x: torch.Tensor
    log_step_in: torch.Tensor
    weigh: torch.Tensor

    @property
    def leaves(self) -> list[torch.Tensor]:
        """Everything that gets a gradient; only hidden layers train the step they receive."""
        leaves = [self.x, self.layer.weight, self.layer.bias]
        leaves += [] if self.layer.log_step is None else [self.layer.log_step]
        return leaves + ([] if self.layer.spec.zero_in else [self.log_step_in])


def make(
    kind: str,
    *,
    bits: int = 4,
    levels: int = 15,
    zero_in: float = 0.0,
    profile: ArithmeticProfile = IDEAL,
    seed: int = 0,
) -> Case:
    generator = torch.Generator().manual_seed(seed)
    levels_in = 15
    if kind == "dense":
        spec = LayerSpec(9, bits, levels_in, levels, zero_in, profile)
        layer: QuantLayer = QuantDense(spec, 7)
        shape: tuple[int, ...] = (6, 9)
    else:
        spec = LayerSpec(2 * 9, bits, levels_in, levels, zero_in, profile)
        layer = QuantConv2d(spec, filters=4, kernel=3, stride=2, padding=(0, 1, 2, 1))
        shape = (3, 2, 7, 6)
    layer.reset_parameters(generator)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / 3)
        layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator) / 2)
    x = torch.randint(0, levels_in + 1, shape, generator=generator).float().requires_grad_()
    log_step_in = torch.tensor(-2.0, requires_grad=True)
    out = layer(x, log_step_in, layer.integers(log_step_in))
    weigh = torch.randn(out.shape, generator=generator)
    return Case(layer, x, log_step_in, weigh)


def gradients(case: Case, out: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad((out.double() * case.weigh).sum(), case.leaves))


def straight_through(value: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Return `value` forward with the gradient of `slope`."""
    return value.detach() + (slope - slope.detach())


def composed(case: Case, q: LayerIntegers) -> torch.Tensor:
    """The layer in small differentiable steps, in float64, straight through each rounding."""
    layer, spec, gain = case.layer, case.layer.spec, 2.0**case.layer.spec.frac_bits
    w_q, scale, th, b_q, offset = (
        integers.double() for integers in (q.weight, q.weight_scale, q.threshold, q.bias, q.offset)
    )
    log_step_in = case.log_step_in.double() - case.log_step_in.item()
    rows = (-1, *[1] * (layer.weight.dim() - 1))
    weight = straight_through(w_q, layer.weight.double() / scale.view(rows))
    z = layer.sum(case.x.double(), weight)
    shift = spec.zero_in * (weight - weight.detach()).flatten(1).sum(1)
    if layer.log_step is None:
        unit = scale[0] * case.log_step_in.double().detach().exp()
        bias = straight_through(b_q, layer.bias.double() / unit - shift)
        return z + z.detach() * log_step_in + bias
    log_step = layer.log_step.double() - layer.log_step.item()
    threshold = th * torch.exp(log_step - log_step_in)
    rest = (offset - th / 2) / th * torch.exp(-log_step)
    bias = layer.bias.double() / layer.log_step.double().detach().exp() - gain * shift / th
    slope = gain * z / per_channel(threshold, z) + per_channel(rest + bias, z)
    exact = (gain * z + per_channel(offset, z)).detach() / per_channel(th, z)
    a = straight_through(exact, slope)
    inside = (exact > 0) & (exact < spec.levels + 1)
    return straight_through(exact.clamp(0, spec.levels).floor(), a * inside)


@pytest.mark.parametrize("profile", ["ideal", "akida2"])
@pytest.mark.parametrize("zero_in", [0.0, 7.5])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize(("kind", "levels"), FORMS)
def test_the_layer_is_the_composition_of_its_steps(
    kind: str, levels: int, bits: int, zero_in: float, profile: str
) -> None:
    case = make(kind, bits=bits, levels=levels, zero_in=zero_in, profile=load_profile(profile))
    q = case.layer.integers(case.log_step_in)
    out, expected = case.layer(case.x, case.log_step_in, q), composed(case, q)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-6)
    for got, wanted in zip(gradients(case, out), gradients(case, expected), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def make_smooth(kind: str, zero_in: float, levels: int) -> Case:
    """A layer whose rounding is fine enough that finite differences see through it.

    Weights on the grid, a threshold of thousands, and a bias that keeps all counts inside 0..L.
    """
    profile = ArithmeticProfile("fine", frac_bits=12)
    case = make(kind, bits=8, levels=levels, zero_in=zero_in, profile=profile)
    layer, generator = case.layer, torch.Generator().manual_seed(1)
    with torch.no_grad():
        integers = torch.randint(-127, 128, layer.weight.shape, generator=generator)
        integers.flatten(1)[:, 0] = 127
        layer.weight.copy_(integers / 127 / 8)
        if layer.log_step is not None:
            sums = layer.sum(case.x, layer.weight)
            shift = per_channel(zero_in * layer.weight.flatten(1).sum(1), sums)
            real = (sums - shift) * case.log_step_in.exp()
            layer.log_step.fill_(torch.log((real.max() - real.min()) / (0.8 * levels)))
            layer.bias.copy_(-real.min() + 0.1 * layer.log_step.exp() * levels)
    return case


def real_output(case: Case, leaves: list[torch.Tensor]) -> torch.Tensor:
    """What the layer computes if nothing is rounded or clipped, in units of its output."""
    x, weight, bias, *steps = (leaf.double() for leaf in leaves)
    layer, zero_in = case.layer, case.layer.spec.zero_in
    step_in = (case.log_step_in.detach().double() if zero_in else steps.pop()).exp()
    shift = zero_in * weight.flatten(1).sum(1)
    z = layer.sum(x, weight)
    real = z * step_in + per_channel(bias - shift * step_in, z)
    if layer.log_step is None:
        unit = layer.integers(case.log_step_in).weight_scale[0].double()
        return real / (unit * case.log_step_in.detach().double().exp())
    return real / steps.pop().exp()


@pytest.mark.parametrize("zero_in", [0.0, 7.5])
@pytest.mark.parametrize(("kind", "levels"), [("dense", 0), ("dense", 255), ("conv2d", 255)])
def test_gradients_are_the_slopes_of_the_unrounded_layer(
    kind: str, levels: int, zero_in: float
) -> None:
    torch.manual_seed(0)
    case = make_smooth(kind, zero_in, levels)
    out = case.layer(case.x, case.log_step_in, case.layer.integers(case.log_step_in))
    got = gradients(case, out)
    for i, leaf in enumerate(case.leaves):
        direction = torch.randn(leaf.shape, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            moved = [other.detach().double() for other in case.leaves]
            moved[i] = moved[i] + sign * 1e-4 * direction
            values.append((real_output(case, moved) * case.weigh).sum())
        slope = (values[0] - values[1]) / 2e-4
        along = (got[i].double() * direction).sum()
        size = float((got[i].double() * direction).abs().sum())
        assert abs(float(along - slope)) < 0.01 * size, i


def test_no_gradient_passes_where_the_count_is_clipped() -> None:
    case = make("dense", levels=3)
    with torch.no_grad():
        case.layer.bias.copy_(torch.tensor([1e3, -1e3] * 3 + [0.0]))
    out = case.layer(case.x, case.log_step_in, case.layer.integers(case.log_step_in))
    (grad,) = torch.autograd.grad(out[:, :6].sum(), [case.layer.weight])
    assert not grad.any()
    assert set(out[:, :6].unique().tolist()) == {0.0, 3.0}


@pytest.mark.parametrize("kind", KINDS)
def test_every_output_is_an_integer_in_range(kind: str) -> None:
    case = make(kind, levels=7, zero_in=7.5)
    out = case.layer(case.x, case.log_step_in, case.layer.integers(case.log_step_in))
    assert torch.equal(out, out.floor())
    assert 0 <= out.min() < out.max() <= 7


def test_the_convolution_is_torch_s_with_one_padding_a_side() -> None:
    layer, x = make("conv2d").layer, make("conv2d").x
    padded = F.pad(x, (1, 1, 0, 2))
    assert torch.equal(layer.sum(x, layer.weight), F.conv2d(padded, layer.weight, stride=2))


@pytest.mark.parametrize("kind", KINDS)
def test_the_real_output_is_what_the_integers_stand_for(kind: str) -> None:
    """At the borders of the first convolution too, where a count of 0 is padded in."""
    case = make_smooth(kind, zero_in=7.5, levels=255)
    layer, step_in = case.layer, case.log_step_in.exp()
    assert layer.log_step is not None
    counts = layer(case.x, case.log_step_in, layer.integers(case.log_step_in))
    real = layer.forward_real(case.x * step_in, zero=7.5 * step_in)
    step = layer.log_step.detach().exp()
    torch.testing.assert_close(counts * step, real, atol=0.51 * float(step), rtol=0.001)


def test_real_outputs_of_a_hidden_layer_are_rectified_and_of_a_readout_not() -> None:
    hidden, readout = make("dense").layer, make("dense", levels=0).layer
    x = torch.randn(50, 9, generator=torch.Generator().manual_seed(0))
    assert hidden.forward_real(x).min() == 0
    assert readout.forward_real(x).min() < 0


def test_the_same_generator_draws_the_same_weights() -> None:
    one, other = make("dense", seed=4).layer, make("dense", seed=4).layer
    assert torch.equal(one.weight, other.weight)


def test_a_readout_starts_near_zero() -> None:
    hidden, readout = make("dense").layer, make("dense", levels=0).layer
    for layer in (hidden, readout):
        layer.reset_parameters(torch.Generator().manual_seed(0))
    assert readout.weight.std() < 0.02 * hidden.weight.std()


@pytest.mark.parametrize("profile", ["ideal", "akida2"])
@pytest.mark.parametrize(("kind", "levels"), [form for form in FORMS if form[1]])
def test_compiled_loops_and_torch_give_equal_counts_and_gradients(
    kind: str, levels: int, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> tuple[torch.Tensor, list[torch.Tensor]]:
        case = make(kind, levels=levels, profile=load_profile(profile))
        out = case.layer(case.x, case.log_step_in, case.layer.integers(case.log_step_in))
        return out, gradients(case, out)

    loops = run()
    monkeypatch.setattr(staircase, "why_not", lambda: "no numba")
    plain = run()
    assert torch.equal(loops[0], plain[0])
    for ours, theirs in zip(loops[1], plain[1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
