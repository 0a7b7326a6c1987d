"""Exported C99: compiled here, its integers are the program's."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import ChipLimitError, DamagedFileError, MissingError, UsageError
from rivc.neurochip.compare import compare, compare_all, run_in_batches
from rivc.neurochip.export import ExportOptions, export_program, load_export
from rivc.neurochip.export.c99 import build, c99_sources, compile_c, load_policy, read_c99
from rivc.neurochip.export.c99.layers import width_of
from rivc.neurochip.states import hard_states, random_states
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from tests.programs import conv_program, dense_program, random_counts, readout
from tests.strategies import programs

if TYPE_CHECKING:
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


# -- reading back -------------------------------------------------------------------------------


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A tiny program as C."""
    export_program(dense_program(), tmp_path / "export", format="c99")
    return tmp_path / "export"


@needs_compiler
def test_an_export_is_read_back_as_what_its_code_computes(export: Path, tmp_path: Path) -> None:
    loaded = load_export(export)
    (form,) = loaded.forms(tmp_path).values()
    assert_equal(form, loaded.program, loaded.golden.inputs)
    break_a_weight(export / "policy.c")
    (form,) = loaded.forms(tmp_path).values()
    assert compare(form(loaded.golden.inputs), loaded.golden.readout).mismatches


def break_a_weight(path: Path) -> None:
    """Move the first weight of the first layer by one or more."""
    text = path.read_text()
    head, first, tail = re.split(r"(?<=weight0\[\d{2}\] = \{\n)(\d+)", text, maxsplit=1)
    path.write_text(f"{head}{int(first) ^ 1}{tail}")


def test_no_compiler_is_told_with_the_remedy(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match=r"no C compiler .* brings one"):
        read_c99(export, tmp_path)


@needs_compiler
@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("policy.c", "for (", "fro (", "does not compile: .*error"),
        ("policy.c", "rivc_policy_infer", "another_infer", "does not compile|has no rivc_policy"),
        ("policy.h", "INPUT_SIZE 6", "INPUT_SIZE 7", "not declare the policy of"),
        ("policy.h", "#define RIVC_POLICY_GROUPS 2", "", "not declare the policy of"),
        ("policy.h", "void rivc", "int rivc", "not declare the policy of"),
    ],
)
def test_files_that_were_altered_are_told(
    file: str, old: str, new: str, complaint: str, export: Path, tmp_path: Path
) -> None:
    path = export / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DamagedFileError, match=complaint):
        load_policy(export, tmp_path)(np.zeros((1, 6), np.uint8))


@needs_compiler
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("volatile int *p = 0; *p = 1; (void)input; (void)readout;", r"policy\.c ended with -\d+"),
        ("(void)input; (void)readout; for (;;) { }", "did not answer within"),
    ],
    ids=["crash", "hang"],
)
def test_code_that_crashes_or_hangs_is_told(
    body: str, complaint: str, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "STATE_TIMEOUT", 0)
    monkeypatch.setattr(build, "START_TIMEOUT", 1)
    (export / "policy.c").write_text(
        '#include "policy.h"\n'
        f"void rivc_policy_infer(const uint8_t *input, int32_t *readout) {{ {body} }}\n"
    )
    (form,) = read_c99(export, tmp_path).values()
    with pytest.raises(DamagedFileError, match=complaint):
        form(np.zeros((1, 6), np.uint8))


def test_complaints_that_are_no_text_are_told(export: Path, tmp_path: Path) -> None:
    (export / "policy.c").write_bytes(b"\xff\xfe(" * 9)
    with pytest.raises((DamagedFileError, MissingError), match=r"does not compile|no C compiler"):
        read_c99(export, tmp_path)


def test_a_header_that_is_gone_is_told(export: Path, tmp_path: Path) -> None:
    (export / "policy.h").unlink()
    with pytest.raises(DamagedFileError, match="cannot be read"):
        load_policy(export, tmp_path)


# -- the test that travels with the code ---------------------------------------------------------


def replay(folder: Path, golden: Path) -> subprocess.CompletedProcess[str]:
    sources = [folder / "policy.c", folder / "test_policy.c"]
    runner = compile_c(sources, folder.parent / "test_policy", ["-O1"])
    return subprocess.run([runner, golden], capture_output=True, text=True, check=False)


@needs_compiler
def test_the_golden_vectors_are_replayed(program: SpikingProgram, tmp_path: Path) -> None:
    golden = export_program(program, tmp_path / "x", format="c99").golden
    done = replay(tmp_path / "x", tmp_path / "x" / "golden.npz")
    assert (done.returncode, done.stdout) == (0, f"{len(golden.inputs)} states, 0 different\n")


@needs_compiler
def test_a_changed_weight_is_found_by_the_golden_vectors(export: Path) -> None:
    break_a_weight(export / "policy.c")
    done = replay(export, export / "golden.npz")
    assert done.returncode == 1
    assert re.match(r"state \d+, readout \d+: got -?\d+, expected -?\d+\n", done.stdout)


@needs_compiler
@pytest.mark.parametrize(
    ("data", "complaint"),
    [(None, "holds no golden vectors"), (b"", "holds no golden vectors"), ("half", "ends early")],
)
def test_vectors_that_cannot_be_read_are_told(
    data: Any, complaint: str, export: Path, tmp_path: Path
) -> None:
    golden = tmp_path / "other.npz"
    if data is not None:
        whole = (export / "golden.npz").read_bytes()
        golden.write_bytes(whole[: whole.index(b"readout.npy") + 500] if data == "half" else data)
    done = replay(export, golden)
    assert done.returncode == 2
    assert complaint in done.stderr


@needs_compiler
def test_two_policies_link_into_one_program(tmp_path: Path) -> None:
    options = [ExportOptions(prefix="left"), ExportOptions(prefix="right")]
    left = export_program(dense_program(), tmp_path / "l", format="c99", options=options[0])
    right = export_program(conv_program(), tmp_path / "r", format="c99", options=options[1])
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "l/policy.h"\n#include "r/policy.h"\n'
        "int main(void)\n{\n"
        "    static const uint8_t input[LEFT_INPUT_SIZE + RIGHT_INPUT_SIZE];\n"
        "    int32_t readout[LEFT_READOUT_SIZE + RIGHT_READOUT_SIZE];\n"
        "    int i;\n\n"
        "    left_infer(input, readout);\n    right_infer(input, readout + LEFT_READOUT_SIZE);\n"
        "    for (i = 0; i < LEFT_READOUT_SIZE + RIGHT_READOUT_SIZE; ++i)\n"
        '        printf("%ld ", (long)readout[i]);\n    return 0;\n}\n'
    )
    sources = [tmp_path / "main.c", tmp_path / "l" / "policy.c", tmp_path / "r" / "policy.c"]
    runner = compile_c(sources, tmp_path / "main")
    printed = subprocess.run([runner], capture_output=True, text=True, check=True).stdout
    silent = [
        reference.run(export.program, np.zeros((1, *export.program.encoding.shape), np.uint8))
        for export in (left, right)
    ]
    assert [int(n) for n in printed.split()] == [n for x in silent for n in x.ravel().tolist()]
