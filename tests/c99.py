"""Programs as C, for the tests of what is written, what it computes and what is read back."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.neurochip.compare import compare
from rivc.neurochip.export.c99 import c99_sources, load_policy
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from tests.programs import readout

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.neurochip.compare import Form

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler: apt install gcc"
)
INT32 = 2**31 - 1


def written(program: SpikingProgram, folder: Path, prefix: str = "rivc_policy") -> Path:
    """The three files in a folder."""
    folder.mkdir(parents=True)
    for name, text in c99_sources(program, prefix).items():
        (folder / name).write_text(text)
    program.save(folder / "program.npz")
    return folder


def built(program: SpikingProgram, folder: Path) -> Form:
    return load_policy(written(program, folder / "c"), folder, ["-O1"])


def assert_equal(form: Form, program: SpikingProgram, counts: np.ndarray[Any, Any]) -> None:
    result = compare(form(counts), reference.run(program, counts))
    assert result.mismatches == 0, str(result.first)


def tracker_program() -> SpikingProgram:
    """The tracker's layers with random weights."""
    rng = np.random.default_rng(0)

    def conv(out: int, channels: int, bits: int) -> Layer:
        reach = 2 ** (bits - 1) - 1
        weight = rng.integers(-reach, reach + 1, (out, channels, 3, 3)).astype(np.int8)
        bias, threshold = np.zeros(out, np.int32), np.full(out, 400, np.int32)
        stairs = {"frac_bits": 4, "levels": 15, "stride": 2, "padding": (0, 0, 1, 1)}
        return Layer("conv2d", weight, bias, threshold, weight_bits=bits, **stairs)

    weight = rng.integers(-7, 8, (128, 512)).astype(np.int8)
    bias, threshold = np.zeros(128, np.int32), np.full(128, 400, np.int32)
    hidden = Layer("dense", weight, bias, threshold, weight_bits=4, frac_bits=4, levels=15)
    last = readout(np.ones((7, 128), np.int8), np.zeros(7, np.int32), weight_bits=8)
    layers = (conv(16, 3, 8), conv(32, 16, 4), conv(32, 32, 4), Layer("flatten"), hidden, last)
    return SpikingProgram(InputEncoding.image((32, 32, 3)), layers, 1.0, (1, 7), "ideal")
