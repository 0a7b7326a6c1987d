"""From a program to a chip's variables, against the equations that the chip follows."""

from __future__ import annotations

import numpy as np
import pytest

from rivc.neurochip.akida_layers import DIALECTS, Host, Stage, mantissa_and_shift, stages
from rivc.snn_convert import Layer, SpikingProgram, reference
from tests.akida_programs import Draft, draw_program, habits, image, vector
from tests.programs import random_counts

WIDTHS = [("akd1000", 2), ("akd1000", 4), ("v2", 4), ("v2", 8)]
FLATTENED = {"akd1000": (0, 3, 2, 1), "v2": (0, 1, 2, 3)}  # C, W, H and H, W, C


def count_v1(stage: Stage, z: np.ndarray) -> np.ndarray:
    v = DIALECTS["akd1000"].variables(stage)
    bits = int(stage.layer.levels).bit_length()
    step = v["act_step"].astype(np.float64) * 2 ** (4 - bits)
    return np.clip(np.ceil((z - v["threshold"]) / step), 0, stage.layer.levels).astype(np.int64)


def count_v2(stage: Stage, z: np.ndarray) -> np.ndarray:
    v = {name: a.astype(np.int64) for name, a in DIALECTS["v2"].variables(stage).items()}
    acc, shift = z + (v["bias"] << v["bias_shift"]), v["output_shift"]
    right, left = np.maximum(-shift, 0), np.maximum(shift, 0)
    half = np.where(right > 0, 1 << np.maximum(right - 1, 0), 0)
    return np.clip(((acc << left) + half) >> right, 0, stage.layer.levels)


COUNTS = {"akd1000": count_v1, "v2": count_v2}


def convolved(stage: Stage, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Sums under a kernel [kh, kw, in, out], slid over the picture, or turned first."""
    layer = stage.layer
    top, left, bottom, right = layer.padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    kernel = (kernel if stage.is_first else kernel[::-1, ::-1]).astype(np.int64)
    high, wide = ((x.shape[1 + a] - kernel.shape[a]) // layer.stride + 1 for a in (0, 1))
    z = np.zeros((len(x), high, wide, kernel.shape[3]), np.int64)
    for i, row in enumerate(kernel):
        for j, taps in enumerate(row):
            z += x[:, i :: layer.stride, j :: layer.stride][:, :high, :wide] @ taps
    return z


def pooled(layer: Layer, x: np.ndarray) -> np.ndarray:
    top, left, bottom, right = layer.padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, layer.window, axis=(1, 2))
    return windows[:, :: layer.stride, :: layer.stride].max((-2, -1))


def run(chip: str, program: SpikingProgram, counts: np.ndarray) -> np.ndarray:
    """A chip in small steps, from its variables alone."""
    x = counts.astype(np.int64)
    for stage in stages(program):
        weight = DIALECTS[chip].variables(stage)["weights"].astype(np.int64)
        if stage.layer.kind == "conv2d":
            z = convolved(stage, x, weight)
        else:
            x = x.transpose(FLATTENED[chip]).reshape(len(x), -1) if x.ndim == 4 else x
            z = x @ weight.reshape(weight.shape[-2:])
        x = COUNTS[chip](stage, z) if stage.layer.levels else z
        if stage.pool is not None:
            x = pooled(stage.pool, x)
    return Host.of(program, chip).readout(x)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("chip", "bits"), WIDTHS)
def test_the_chip_s_equations_give_the_integers_of_the_definition(
    chip: str, bits: int, seed: int
) -> None:
    program = draw_program(habits(chip, bits), seed)
    counts = random_counts(program, np.random.default_rng(seed), 12)
    np.testing.assert_array_equal(run(chip, program, counts), reference.run(program, counts))


def test_a_convolution_and_its_pooling_are_one_stage() -> None:
    draft = Draft("v2", image(16, 15, 3), np.random.default_rng(0))
    program = draft.conv(4, 3, bits=8).pool(2, 2).conv(5, 3).flatten().dense(6).readout(3)
    first, second, dense, readout = stages(program)
    assert [s.layer for s in (first, second, dense, readout)] == [
        program.layers[i] for i in (0, 2, 4, 5)
    ]
    assert first.pool is program.layers[1]
    assert first.is_first
    assert not second.is_first
    assert dense.shape == (8, 8, 5)
    assert readout.shape == (6,)


@pytest.mark.parametrize("chip", DIALECTS)
def test_parts_of_equal_architectures_are_equal(chip: str) -> None:
    drafts = [Draft(chip, vector(5, 4), np.random.default_rng(seed)) for seed in (0, 1)]
    one, other = (tuple(DIALECTS[chip].parts(d.dense(6).readout(3))) for d in drafts)
    assert one == other
    assert hash(one) == hash(other)
    wider = Draft(chip, vector(5, 4), np.random.default_rng(0)).dense(7).readout(3)
    assert tuple(DIALECTS[chip].parts(wider)) != one


def test_a_mantissa_and_its_shift_are_the_value() -> None:
    values = np.array([m << s for m in range(-127, 128) for s in range(20)])
    mantissa, shift = mantissa_and_shift(values)
    np.testing.assert_array_equal(mantissa << shift, values)
    assert np.abs(mantissa).max() == 127
    assert shift.min() == 0
