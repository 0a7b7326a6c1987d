"""Exported C99: files that are read back, replayed, damaged or linked."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.errors import DamagedFileError, MissingError
from rivc.neurochip.compare import compare
from rivc.neurochip.export import ExportOptions, export_program, load_export
from rivc.neurochip.export.c99 import build, compile_c, load_policy, read_c99
from rivc.snn_convert import SpikingProgram, reference
from tests.c99 import assert_equal, needs_compiler
from tests.programs import conv_program, dense_program

if TYPE_CHECKING:
    from pathlib import Path


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
