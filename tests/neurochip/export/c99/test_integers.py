"""Exported C99: compiled here, its integers are the program's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import ChipLimitError
from rivc.neurochip.compare import compare, compare_all, run_in_batches
from rivc.neurochip.export.c99 import c99_sources, compile_c, load_policy
from rivc.neurochip.states import hard_states, random_states
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from tests.c99 import INT32, assert_equal, built, needs_compiler, written
from tests.programs import random_counts, readout
from tests.strategies import programs


@needs_compiler
def test_the_c_build_equals_the_reference(
    program: SpikingProgram, tmp_path: Path, rng: np.random.Generator
) -> None:
    assert_equal(built(program, tmp_path), program, random_counts(program, rng, 200))


def drawn_programs_agree(drawn: list[SpikingProgram], folder: Path, options: list[str]) -> None:
    """Compile programs with a prefix each into one library, and run them all."""
    shutil.rmtree(folder, ignore_errors=True)
    held = [program for program in drawn if fits(program)]
    if not held:
        return
    folders = [written(p, folder / f"p{i}", f"p{i}") for i, p in enumerate(held)]
    calls = "".join(f"void p{i}_infer(const uint8_t *, int32_t *);\n" for i in range(len(held)))
    rows = ", ".join(f"p{i}_infer" for i in range(len(held)))
    main = (Path(__file__).parent / "replay.c").read_text()
    (folder / "main.c").write_text(main.replace("/*DECLARED*/", calls).replace("/*LISTED*/", rows))
    sources = [folder / "main.c", *(path / "policy.c" for path in folders)]
    runner = compile_c(sources, folder / "main", options)
    for i, program in enumerate(held):
        counts = random_counts(program, np.random.default_rng(i), 50)
        sizes = [counts[0].size, program.shapes[-1][0]]
        done = subprocess.run(
            [runner, *map(str, [i, *sizes])],
            input=counts.tobytes(),
            capture_output=True,
            check=True,
        )
        got = np.frombuffer(done.stdout, np.int32).reshape(-1, *program.action_layout)
        assert compare(got.astype(np.int64), reference.run(program, counts)).mismatches == 0


@pytest.mark.slow
@needs_compiler
def test_a_tracker_policy_agrees_on_100000_states(tmp_path: Path) -> None:
    """States of episodes, hard ones, and random ones; weights that training starts from."""
    from rivc.bench.c99 import CONTESTS, initial_program, play_at_random

    rng = np.random.default_rng(0)
    played, layout = play_at_random(CONTESTS[0], 20_000)
    program = initial_program(CONTESTS[0], played[:512], layout)
    hard = np.concatenate(list(hard_states(program, rng).values()))
    rest = random_states(program.encoding, 80_000 - len(hard), rng)
    counts = np.concatenate([played, hard, rest])
    form = load_policy(written(program, tmp_path / "c"), tmp_path)
    forms = {"c99": form}
    expected = run_in_batches(lambda x: reference.run(program, x), counts)
    assert len(counts) == 100_000
    assert compare_all(forms, counts, expected)["c99"].mismatches == 0


def fits(program: SpikingProgram) -> bool:
    """Whether C can hold it; where it refuses, some readout really may exceed int32."""
    try:
        c99_sources(program, "x")
    except ChipLimitError:
        last, levels = program.layers[-1], program.levels_in[-1]
        weight = last.weight.astype(int)
        most = (weight.clip(0) * levels).sum(1) + last.bias
        least = (weight.clip(None, 0) * levels).sum(1) + last.bias
        assert most.max() > INT32 or least.min() < -INT32 - 1
        return False
    return True


@needs_compiler
@settings(max_examples=3)
@given(drawn=st.lists(programs(), min_size=8, max_size=8))
def test_drawn_programs_agree(
    drawn: list[SpikingProgram], tmp_path_factory: pytest.TempPathFactory
) -> None:
    drawn_programs_agree(drawn, tmp_path_factory.getbasetemp() / "drawn", ["-O1"])


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    "options", ["-O3", "-O3 -march=native", "-O1 -fsanitize=undefined,address"]
)
def test_many_drawn_programs_agree(options: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=25)
    @given(drawn=st.lists(programs(), min_size=8, max_size=8))
    def agree(drawn: list[SpikingProgram]) -> None:
        drawn_programs_agree(drawn, tmp_path_factory.getbasetemp() / "many", options.split())

    agree()


# -- the arithmetic ---------------------------------------------------------------------------


def staircase_program(levels: int) -> SpikingProgram:
    """Neurons whose membranes stand on every kind of step, and a readout that shows each count.

    With a weight of 1 and F = 0 a silent input leaves the membrane at B + th // 2, and one spike
    lifts it by one.
    """
    steps = {0, 1, 2, levels // 2, levels - 1, levels, levels + 1, 2 * levels + 1}
    neurons = [
        (threshold, bias)
        for threshold in (2, 3, 7, 64, 1000, 46341, 2**24 + 1, INT32 - 1, INT32)
        for k in sorted(steps)
        for bias in (k * threshold - threshold // 2 - 1, k * threshold - threshold // 2)
        if abs(bias) <= INT32
    ]
    neurons += [(threshold, bias) for threshold in (2, INT32) for bias in (-INT32 - 1, INT32)]
    threshold, bias = np.array(neurons, np.int32).T
    ones = np.ones((len(neurons), 1), np.int8)
    hidden = Layer("dense", ones, bias, threshold, weight_bits=2, levels=levels)
    show = readout(np.eye(len(neurons), dtype=np.int8), np.zeros(len(neurons), np.int32))
    encoding = InputEncoding.over_range([0.0], [1.0], bit_width=1)
    return SpikingProgram(encoding, (hidden, show), 1.0, (1, len(neurons)), "ideal")


@needs_compiler
@pytest.mark.parametrize("levels", [1, 2, 3, 7, 15, 100, 127, 255])
def test_counts_are_exact_at_every_step_and_one_below(levels: int, tmp_path: Path) -> None:
    program = staircase_program(levels)
    counts = np.array([[0], [1]], np.uint8)
    seen = reference.run(program, counts)
    assert {0, 1, levels - 1, levels} <= set(seen.ravel().tolist())
    assert_equal(built(program, tmp_path), program, counts)


@needs_compiler
@pytest.mark.parametrize(("inputs", "sums"), [(151, "int16_t"), (152, "int32_t")])
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_are_exact_at_the_end_of_their_type(
    inputs: int, sums: str, sign: int, tmp_path: Path
) -> None:
    weight = np.full((1, inputs), 31 * sign, np.int8)  # 7 * 31 * 151 = 32767
    last = readout(weight, np.zeros(1, np.int32), weight_bits=6)
    encoding = InputEncoding.over_range([0.0] * inputs, [1.0] * inputs, bit_width=3)
    program = SpikingProgram(encoding, (last,), 1.0, (1, 1), "ideal")
    assert f"{sums} sum[1]" in c99_sources(program, "x")["policy.c"]
    assert_equal(built(program, tmp_path), program, np.full((1, inputs), 7, np.uint8))
