"""A compressed program is the program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings

from rivc.errors import DamagedFileError, MismatchError, UsageError
from rivc.neurochip.export import (
    ExportOptions,
    compressed,
    export_program,
    load_compressed,
    load_export,
    load_verified,
    save_compressed,
)
from rivc.snn_convert import storage
from tests.mutations import compressed_header, load_damaged, with_compressed_header
from tests.programs import conv_program, dense_program
from tests.strategies import programs

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.snn_convert import SpikingProgram


@settings(max_examples=50, deadline=None)
@given(program=programs())
def test_every_program_comes_back(
    program: SpikingProgram, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "program.rvw"
    found = save_compressed(program, path)
    assert load_compressed(path) == program
    assert found.file_bytes == path.stat().st_size
    assert found.weights == sum(layer.weight.size for layer in program.layers)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.rvw"
    save_compressed(conv_program(), path)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for cut in rng.integers(0, len(data), 50):
        path.write_bytes(data[:cut])
        with pytest.raises(DamagedFileError):
            load_compressed(path)
    for at, bit in zip(rng.integers(0, len(data), 300), rng.integers(0, 8, 300), strict=True):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        try:  # spaces of the header say nothing
            assert load_compressed(path) == conv_program()
        except DamagedFileError:
            continue
    path.write_bytes(data + b"\0")
    with pytest.raises(DamagedFileError, match="after the last layer"):
        load_compressed(path)


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ([[1 << 14, 1 << 13]], "nothing where weights of shape"),
        ([[1 << 14, 1 << 14], [1, 1]], "268,435,457 weights, at most 268,435,456"),
        ([[1, 1]] * 257, "257 layers, at most 256"),
        ([[-1 << 20, -1 << 20]], "an array of shape"),
        ([[1] * 1000], "an array of shape"),
    ],
)
def test_what_a_header_alone_declares_is_refused_before_it_is_made(
    shapes: list[list[int]], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "program.rvw"
    save_compressed(conv_program(), path)
    header, _ = compressed_header(path.read_bytes())
    layer = header["layers"][0] | {"bias": [0], "threshold": [0]}
    header["layers"] = [layer | {"weight": shape} for shape in shapes]
    path.write_bytes(with_compressed_header(header, bytes(4 * len(shapes))))
    assert load_damaged(lambda: load_compressed(path)) is None
    with pytest.raises(DamagedFileError, match=says):
        load_compressed(path)


def test_a_header_that_takes_too_much_memory_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_compressed(conv_program(), tmp_path / "program.rvw")
    monkeypatch.setattr(storage, "MAX_HEADER", 100)
    monkeypatch.setattr(storage.json, "loads", None)
    with pytest.raises(DamagedFileError, match="its header has more than 100 bytes"):
        load_compressed(tmp_path / "program.rvw")


def test_a_program_that_would_not_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = save_compressed(conv_program(), tmp_path / "program.rvw")
    monkeypatch.setattr(compressed, "MAX_BYTES", max(found.weights, found.file_bytes) - 1)
    with pytest.raises(UsageError, match="would hold more than"):
        save_compressed(conv_program(), tmp_path / "other.rvw")


def test_another_program_in_its_place_is_told(tmp_path: Path) -> None:
    export_program(dense_program(0), tmp_path / "x", options=ExportOptions(compress=True))
    load_verified(tmp_path / "x")
    save_compressed(dense_program(1), tmp_path / "x" / "program.rvw")
    with pytest.raises(MismatchError, match="compressed differs from its golden vectors"):
        load_verified(tmp_path / "x")


def test_an_export_holds_it_and_verifies_it(tmp_path: Path) -> None:
    program = conv_program()
    export_program(program, tmp_path / "x", options=ExportOptions(compress=True))
    export = load_export(tmp_path / "x")
    assert "program.rvw" in export.manifest["files"]
    json.dumps(export.manifest["compression"])
    form = export.forms(tmp_path)["compressed"]
    np.testing.assert_array_equal(form(export.golden.inputs), export.golden.readout)
    assert "compressed" not in export_program(program, tmp_path / "y").forms(tmp_path)
