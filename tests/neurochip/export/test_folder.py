"""The exported folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
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
    load_golden,
    make_golden,
    save_golden,
)
from rivc.neurochip.export import golden as golden_module
from rivc.snn_convert import SpikingProgram, convert, storage
from tests.programs import conv_program

if TYPE_CHECKING:
    from rivc.neurochip.export import Golden


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


def test_an_export_that_cannot_be_put_in_place_leaves_the_earlier_one(
    program: SpikingProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_program(program, tmp_path / "x", origin={"name": "earlier"})
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name.endswith(".part"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(UsageError, match="No space left"):
        export_program(program, tmp_path / "x")
    assert load_export(tmp_path / "x").manifest["origin"] == {"name": "earlier"}
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_earlier_export_that_cannot_be_removed_is_no_failure(
    program: SpikingProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_program(program, tmp_path / "x", origin={"name": "earlier"})
    rmtree = shutil.rmtree

    def fail(path: Path, ignore_errors: bool = False) -> None:
        if path.name.endswith(".old") and not ignore_errors:
            raise OSError(39, "Directory not empty")
        rmtree(path, ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", fail)
    export_program(program, tmp_path / "x", origin={"name": "later"})
    assert load_export(tmp_path / "x").manifest["origin"] == {"name": "later"}


def golden_of(program: SpikingProgram, monkeypatch: pytest.MonkeyPatch, most: int) -> Golden:
    """Golden vectors where files may have so many bytes."""
    for module in (storage, golden_module):
        monkeypatch.setattr(module, "MAX_BYTES", most)
    return make_golden(program)


def test_vectors_are_as_many_as_are_read_and_of_every_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = conv_program()  # 84 bytes of input, 4 integers
    whole = make_golden(program)
    most = golden_module.HEADERS + 20 * (84 + 4 * 8)
    golden = golden_of(program, monkeypatch, most)
    assert (len(golden.inputs), golden.kinds["random"]) == (20, 0)
    assert {kind: count > 0 for kind, count in golden.kinds.items() if kind != "random"} == {
        kind: count > 0 for kind, count in whole.kinds.items() if kind != "random"
    }
    save_golden(golden, tmp_path / "golden.npz")
    assert (load_golden(tmp_path / "golden.npz", program).readout == golden.readout).all()
    golden = golden_of(program, monkeypatch, most + 100 * (84 + 4 * 8))
    assert len(golden.inputs) == 120
    assert golden.kinds["random"] > 0


def test_more_vectors_than_are_read_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = make_golden(conv_program())
    monkeypatch.setattr(storage, "MAX_BYTES", 1 << 14)
    with pytest.raises(UsageError, match="more than 16384 bytes"):
        save_golden(golden, tmp_path / "golden.npz")
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
