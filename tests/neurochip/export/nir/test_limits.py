"""What a NIR graph cannot hold is refused before a file is written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings

from rivc.errors import ChipLimitError
from rivc.neurochip.export import export_program
from rivc.neurochip.export.nir import limits, unary
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram
from tests.programs import dense_program, readout
from tests.strategies import programs

if TYPE_CHECKING:
    from pathlib import Path


def wide_program(inputs: int, units: int, levels: int) -> SpikingProgram:
    hidden = Layer(
        "dense",
        np.full((units, inputs), 127, np.int8),
        np.zeros(units, np.int32),
        np.full(units, 500, np.int32),
        weight_bits=8,
        levels=levels,
    )
    last = readout(np.ones((2, units), np.int8), np.zeros(2, np.int32))
    encoding = InputEncoding.over_range([0.0] * inputs, [1.0] * inputs, bit_width=8)
    return SpikingProgram(encoding, (hidden, last), 1.0, (1, 2), "ideal")


def test_an_inexact_sum_names_layer_and_remedy(tmp_path: Path) -> None:
    *_, last = dense_program().layers
    last = replace(last, bias=np.full(6, 1 << 24, np.int32))
    program = replace(dense_program(), layers=(dense_program().layers[0], last))
    with pytest.raises(ChipLimitError, match=r"layer 1: sums up to .*float32.*; use fewer inputs"):
        export_program(program, tmp_path / "x", format="nir")
    assert list(tmp_path.iterdir()) == []


def test_the_last_exact_sum_is_held() -> None:
    # 127 * 255 * inputs + 1 against 2^24
    assert not limits.violations(wide_program(518, 1, 15))
    assert [v.layer for v in limits.violations(wide_program(519, 1, 15))] == [0]


def test_a_large_node_names_layer_and_remedy() -> None:
    (found,) = limits.violations(wide_program(2, 400, 255))[:1]
    assert str(found) == (
        "layer 0: a node of 40,800,000 values, at most 16,777,216; "
        "lower quant.activation_bits or use fewer filters, units or pixels"
    )


def test_pooling_many_levels_of_many_channels_is_refused() -> None:
    pool = Layer("maxpool2d", kernel=2, stride=2)
    last = readout(np.ones((2, 4 * 4 * 12), np.int8), np.zeros(2, np.int32))
    encoding = InputEncoding.image((8, 8, 12))
    program = SpikingProgram(encoding, (pool, Layer("flatten"), last), 1.0, (1, 2), "ideal")
    assert limits.violations(program)[0].layer == 0


@settings(max_examples=25)
@given(programs())
def test_what_fits_is_exact_and_as_large_as_was_foretold(program: SpikingProgram) -> None:
    if limits.violations(program):
        return
    for node in unary.build(program).nodes.values():
        for value in vars(node).values():
            if isinstance(value, np.ndarray):
                assert value.size <= limits.MAX_VALUES
                assert value.dtype.kind == "i" or value.dtype == np.float32
                assert np.abs(value).max(initial=0) <= limits.EXACT
