"""Facts about what a target's arithmetic holds."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from math import ceil, floor, log2
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rivc.errors import ConfigError, MissingError
from rivc.nets import build_network
from rivc.quant import ArithmeticProfile, load_profile, profile, profile_names
from rivc.quant.qat.integers import snap_bias, snap_threshold
from rivc.snn_convert import SpikingProgram, convert

AKIDA1, AKIDA2 = load_profile("akida1"), load_profile("akida2")
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
        load_profile("akida11")


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


def test_a_registered_profile_that_cannot_be_loaded_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(monkeypatch, "NO_SUCH_PROFILE")
    with pytest.raises(MissingError, match=r"profile 'mine' \(.*\) cannot be loaded: Attribute"):
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
        {"levels": ((8, 256),)},
        {"levels": ((9, 15),)},
        {"threshold_grid": "odd"},
        {"threshold_min": 1},
        {"threshold_min": 6},
        {"threshold_min": 32},
        {"threshold_max": 4, "threshold_min": 8},
        {"bias_origin": "nowhere"},
        {"bias_mantissa_bits": 1},
        {"bias_mantissa_bits": 8, "bias_origin": "below_half"},
    ],
    ids=str,
)
def test_a_profile_that_no_program_can_hold_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        replace(ArithmeticProfile("mine"), **change)


@given(st.integers(4, 2**20 - 1), st.floats(-1e7, 1e7))
def test_a_snapped_bias_is_an_integer_threshold_of_the_chip(threshold: int, real: float) -> None:
    th = torch.tensor([threshold], dtype=torch.float64)
    bias = int(snap_bias(torch.tensor([real], dtype=torch.float64), th, AKIDA1, 2**31 - 1)[0])
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


MANTISSAS = st.builds(lambda m, s: 16 * (m << s), st.integers(-127, 127), st.integers(0, 20))


def snapped(real: float, profile: ArithmeticProfile, largest: int) -> int:
    bias, th = torch.tensor([real], dtype=torch.float64), torch.tensor([64.0], dtype=torch.float64)
    return int(snap_bias(bias, th, profile, largest)[0])


@given(st.floats(-1e10, 1e10), st.integers(16, 2**31 - 1), MANTISSAS)
def test_under_akida_2_a_bias_is_the_nearest_shifted_byte(
    real: float, largest: int, other: int
) -> None:
    bias = snapped(real, AKIDA2, largest)
    assert AKIDA2.holds(np.array([64]), np.array([bias])).all()
    assert abs(bias) <= largest
    if abs(real) <= AKIDA2.bias_room(largest):
        assert abs(bias - real) <= abs(other - real)


@given(st.integers(16, 2**31 - 1), MANTISSAS)
def test_the_room_for_a_bias_is_the_largest_shifted_byte_below_the_clamp(
    largest: int, other: int
) -> None:
    room = AKIDA2.bias_room(largest)
    assert AKIDA2.holds(np.array([64]), np.array([room])).all()
    assert abs(other) <= room or abs(other) > largest


@given(st.floats(1e-6, 1e12), st.integers(2, 2**31 - 1))
def test_a_snapped_threshold_is_the_power_of_two_nearest_in_ratio(
    ideal: float, largest: int
) -> None:
    th = float(snap_threshold(torch.tensor([ideal], dtype=torch.float64), AKIDA2, largest)[0])
    assert 2 <= th <= largest
    assert th == 2 ** round(log2(th))
    if 2 <= ideal <= 2 ** floor(log2(largest)):
        assert 2**-0.5 * 0.999999 <= th / ideal <= 2**0.5 * 1.000001


def test_an_endless_threshold_is_clamped() -> None:
    endless = torch.tensor([float("inf"), 0.0])
    assert snap_threshold(endless, AKIDA2, 1000).tolist() == [512, 2]
    assert snap_threshold(endless, AKIDA1, 1000).tolist() == [1000, 4]


@given(
    st.integers(-3, 20),
    st.integers(-127, 127),
    st.integers(0, 16),
    st.sampled_from([15, 127]),
    st.data(),
)
def test_a_rounding_shift_is_the_staircase(
    s: int, mantissa: int, shift: int, levels: int, data: st.DataObject
) -> None:
    """``(z + (m << s_B) + 2^(s-1)) >> s``, saturated, against F = 4, th = 2^(4+s)."""
    bias, th = 16 * (mantissa << shift), 2 ** (4 + s)
    tie = (data.draw(st.integers(-1, levels + 1)) * th - bias - th // 2) // 16
    z = tie + data.draw(st.integers(-3, 3))
    ours = (16 * z + bias + th // 2) // th
    acc = z + (mantissa << shift)
    theirs = (acc + (1 << (s - 1))) >> s if s > 0 else acc << -s
    assert np.clip(ours, 0, levels) == np.clip(theirs, 0, levels)


def trained(profile: str, bits: int) -> SpikingProgram:
    """A program whose parameters were moved far from where they began."""
    net = build_network(
        "conv",
        input_shape=(8, 7, 1),
        action_layout=(1, 3),
        conv=((5, 3, 2),),
        hidden=(16,),
        weight_bits=bits,
        activation_bits=bits,
        profile=profile,
        seed=3,
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return convert(net)


@pytest.mark.parametrize(
    ("name", "bits"), [("akida1", 2), ("akida1", 4), ("akida2", 4), ("akida2", 8)]
)
def test_every_trained_threshold_and_bias_is_one_that_the_target_holds(
    name: str, bits: int
) -> None:
    profile = load_profile(name)
    for layer in trained(name, bits).layers:
        if layer.levels:
            assert profile.holds(layer.threshold, layer.bias).all()
            assert layer.frac_bits == profile.frac_bits


def test_what_a_profile_does_not_hold_is_told_channel_by_channel() -> None:
    th = np.array([64, 64, 64, 48, 1, 2**29])
    bias = np.array([16 * 127, 16 * 129, 8, 0, 0, 0])
    assert AKIDA2.holds(th, bias).tolist() == [True, False, False, False, False, False]
    assert AKIDA1.holds(np.array([64, 64]), np.array([31 - 16, 32])).tolist() == [True, False]
    assert load_profile("ideal").holds(th, bias).tolist() == [True] * 4 + [False, True]


def test_counts_have_as_many_levels_as_the_profile_says() -> None:
    assert [load_profile("ideal").levels_of(bits) for bits in (1, 4, 8)] == [1, 15, 255]
    assert [AKIDA2.levels_of(bits) for bits in (4, 8)] == [15, 127]
    assert trained("akida2", 8).layers[0].levels == 127
