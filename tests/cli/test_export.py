"""`rivc export` in other formats than the program's own, and `rivc verify` on what it wrote."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler: apt install gcc"
)


@pytest.fixture
def c_export(trained: Path, tmp_path: Path, rivc: Call) -> Path:
    """The tiny run as C."""
    words = ["export", trained, "--format", "c99", "--prefix", "cart_pole"]
    result = rivc(*words, "--out", tmp_path / "c99")
    assert result.exit_code == 0, result.stderr
    return tmp_path / "c99"


def test_c99_has_the_interface_of_the_contract(c_export: Path) -> None:
    names = {path.name for path in c_export.iterdir()}
    assert {"policy.h", "policy.c", "test_policy.c", "golden.npz", "program.npz"} < names
    header = (c_export / "policy.h").read_text()
    assert "void cart_pole_infer(const uint8_t *input, int32_t *readout);" in header
    assert "#define CART_POLE_INPUT_SIZE 4\n#define CART_POLE_READOUT_SIZE 2\n" in header


@needs_compiler
def test_the_compiled_code_is_verified_with_the_other_forms(c_export: Path, rivc: Call) -> None:
    result = rivc("verify", c_export, "--states", 100, "--json")
    facts = json.loads(result.stdout)
    assert result.exit_code == 0
    assert facts["forms"]["c99"] == {"states": facts["golden_states"] + 100, "mismatches": 0}


@needs_compiler
def test_a_changed_weight_in_the_code_is_a_mismatch(c_export: Path, rivc: Call) -> None:
    code = c_export / "policy.c"
    head, weight, tail = re.split(r"(?<= = \{\n)(\d+)", code.read_text(), maxsplit=1)
    code.write_text(f"{head}{int(weight) ^ 1}{tail}")
    result = rivc("verify", c_export, "--states", 0)
    assert result.exit_code == 1
    assert re.match(r"rivc: c99 differs in \d+ of \d+ states; state \d+, readout", result.stderr)


@needs_compiler
def test_code_that_does_not_compile_is_refused_in_one_line(c_export: Path, rivc: Call) -> None:
    (c_export / "policy.c").write_text("int x")
    result = rivc("verify", c_export)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert "policy.c does not compile: " in line


def test_without_a_compiler_the_other_forms_are_verified(
    c_export: Path, rivc: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = rivc("verify", c_export, "--states", 0, "--json")
    assert result.exit_code == 0
    assert "c99" not in json.loads(result.stdout)["forms"]
    assert "warning: not every form is compared: no C compiler" in result.stderr


def test_onnx_is_verified_with_the_other_forms(trained: Path, tmp_path: Path, rivc: Call) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'rivc[onnx]'")
    folder = tmp_path / "onnx"
    assert rivc("export", trained, "--format", "onnx", "--out", folder).exit_code == 0
    facts = json.loads(rivc("verify", folder, "--states", 10, "--json").stdout)
    assert facts["forms"]["onnx"] == {"states": facts["golden_states"] + 10, "mismatches": 0}


def test_a_compressed_program_tells_its_bits_a_weight_and_is_verified(
    trained: Path, tmp_path: Path, rivc: Call
) -> None:
    out = tmp_path / "small"
    result = rivc("export", trained, "--compress", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert re.search(r"weights, \d\.\d{3} bits each \(entropy \d\.\d{3}\)", result.stdout)
    facts = json.loads(rivc("verify", out, "--states", 20, "--json").stdout)
    assert facts["forms"]["compressed"]["mismatches"] == 0
