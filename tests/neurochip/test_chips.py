"""Chips as rows of data: what fits, and what is said about everything that does not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.nets import build_network
from rivc.neurochip import ChipLimits
from rivc.neurochip.chips import CHIPS
from rivc.snn_convert import SpikingProgram, convert, reference
from tests.akida_programs import PROFILES, Draft, draw_program, habits, image, vector
from tests.programs import conv_program, random_counts

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[str], SpikingProgram | Draft]

WIDTHS = [("akd1000", 2), ("akd1000", 4), ("v2", 4), ("v2", 8)]
NETWORKS: list[dict[str, Any]] = [
    {"kind": "mlp", "input_shape": (8,), "hidden": (64, 64)},
    {
        "kind": "conv",
        "input_shape": (32, 32, 3),
        "conv": ((16, 3, 2), (32, 3, 2), (32, 3, 2)),
        "hidden": (128,),
    },
]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["kind"])
@pytest.mark.parametrize(("chip", "bits"), WIDTHS)
def test_a_network_of_the_chip_s_profile_fits(
    chip: str, bits: int, network: dict[str, Any]
) -> None:
    net = build_network(
        **network,
        action_layout=(2, 3),
        weight_bits=bits,
        activation_bits=bits,
        profile=PROFILES[chip],
        seed=0,
    )
    assert CHIPS[chip].violations(convert(net)) == []


def draft(chip: str, shape: tuple[int, int, int] = (16, 15, 3)) -> Draft:
    return Draft(chip, image(*shape), np.random.default_rng(0))


def small(chip: str) -> Draft:
    """A picture behind its first convolution."""
    return draft(chip).conv(4, 3, 2, bits=8)


def mlp(chip: str, bit_width: int = 4, features: int = 5) -> Draft:
    return Draft(chip, vector(features, bit_width), np.random.default_rng(0))


def finish(built: Draft) -> SpikingProgram:
    return (built.flatten() if len(built.shape) == 3 else built).readout(3)


def change(program: SpikingProgram, i: int, **fields: Any) -> SpikingProgram:
    layers = list(program.layers)
    layers[i] = replace(layers[i], **fields)
    return replace(program, layers=tuple(layers))


def wide_kernel(chip: str) -> SpikingProgram:
    program = draft(chip).conv(4, 3, 1, bits=8).flatten().readout(3)
    weight = program.layers[0].weight[..., :1]
    return change(program, 0, weight=weight, padding=(1, 0, 1, 0))


def off_lattice(chip: str) -> SpikingProgram:
    program = mlp(chip).dense(6, bits=8 if chip == "v2" else 4).readout(3)
    bias = program.layers[0].bias.copy()
    bias[2] += 8
    return change(program, 0, bias=bias)


def threes(chip: str) -> SpikingProgram:
    program = mlp(chip).dense(6).readout(3)
    return change(program, 0, threshold=np.full(6, 48, np.int32))


def other_fraction(chip: str) -> SpikingProgram:
    return change(mlp(chip).dense(6).readout(3), 0, frac_bits=3)


def without_weights(chip: str) -> SpikingProgram:
    program = small(chip).flatten().readout(3)
    return change(program, 0, weight=np.zeros_like(program.layers[0].weight))


def shifted_padding(chip: str) -> SpikingProgram:
    program = small(chip).conv(4, 3, 2).flatten().readout(3)
    return change(program, 1, padding=(1, 1, 0, 0))


def pool_first(chip: str) -> SpikingProgram:
    return draft(chip).pool(2, 2).conv(4, 3, 1).flatten().readout(3)


BOTH, V1, V2 = ("akd1000", "v2"), ("akd1000",), ("v2",)
CASES: list[tuple[tuple[str, ...], int, str, Build]] = [
    (BOTH, -1, "2 channels", lambda c: draft(c, (9, 9, 2)).conv(4, 3, bits=8)),
    (BOTH, -1, "height 4", lambda c: draft(c, (4, 9, 3)).conv(4, 3, bits=8)),
    (V1, -1, "width 257", lambda c: draft(c, (5, 257, 1)).conv(4, 3, 3)),
    (V2, -1, "width 385", lambda c: draft(c, (5, 385, 1)).conv(4, 3, 3)),
    (V1, -1, "up to 31", lambda c: mlp(c, 5)),
    (V2, -1, "up to 255", lambda c: mlp(c, 8)),
    (BOTH, 0, "enters a flatten layer", draft),
    (BOTH, 0, "enters a maxpool2d layer", pool_first),
    (BOTH, 0, "follows no convolution", pool_first),
    (BOTH, 0, "9x9", lambda c: draft(c).conv(4, 9, 2, bits=8)),
    (BOTH, 0, "stride 4", lambda c: draft(c).conv(4, 3, 4, bits=8)),
    (BOTH, 0, "3x1", wide_kernel),
    (V1, 0, "7 rows", lambda c: draft(c, (6, 9, 3)).conv(4, 7, 2)),
    (V1, 0, "1 wide", lambda c: draft(c, (9, 7, 3)).conv(4, 7, padding="valid")),
    (V1, 0, "33 filters", lambda c: draft(c).conv(33, 7, 2)),
    (V2, 0, "513 filters", lambda c: draft(c).conv(513, 3, 3).conv(2, 3, 2)),
    (BOTH, 0, "not zero", without_weights),
    (BOTH, 1, "5x5 with stride 2", lambda c: small(c).conv(4, 5, 2)),
    (BOTH, 1, "padding (0, 0, 0, 0)", lambda c: small(c).conv(4, 3, padding="valid")),
    (BOTH, 1, "padding (1, 1, 0, 0)", shifted_padding),
    (V1, 2, "449 channels", lambda c: draft(c).conv(64, 5, 3).conv(449, 1).conv(2, 3)),
    (V2, 2, "196 channels", lambda c: small(c).conv(196, 1).conv(2, 7)),
    (V1, 1, "8-bit weights", lambda c: small(c).conv(4, 3, bits=8)),
    (V1, 0, "1-bit weights", lambda c: mlp(c).dense(4, bits=1)),
    (V2, 0, "2-bit weights", lambda c: mlp(c).dense(4, bits=2)),
    (V1, 0, "8-bit weights", lambda c: mlp(c).readout(3, bits=8)),
    (V2, 1, "on counts of 4 bits", lambda c: mlp(c).dense(4).readout(3, bits=8)),
    (V2, 0, "counts of 8 bits", lambda c: mlp(c).dense(4, levels=127)),
    (BOTH, 0, "7 levels", lambda c: mlp(c).dense(4, levels=7)),
    (V1, 0, "127 levels", lambda c: mlp(c).dense(4, levels=127)),
    (BOTH, 0, "channel 2 (1 channels)", off_lattice),
    (V2, 0, "threshold 48", threes),
    (BOTH, 0, "3 fraction bits", other_fraction),
    (V1, 1, "57600 inputs", lambda c: mlp(c).dense(57600)),
    (V2, 1, "2049 inputs", lambda c: mlp(c).dense(2049)),
    (V2, 2, "1792 inputs", lambda c: draft(c, (32, 28, 1)).conv(8, 3, 2)),
    (V1, 1, "a weighted sum of 22 bits", lambda c: mlp(c).dense(20000)),
    (V1, 0, "a weighted sum of 22 bits", lambda c: draft(c).conv(4, 5, bits=8).pool(2, 2)),
    (BOTH, 2, "before a dense layer", lambda c: small(c).conv(4, 3).pool(2, 2)),
    (V2, 2, "of stride 2", lambda c: small(c).conv(4, 3, 2).pool(2, 2).conv(4, 3)),
    (BOTH, 2, "3x3", lambda c: small(c).conv(4, 3).pool(3, 2).conv(4, 3)),
    (V1, 1, "3x3", lambda c: small(c).pool(3, 2).conv(4, 3)),
    (BOTH, 1, "pad it as", lambda c: draft(c).conv(4, 3, bits=8, padding="valid").pool(2, 2)),
    (V1, 1, "1 wide", lambda c: draft(c, (9, 5, 1)).conv(4, 3, 3, bits=8).pool(2, 2).conv(4, 3)),
]


@pytest.mark.parametrize(
    ("chip", "layer", "what", "build"),
    [
        pytest.param(chip, layer, what, build, id=f"{chip}-{what}")
        for chips, layer, what, build in CASES
        for chip in chips
    ],
)
def test_a_limit_that_is_exceeded_is_named_with_its_layer_and_a_remedy(
    chip: str, layer: int, what: str, build: Build
) -> None:
    built = build(chip)
    program = built if isinstance(built, SpikingProgram) else finish(built)
    found = [v for v in CHIPS[chip].violations(program) if what in str(v)]
    assert [v.layer for v in found] == [layer]
    assert found[0].remedy


@pytest.mark.parametrize("chip", CHIPS)
def test_everything_that_stands_against_a_program_is_found_at_once(chip: str) -> None:
    program = draft(chip, (4, 9, 2)).conv(4, 4, 4, bits=3).flatten().dense(4, levels=7).readout(3)
    layers = [v.layer for v in CHIPS[chip].violations(program)]
    assert layers.count(-1) == 2
    assert {-1, 0, 2} <= set(layers)


def test_without_limits_everything_fits() -> None:
    assert ChipLimits().violations(conv_program()) == []
    assert ChipLimits().violations(pool_first("v2")) == []


@pytest.mark.parametrize(("chip", "bits"), WIDTHS)
def test_the_drawn_programs_tie_and_saturate(chip: str, bits: int) -> None:
    """Otherwise it would say little that a chip agrees on them."""
    ties, full, silent = 0, 0, 0
    for seed in range(20):
        program = draw_program(habits(chip, bits), seed)
        counts = random_counts(program, np.random.default_rng(seed), 4)
        x: np.ndarray = counts.astype(np.int64)
        for layer, out in zip(program.layers, reference.trace(program, counts), strict=True):
            if layer.levels:
                th = layer.threshold.astype(np.int64)
                v_mem = (reference.weighted(layer, x) << 4) + layer.bias + th // 2
                ties += int((v_mem % th == 0).sum())
                full, silent = (
                    full + int((out == layer.levels).sum()),
                    silent + int((out == 0).sum()),
                )
            x = out
    assert min(ties, full, silent) > 100
