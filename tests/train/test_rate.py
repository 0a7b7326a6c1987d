"""What counts and weights are said to cost is what the coder pays, and slopes point downhill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rivc.bench
from rivc.codec import FeatureCodec, Recording
from rivc.codec.tables import frequencies as coded_frequencies
from rivc.train.rate import FeatureRate, frequencies, weight_bits

MAP = Path(rivc.bench.__file__).parent / "maps" / "tracker.npz"


@pytest.mark.parametrize(("inter", "tolerance"), [(False, 0.15), (True, 0.10)])
def test_the_estimate_is_close_to_what_the_coder_pays(inter: bool, tolerance: float) -> None:
    """It lacks the channel leant on, so it is above; both are made of one episode."""
    recording = Recording.load(MAP)
    [_, half] = np.flatnonzero(recording.starts)
    codec = FeatureCodec.fit(recording.codes[:half], 4, starts=recording.starts[:half])
    frames = torch.from_numpy(recording.codes).float()
    rate = FeatureRate(frames.shape[1], 15, inter=inter)

    def bits(at: np.ndarray, *, see: bool = False) -> torch.Tensor:
        return rate.bits(frames[at], frames[at - 1] if inter else None, see=see)

    for at in np.random.default_rng(0).integers(1, half, (30, 8)):
        bits(at, see=True)
    held = np.arange(half + 1, len(frames), 5)
    paid = [
        codec.ideal_bits(recording.codes[i], recording.codes[i - 1] if inter else None)
        for i in held
    ]
    assert 0 < float(bits(held).mean()) / np.mean(paid) - 1 < tolerance


def test_tables_are_the_coders() -> None:
    counts = np.random.default_rng(0).integers(0, 300, (3, 4, 5, 16))
    found = frequencies(torch.from_numpy(counts).float()).numpy() * 4096
    np.testing.assert_allclose(found, coded_frequencies(counts), atol=16)


def test_a_count_slopes_towards_what_is_frequent() -> None:
    rate = FeatureRate(channels=1, levels=3)
    rate.bits(torch.zeros(8, 1, 4, 4), see=True)
    counts = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]], requires_grad=True)
    rate.bits(counts).sum().backward()
    assert counts.grad is not None
    assert counts.grad[0, 0, 0, 0] > 0  # on the way up from 0 bits grow
    assert counts.grad[0, 0, 0, 1] > 0  # and 1 is drawn down


def test_the_slope_of_a_count_is_the_mean_of_both_sides() -> None:
    rate = FeatureRate(channels=1, levels=3)
    rate.bits(torch.arange(4.0).repeat(6).view(1, 1, 4, 6), see=True)
    counts = torch.full((1, 1, 1, 1), 2.0, requires_grad=True)
    rate.bits(counts).sum().backward()
    up, down = (rate.bits(torch.full((1, 1, 1, 1), x)) for x in (3.0, 1.0))
    assert counts.grad is not None
    torch.testing.assert_close(counts.grad.view(1), (up - down) / 2)


def test_a_repeated_frame_costs_less_with_the_one_before() -> None:
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 16, (40, 2, 8, 8))).float()
    intra, inter = (FeatureRate(2, 15, inter=inter) for inter in (False, True))
    alone, after = intra.bits(frames, see=True), inter.bits(frames, frames, see=True)
    assert after.mean() < alone.mean()


@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_whole_weights_cost_their_entropy(q_max: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(-q_max, q_max + 1, (4, 50))
    bits, _, _ = weight_bits(torch.from_numpy(0.5 * codes).float(), torch.full((4,), 0.5), q_max)
    _, counts = np.unique(codes, return_counts=True)
    entropy = -(counts * np.log2(counts / codes.size)).sum()
    assert float(bits) == pytest.approx(entropy, rel=0.05)


def test_weights_slope_towards_what_is_frequent() -> None:
    weight = torch.zeros(1, 100)
    weight[0, 0], weight[0, 1] = 0.4, -0.4
    _, slope, leaving = weight_bits(weight, torch.ones(1), 7)
    assert slope[0, 0] > 0 > slope[0, 1]
    assert leaving > 0
