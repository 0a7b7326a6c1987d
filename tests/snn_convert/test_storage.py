"""Files: what is saved comes back, and a write that fails leaves what was there."""

from __future__ import annotations

import io
import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings

from rivc.errors import MissingError, UsageError
from rivc.snn_convert import SpikingProgram, storage
from rivc.snn_convert.storage import HEADER, write_atomically
from tests.mutations import archive_of, members_of, npy
from tests.programs import conv_program, dense_program
from tests.strategies import programs

if TYPE_CHECKING:
    from pathlib import Path


@settings(max_examples=40)
@given(program=programs())
def test_what_is_saved_comes_back_with_the_same_hash(
    tmp_path_factory: pytest.TempPathFactory, program: SpikingProgram
) -> None:
    path = tmp_path_factory.mktemp("saved") / "program.npz"
    program.save(path)
    loaded = SpikingProgram.load(path)
    assert loaded == program
    assert loaded.sha256 == program.sha256
    assert loaded.encoding == program.encoding


def test_the_same_program_gives_the_same_file(tmp_path: Path) -> None:
    conv_program().save(tmp_path / "a.npz")
    time.sleep(0.01)
    conv_program().save(str(tmp_path / "b.npz"))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_file_of_a_big_endian_machine_is_the_same_program(program_file: Path) -> None:
    members = members_of(program_file.read_bytes())
    swapped = {
        name: data
        if name.startswith(HEADER)
        else npy((a := np.load(io.BytesIO(data))).astype(a.dtype.newbyteorder(">")))
        for name, data in members.items()
    }
    assert swapped != members
    program_file.write_bytes(archive_of(swapped))
    assert SpikingProgram.load(program_file) == conv_program()


def test_numpy_reads_the_members_of_a_program_file(program_file: Path) -> None:
    with np.load(program_file, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["layer0.bias"], conv_program().layers[0].bias)


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no program at"):
        SpikingProgram.load(tmp_path / "none.npz")


def test_a_folder_that_cannot_be_written_is_the_user_s_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        dense_program().save(tmp_path / "no" / "such" / "program.npz")


def test_saving_leaves_nothing_but_the_file(tmp_path: Path) -> None:
    dense_program().save(tmp_path / "program.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["program.npz"]


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_program_that_would_not_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "program.npz"
    conv_program().save(path)
    monkeypatch.setattr(storage, "MAX_BYTES", path.stat().st_size)
    conv_program().save(path)
    assert SpikingProgram.load(path) == conv_program()
    monkeypatch.setattr(storage, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(UsageError, match="which rivc does not read"):
        conv_program().save(tmp_path / "other.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["program.npz"]
