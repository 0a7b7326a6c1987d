"""From latent parameters to integers: scales, grids, clamps and lattices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rivc.quant import Grid, load_profile, quantize
from rivc.quant.qat import LayerSpec
from rivc.quant.qat.integers import (
    LayerIntegers,
    hidden_integers,
    quantize_weight,
    readout_integers,
    weight_scale,
)
from tests.strategies import bit_widths, seeds

IDEAL = load_profile("ideal")
SPEC = LayerSpec(fan_in=6, weight_bits=4, levels_in=15, levels=15, zero_in=0.0, profile=IDEAL)


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def hidden(
    spec: LayerSpec, weight: torch.Tensor, bias: torch.Tensor, step: float, step_in: float
) -> LayerIntegers:
    carrier = spec.carrier()
    return hidden_integers(spec, carrier, weight, bias, torch.tensor(step), torch.tensor(step_in))


@pytest.mark.parametrize("shape", [(5, 8), (5, 2, 3, 3)])
@given(seed=seeds, bits=bit_widths)
def test_weights_land_where_the_numpy_half_puts_them(
    shape: tuple[int, ...], seed: int, bits: int
) -> None:
    weight = normal(seed, *shape).double()
    scale = weight_scale(weight, Grid(bits), per_tensor=False)
    by_torch = quantize_weight(weight, scale, Grid(bits)).numpy()
    spread = scale.numpy().reshape(-1, *[1] * (len(shape) - 1))
    np.testing.assert_array_equal(by_torch, quantize(weight.numpy(), spread, Grid(bits)))


@given(seeds, st.integers(2, 8))
def test_a_weight_scale_never_reaches_beyond_the_data(seed: int, bits: int) -> None:
    weight = normal(seed, 4, 9)
    scale = weight_scale(weight, Grid(bits), per_tensor=False)
    assert (scale * Grid(bits).q_max <= weight.abs().amax(1) * (1 + 1e-6)).all()


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_a_weight_scale_loses_no_more_than_the_maximum_would(bits: int) -> None:
    weight, grid = normal(0, 200, 100), Grid(bits)
    fitted = weight_scale(weight, Grid(bits), per_tensor=False)
    widest = weight.abs().amax(1) / grid.q_max

    def lost(scale: torch.Tensor) -> float:
        back = quantize_weight(weight, scale, grid) * scale.view(-1, 1)
        return float((back - weight).square().sum())

    assert lost(fitted) <= 1.001 * lost(widest)


@pytest.mark.parametrize(("bits", "share"), [(2, 0.191), (3, 0.0469), (4, 0.0129)])
def test_on_a_normal_distribution_the_loss_is_max_s(bits: int, share: float) -> None:
    weight = normal(0, 1, 100_000)
    scale = weight_scale(weight, Grid(bits), per_tensor=False)
    lost = quantize_weight(weight, scale, Grid(bits)) * scale.view(-1, 1) - weight
    assert float(lost.square().mean()) == pytest.approx(share, rel=0.02)


def test_binary_weights_keep_their_mean_magnitude() -> None:
    weight = normal(0, 3, 50)
    scale = weight_scale(weight, Grid(1), per_tensor=False)
    torch.testing.assert_close(scale, weight.abs().mean(1))
    assert set(quantize_weight(weight, scale, Grid(1)).flatten().tolist()) == {-1.0, 1.0}


def test_a_scale_per_tensor_is_one_number_for_all_channels() -> None:
    scale = weight_scale(
        normal(0, 3, 50) * torch.tensor([[1.0], [5.0], [9.0]]), Grid(8), per_tensor=True
    )
    assert scale.shape == (3,)
    assert len(set(scale.tolist())) == 1


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_weights_that_are_all_zero_have_a_usable_scale(bits: int) -> None:
    scale = weight_scale(torch.zeros(2, 4), Grid(bits), per_tensor=False)
    assert (scale > 0).all()
    assert torch.isfinite(quantize_weight(torch.zeros(2, 4), scale, Grid(bits))).all()


def test_the_threshold_is_the_rounded_ratio_of_the_scales() -> None:
    weight = normal(0, 5, 6)
    q = hidden(SPEC, weight, torch.zeros(5), 0.4, 0.05)
    expected = torch.round(16 * 0.4 / (q.weight_scale * 0.05))
    torch.testing.assert_close(q.threshold, expected)


@given(
    seeds, st.floats(-30, 30), st.floats(-30, 30), st.sampled_from(["ideal", "akida1", "akida2"])
)
def test_thresholds_and_biases_never_leave_the_clamps(
    seed: int, log_step: float, log_step_in: float, name: str
) -> None:
    spec = replace(SPEC, profile=load_profile(name), zero_in=7.5)
    carrier = spec.carrier()
    bias = normal(seed, 5) * 10.0 ** torch.tensor([-9.0, -3.0, 0.0, 9.0, 30.0])
    q = hidden(spec, normal(seed, 5, 6), bias, np.exp(log_step), np.exp(log_step_in))
    assert q.threshold.min() >= 2
    assert q.threshold.max() <= carrier.threshold_max <= spec.profile.threshold_max
    assert q.bias.abs().max() <= carrier.bias_max <= spec.profile.bias_max
    for integers in (q.weight, q.threshold, q.bias, q.offset):
        assert torch.equal(integers, integers.round())
    assert torch.equal(q.offset, q.bias + torch.floor(q.threshold / 2))


@given(seeds, st.floats(-3, 1))
def test_under_powers_of_two_the_weights_keep_the_gain_of_their_channel(
    seed: int, log_step: float
) -> None:
    """``th s_c s_in`` is what the step of the output asks for, to whatever th snapped."""
    spec = replace(SPEC, weight_bits=8, profile=load_profile("akida2"))
    q = hidden(spec, normal(seed, 5, 6), torch.zeros(5), np.exp(log_step), 0.05)
    gain = q.threshold * q.weight_scale * 0.05 / 16
    torch.testing.assert_close(gain, torch.full((5,), float(np.exp(log_step))))
    plain = weight_scale(normal(seed, 5, 6), Grid(8), per_tensor=False)
    assert ((q.weight_scale / plain).log2().abs() <= 0.50001).all()


def test_the_zero_of_the_input_is_folded_into_the_bias() -> None:
    weight, bias = normal(1, 5, 6), normal(2, 5)
    plain = hidden(SPEC, weight, bias, 0.4, 0.05)
    centred = hidden(replace(SPEC, zero_in=7.5), weight, bias, 0.4, 0.05)
    shift = 16 * 7.5 * plain.weight.sum(1)
    torch.testing.assert_close(plain.bias - centred.bias, shift, atol=1.0, rtol=0.0)


@pytest.mark.parametrize("zero_in", [0.0, 7.5])
def test_a_readout_folds_the_zero_of_its_input_too(zero_in: float) -> None:
    spec = replace(SPEC, levels=0, zero_in=zero_in)
    weight, bias, step_in = normal(1, 5, 6), normal(2, 5), 0.05
    q = readout_integers(spec, spec.carrier(), weight, bias, torch.tensor(step_in))
    real = (torch.full((6,), 7.0) - zero_in) * step_in
    expected = (q.weight * q.weight_scale.view(-1, 1)) @ real + bias
    unit = float(q.weight_scale[0]) * step_in
    got = (q.weight.sum(1) * 7 + q.bias) * unit
    torch.testing.assert_close(got, expected, atol=unit, rtol=0.0)


def test_a_readout_has_one_scale_and_no_threshold() -> None:
    spec = replace(SPEC, levels=0)
    q = readout_integers(spec, spec.carrier(), normal(1, 5, 6), normal(2, 5), torch.tensor(0.05))
    assert len(set(q.weight_scale.tolist())) == 1
    assert torch.equal(q.threshold, torch.ones(5))
    assert torch.equal(q.offset, q.bias)
