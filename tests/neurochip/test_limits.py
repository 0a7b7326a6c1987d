"""Every limit is found, in its layer, with its value and the way out."""

from __future__ import annotations

import numpy as np
import pytest

from rivc.neurochip import ChipLimits, Violation
from tests.programs import conv_program, dense_program


def found(limits: ChipLimits) -> list[Violation]:
    return limits.violations(conv_program())


def test_a_program_within_the_limits_has_no_violation() -> None:
    assert found(ChipLimits()) == []
    assert ChipLimits().violations(dense_program()) == []


def test_a_kind_that_does_not_run_is_found() -> None:
    (violation,) = found(ChipLimits(kinds=("dense", "conv2d", "flatten")))
    assert violation.layer == 1
    assert "maxpool2d" in violation.what
    assert "dense, conv2d, flatten" in violation.remedy


def test_a_weight_width_that_is_not_held_is_found() -> None:
    (violation,) = found(ChipLimits(weight_bits=(2, 3, 4)))
    assert violation.layer == 4
    assert "8-bit" in violation.what
    assert "2, 3, 4" in violation.what
    assert "weight_bits" in violation.remedy


def test_too_many_levels_are_found() -> None:
    (violation,) = found(ChipLimits(max_levels=5))
    assert (violation.layer, violation.what) == (3, "7 levels, at most 5")
    assert "activation_bits" in violation.remedy


def test_too_many_neurons_are_found_in_every_layer_that_has_them() -> None:
    shapes = conv_program().shapes[1:]
    sizes = [int(np.prod(shape)) for shape in shapes]
    limit = max(sizes) - 1
    violations = found(ChipLimits(max_neurons=limit))
    assert [v.layer for v in violations] == [i for i, size in enumerate(sizes) if size > limit]
    assert all(f"at most {limit}" in v.what and v.remedy for v in violations)


@pytest.mark.parametrize("i", [0, 3, 4])
def test_a_membrane_too_wide_is_found_at_its_very_bit(i: int) -> None:
    program = conv_program()
    width = program.membrane_bits[i]
    assert i not in {v.layer for v in found(ChipLimits(membrane_bits=width))}
    narrow = {v.layer: v for v in found(ChipLimits(membrane_bits=width - 1))}
    assert f"{width} bits, it holds {width - 1}" in narrow[i].what
    assert narrow[i].remedy


def test_several_limits_of_one_layer_are_all_found() -> None:
    limits = ChipLimits(kinds=("dense", "maxpool2d", "flatten"), weight_bits=(3, 8), max_levels=2)
    first = [v.what for v in found(limits) if v.layer == 0]
    assert len(first) == 3
