"""Exports from elsewhere: a typed error or a whole export, whatever the folder holds."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.neurochip.export import (
    Export,
    ExportOptions,
    Golden,
    export_program,
    load_compressed,
    load_export,
)
from rivc.snn_convert import SpikingProgram
from tests.mutations import OF_ARCHIVES, OF_COMPRESSED, OF_JSON, load_damaged
from tests.programs import conv_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

FILES = {
    "program.npz": OF_ARCHIVES,
    "golden.npz": OF_ARCHIVES,
    "manifest.json": OF_JSON,
    "program.rvw": OF_COMPRESSED,
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "export"
    export_program(conv_program(), folder, options=ExportOptions(compress=True))
    load_compressed(folder / "program.rvw")  # compiles its loops, which no case is to wait for
    return folder


def fuzz(name: str, cases: Iterable[int], original: Path, folder: Path) -> int:
    """Damage one file of an export again and again; return how often that was noticed."""
    export = folder / "export"
    shutil.copytree(original, export)
    data, refused = (original / name).read_bytes(), 0
    for case in cases:
        rng = random.Random(f"{name} {case}")
        (export / name).write_bytes(rng.choice(FILES[name])(data, rng))
        loaded = load_damaged(lambda: LOADERS.get(name, load_export)(export))
        if loaded is None:
            refused += 1
        elif isinstance(loaded, SpikingProgram):
            assert loaded == conv_program(), case
        else:
            check_export(loaded, case)
    return refused


def load_compressed_program(export: Path) -> SpikingProgram:
    return load_compressed(export / "program.rvw")


LOADERS: dict[str, Callable[[Path], object]] = {"program.rvw": load_compressed_program}


def check_export(loaded: object, case: int) -> None:
    """What was loaded is whole, though its golden integers and its manifest may be others."""
    assert isinstance(loaded, Export), case
    assert loaded.program == conv_program(), case
    check_golden(loaded.golden, loaded.program)
    assert isinstance(loaded.manifest["format"], str), case
    assert isinstance(loaded.manifest["program_sha256"], str), case
    assert all(isinstance(file, str) for file in loaded.manifest["files"]), case


def check_golden(golden: Golden, program: SpikingProgram) -> None:
    assert golden.inputs.dtype == np.uint8
    assert golden.readout.dtype == np.int64
    assert golden.inputs.shape == (len(golden.inputs), *program.encoding.shape)
    assert golden.readout.shape == (len(golden.inputs), *program.action_layout)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_an_export_is_told_in_one_line(
    name: str, original: Path, tmp_path: Path
) -> None:
    assert fuzz(name, range(100), original, tmp_path) > 40


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_ten_thousand_damaged_files_of_an_export_are_told_in_one_line(
    name: str, original: Path, tmp_path: Path
) -> None:
    assert fuzz(name, range(100, 10_100), original, tmp_path) > 4_000


def test_a_manifest_larger_than_any_is_refused_without_reading_it(
    original: Path, tmp_path: Path
) -> None:
    export = tmp_path / "export"
    shutil.copytree(original, export)
    with (export / "manifest.json").open("wb") as file:
        file.truncate(1 << 34)
    assert load_damaged(lambda: load_export(export)) is None
