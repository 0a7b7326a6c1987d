"""The exported folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.errors import ChipLimitError, DamagedFileError, MissingError, UsageError
from rivc.nets import build_network
from rivc.neurochip.export import (
    FORMATS,
    ExportOptions,
    Format,
    export_program,
    is_export,
    load_export,
)
from rivc.snn_convert import SpikingProgram, convert

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def program() -> SpikingProgram:
    return convert(build_network("mlp", input_shape=(4,), action_layout=(1, 2), hidden=(8,)))


def test_what_was_exported_is_loaded(program: SpikingProgram, tmp_path: Path) -> None:
    written = export_program(program, tmp_path / "a" / "b", origin={"env_id": "CartPole-v1"})
    read = load_export(tmp_path / "a" / "b")
    assert read.program.sha256 == program.sha256
    assert read.manifest == written.manifest
    assert read.manifest["origin"] == {"env_id": "CartPole-v1"}
    np.testing.assert_array_equal(read.golden.inputs, written.golden.inputs)
    np.testing.assert_array_equal(read.golden.readout, written.golden.readout)


def test_equal_programs_give_equal_files(program: SpikingProgram, tmp_path: Path) -> None:
    for name in ("one", "other"):
        export_program(program, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


def test_the_manifest_names_every_other_file(program: SpikingProgram, tmp_path: Path) -> None:
    export_program(program, tmp_path / "x")
    manifest = json.loads((tmp_path / "x" / "manifest.json").read_text())
    found = {path.name for path in (tmp_path / "x").iterdir()}
    assert found == {"manifest.json", *manifest["files"]}


def test_an_empty_folder_is_filled(program: SpikingProgram, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    export_program(program, tmp_path / "x")
    assert is_export(tmp_path / "x")


def test_the_present_folder_may_be_exported_into(
    program: SpikingProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "x")
        export_program(program, ".")
    assert is_export(tmp_path / "x")


def test_other_files_are_never_replaced(program: SpikingProgram, tmp_path: Path) -> None:
    export_program(program, tmp_path / "x")
    (tmp_path / "x" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        export_program(program, tmp_path / "x")


def test_a_format_that_fails_leaves_nothing(
    program: SpikingProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ChipLimitError("too large")

    monkeypatch.setitem(FORMATS, "broken", Format("broken", "", fail, lambda *_: {}))
    with pytest.raises(ChipLimitError, match="too large"):
        export_program(program, tmp_path / "x", format="broken")
    assert list(tmp_path.iterdir()) == []


def test_a_format_writes_with_its_options_beside_the_program(
    program: SpikingProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: SpikingProgram, folder: Path, options: ExportOptions) -> None:
        (folder / f"{options.prefix}.c").write_text("int x;")

    monkeypatch.setitem(FORMATS, "c", Format("c", "", write, lambda *_: {}))
    options = ExportOptions(prefix="left_arm")
    export = export_program(program, tmp_path / "x", format="c", options=options)
    assert export.manifest["files"] == ["golden.npz", "left_arm.c", "program.npz"]


def test_a_run_folder_is_not_an_export(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"program_sha256": "0"}')
    assert not is_export(tmp_path)
    with pytest.raises(MissingError, match="no export"):
        load_export(tmp_path)


@pytest.mark.parametrize("files", [1, True, None, "golden.npz", {"a": 1}, [1]])
def test_files_that_are_no_list_of_names_are_refused(
    files: object, program: SpikingProgram, tmp_path: Path
) -> None:
    export_program(program, tmp_path / "x")
    path = tmp_path / "x" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))
    with pytest.raises(DamagedFileError, match="does not name format, program and files"):
        load_export(tmp_path / "x")


@pytest.mark.parametrize("name", ["gone.c", "x" * 1000, "a\0b"])
def test_a_file_that_is_gone_is_told_whatever_its_name(
    name: str, program: SpikingProgram, tmp_path: Path
) -> None:
    export_program(program, tmp_path / "x")
    path = tmp_path / "x" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": [name]}))
    with pytest.raises(DamagedFileError, match="is gone") as told:
        load_export(tmp_path / "x")
    assert len(str(told.value)) < 1000


def test_vectors_of_another_program_are_refused(program: SpikingProgram, tmp_path: Path) -> None:
    export_program(program, tmp_path / "x")
    np.savez(
        tmp_path / "x" / "golden.npz",
        inputs=np.zeros((3, 5), np.uint8),
        readout=np.zeros((3, 1, 2), np.int64),
    )
    with pytest.raises(DamagedFileError, match="does not hold golden vectors"):
        load_export(tmp_path / "x")


def test_vectors_without_rows_are_refused(program: SpikingProgram, tmp_path: Path) -> None:
    export_program(program, tmp_path / "x")
    np.savez(
        tmp_path / "x" / "golden.npz",
        inputs=np.zeros((0, 4), np.uint8),
        readout=np.zeros((0, 1, 2), np.int64),
    )
    with pytest.raises(DamagedFileError, match="does not hold golden vectors"):
        load_export(tmp_path / "x")
