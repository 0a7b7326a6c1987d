"""Facts about what a target's arithmetic holds."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from math import ceil
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rivc.errors import ConfigError
from rivc.nets import build_network
from rivc.quant import ArithmeticProfile, load_profile, profile, profile_names
from rivc.quant.qat.integers import snap
from rivc.snn_convert import convert

MINE = ArithmeticProfile("mine", weight_bits=(4,), frac_bits=2)
NOT_A_PROFILE = 3


def register(monkeypatch: pytest.MonkeyPatch, attribute: str) -> None:
    entry = EntryPoint("mine", f"{__name__}:{attribute}", profile.ENTRY_POINTS)
    found = EntryPoints([entry])
    monkeypatch.setattr(profile, "entry_points", found.select)


def test_c99_is_ideal_down_to_the_hash_of_a_program() -> None:
    assert load_profile("c99") is load_profile("ideal")
    hashes = {
        convert(
            build_network(
                "mlp", input_shape=(3,), action_layout=(1, 2), hidden=(4,), profile=name, seed=1
            )
        ).sha256
        for name in ("ideal", "c99")
    }
    assert len(hashes) == 1


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'akida1'"):
        load_profile("akida")


def test_widths_that_a_profile_does_not_hold_are_refused_with_those_it_does() -> None:
    with pytest.raises(ConfigError, match="weight_bits 2, 4, not 8"):
        load_profile("akida1").check_widths(8, 4)
    with pytest.raises(ConfigError, match="activation_bits 1, 2, 4, not 3"):
        load_profile("akida1").check_widths(4, 3)


def test_another_package_can_register_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "MINE")
    assert "mine" in profile_names()
    assert load_profile("mine") == MINE
    net = build_network("mlp", input_shape=(3,), action_layout=(1, 2), hidden=(4,), profile="mine")
    assert convert(net).layers[0].frac_bits == 2


def test_a_registered_object_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "NOT_A_PROFILE")
    with pytest.raises(ConfigError, match="not an ArithmeticProfile"):
        load_profile("mine")


@pytest.mark.parametrize(
    "change",
    [
        {"weight_bits": (0,)},
        {"activation_bits": (9,)},
        {"weight_bits": ()},
        {"first_conv_bits": 9},
        {"readout_bits": 0},
        {"vector_bits": 9},
        {"frac_bits": -1},
        {"frac_bits": 17},
        {"bias_lattice": 0},
        {"threshold_max": 1},
        {"threshold_max": 2**31},
        {"bias_max": 2**31},
        {"bias_max": 4, "bias_lattice": 16},
    ],
    ids=str,
)
def test_a_profile_that_no_program_can_hold_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        replace(ArithmeticProfile("mine"), **change)


@given(st.integers(2, 2**20 - 1), st.floats(-1e7, 1e7))
def test_a_snapped_bias_is_an_integer_threshold_of_the_chip(threshold: int, real: float) -> None:
    th = torch.tensor([threshold], dtype=torch.float64)
    bias = int(snap(torch.tensor([real], dtype=torch.float64), th, 16)[0])
    assert (threshold - 1 - bias - threshold // 2) % 16 == 0
    assert abs(bias - real) <= 8


@given(
    st.integers(2, 2**20 - 1),
    st.integers(-(2**20), 2**20),
    st.sampled_from([1, 3, 15]),
    st.data(),
)
def test_akida_s_step_is_the_staircase(
    n: int, chip_threshold: int, levels: int, data: st.DataObject
) -> None:
    """``ceil((pot - thr) / (n / 16))`` with integers thr and n, against F = 4 and th = n."""
    bias = n - 1 - n // 2 - 16 * chip_threshold
    near = data.draw(st.integers(-1, levels + 1)) * n // 16 + chip_threshold
    z = near + data.draw(st.integers(-3, 3))
    ours = (16 * z + bias + n // 2) // n
    theirs = -((-16 * (z - chip_threshold)) // n)
    assert np.clip(ours, 0, levels) == np.clip(theirs, 0, levels)
    assert theirs == ceil(16 * (z - chip_threshold) / n)  # small enough to be exact in a float


def test_under_akida_1_every_trained_bias_lies_on_the_chip_s_lattice() -> None:
    net = build_network(
        "conv",
        input_shape=(8, 7, 1),
        action_layout=(1, 3),
        conv=((5, 3, 2),),
        hidden=(16,),
        profile="akida1",
        seed=3,
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.weights_and_biases():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    for layer in convert(net).layers:
        if layer.levels:
            th, bias = layer.threshold.astype(np.int64), layer.bias.astype(np.int64)
            assert ((th - 1 - bias - th // 2) % 16 == 0).all()
            assert layer.frac_bits == 4
