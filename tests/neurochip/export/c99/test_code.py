"""Exported C99: its types, its sizes, and what it leaves out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.errors import ChipLimitError, DamagedFileError, UsageError
from rivc.neurochip.export import ExportOptions, export_program
from rivc.neurochip.export.c99 import c99_sources, compile_c
from rivc.neurochip.export.c99.layers import width_of
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram
from tests.c99 import INT32, needs_compiler, tracker_program, written
from tests.programs import conv_program, dense_program, readout

if TYPE_CHECKING:
    from pathlib import Path


def test_types_are_as_narrow_as_their_values_allow() -> None:
    ends = {16: (-(2**15), 2**15 - 1), 32: (-(2**31), 2**31 - 1)}
    for width, (low, high) in ends.items():
        assert width_of(np.array([low, high]), least=16) == width
        assert width_of(np.array([low - 1]), least=16) == 2 * width
        assert width_of(np.array([high + 1]), least=16) == 2 * width
    assert width_of(np.array([0]), least=32) == 32


def test_readouts_beyond_int32_are_refused() -> None:
    last = readout(np.array([[1]], np.int8), np.array([INT32], np.int32))
    encoding = InputEncoding.over_range([0.0], [1.0], bit_width=1)
    program = SpikingProgram(encoding, (last,), 1.0, (1, 1), "ideal")
    with pytest.raises(ChipLimitError, match=r"2147483647\.\.2147483648, the C interface gives"):
        c99_sources(program, "x")


def test_a_stack_that_no_thread_has_is_refused() -> None:
    few, stairs = np.zeros(20, np.int32), {"weight_bits": 2, "levels": 1}
    conv = Layer("conv2d", np.ones((20, 1, 1, 1), np.int8), few, few + 2, **stairs)
    pool = Layer("maxpool2d", kernel=64, stride=64)
    last = readout(np.ones((1, 8 * 8 * 20), np.int8), few[:1], weight_bits=2)
    layers = (conv, pool, Layer("flatten"), last)
    program = SpikingProgram(InputEncoding.image((512, 512, 1)), layers, 1.0, (1, 1), "ideal")
    with pytest.raises(ChipLimitError, match="bytes of stack, at most"):
        c99_sources(program, "x")


# -- the files --------------------------------------------------------------------------------


def test_equal_programs_give_equal_files() -> None:
    assert c99_sources(conv_program(), "x") == c99_sources(conv_program(), "x")


def test_the_code_has_no_floats_no_heap_and_no_state(program: SpikingProgram) -> None:
    code = re.sub(r"/\*.*?\*/", "", c99_sources(program, "x")["policy.c"], flags=re.DOTALL)
    assert not re.findall(r"\b(float|double|malloc|free)\b", code)
    kept = re.findall(r"^static (?!const |void )", code, re.MULTILINE)
    assert kept == []
    assert not re.findall(r"^[ \t]+static ", code, re.MULTILINE)


def test_the_header_says_how_a_vector_is_encoded() -> None:
    header = c99_sources(dense_program(), "x")["policy.h"]
    encoding = dense_program().encoding
    assert "count = clip(round((x - low) / step), 0, 15), halves to even;" in header
    assert f"5: {encoding.low[5]!r}, {encoding.step[5]!r}" in header
    assert "#define X_INPUT_SIZE 6\n#define X_READOUT_SIZE 6\n" in header


def test_weights_take_a_seventh_of_fp32_or_less() -> None:
    program = tracker_program()
    sources = c99_sources(program, "x")
    arrays = re.findall(r"uint8_t weight\d\[(\d+)\]", sources["policy.c"])
    stated = re.search(r"weights  (\d+) bytes", sources["policy.h"])
    fp32 = 4 * sum(layer.weight.size for layer in program.layers)
    assert stated is not None
    assert int(stated[1]) == sum(map(int, arrays)) <= fp32 / 7


@needs_compiler
@pytest.mark.parametrize("make", [dense_program, conv_program, tracker_program])
@pytest.mark.parametrize("level", ["-O0", "-O3", "-Os"])
def test_the_stack_is_what_the_header_says(make: Any, level: str, tmp_path: Path) -> None:
    folder = written(make(), tmp_path / "c")
    try:
        compile_c([folder / "policy.c"], tmp_path / "x.o", [level, "-c", "-fstack-usage"])
    except DamagedFileError:
        pytest.skip("the compiler has no -fstack-usage")
    usage = next(tmp_path.glob("*.su")).read_text().splitlines()
    stated = re.search(r"stack    (\d+) bytes", (folder / "policy.h").read_text())
    assert stated is not None
    frames = {line.split("\t")[0].rsplit(":", 1)[1]: int(line.split("\t")[1]) for line in usage}
    infer = frames.pop("rivc_policy_infer")
    layers = max((size for name, size in frames.items() if "layer" in name), default=0)
    emits = max((size for name, size in frames.items() if "emit" in name), default=0)
    assert infer + layers + emits <= int(stated[1]) + 1024


@pytest.mark.parametrize("prefix", ["", "2arm", "left-arm", "a b", "a;", "ä", "a\n"])
def test_a_prefix_that_is_no_identifier_is_refused(prefix: str, tmp_path: Path) -> None:
    options = ExportOptions(prefix=prefix)
    with pytest.raises(UsageError, match="is no C identifier"):
        export_program(dense_program(), tmp_path / "x", format="c99", options=options)
    assert list(tmp_path.iterdir()) == []
