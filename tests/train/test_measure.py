"""What a record says of a policy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rivc.nets import build_network
from rivc.neurochip import load_backend
from rivc.snn_convert import convert
from rivc.train.measure import measure


@pytest.mark.parametrize("layout", [(1, 5), (3, 4)])
def test_gaps_are_told_jointly_and_by_group(layout: tuple[int, int]) -> None:
    net = build_network("mlp", input_shape=(6,), action_layout=layout, hidden=(16,), seed=1)
    chip, program = load_backend("emulator"), convert(net)
    chip.load(program)
    counts = np.random.default_rng(0).integers(0, 256, (20, 6)).astype(np.uint8)
    found = measure(net, program, chip, counts, reward_scale=0.1)
    ordered = np.sort(net(torch.from_numpy(counts)).detach().numpy(), axis=-1)
    gaps = (ordered[..., -1] - ordered[..., -2]) / 0.1  # [states, groups]
    assert found["action_gap"] == pytest.approx((gaps / layout[0]).min(1).mean(), rel=1e-5)
    by_group = [found[key] for key in sorted(found) if key.startswith("action_gap_group_")]
    expected = gaps.mean(0) if layout[0] > 1 else []
    np.testing.assert_allclose(by_group, expected, rtol=1e-5)
