"""The format `akida`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.errors import ChipLimitError, DamagedFileError, MissingError
from rivc.nets import build_network
from rivc.neurochip.compare import compare_all
from rivc.neurochip.export import export_program, load_export
from rivc.snn_convert import SpikingProgram, convert

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def program(profile: str, kind: str = "mlp") -> SpikingProgram:
    shape = {"mlp": (4,), "conv": (9, 8, 3)}[kind]
    conv = {"mlp": (), "conv": ((4, 3, 2),)}[kind]
    net = build_network(
        kind, input_shape=shape, action_layout=(2, 3), conv=conv, hidden=(8,), profile=profile
    )
    return convert(net)


def test_without_the_package_the_command_that_installs_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rivc.neurochip.registry.find_spec", lambda _: None)
    with pytest.raises(MissingError, match=r"pip install 'rivc\[akida\]'"):
        export_program(program("akida1"), tmp_path / "x", format="akida")
    assert not (tmp_path / "x").exists()


class TestWithThePackage:
    @pytest.fixture(autouse=True)
    def _package(self) -> None:
        pytest.importorskip("akida", reason="pip install 'rivc[akida]'")

    @pytest.mark.parametrize("kind", ["mlp", "conv"])
    @pytest.mark.parametrize("profile", ["akida1", "akida2"])
    def test_the_files_compute_the_golden_readout(
        self, profile: str, kind: str, tmp_path: Path
    ) -> None:
        export_program(program(profile, kind), tmp_path / "x", format="akida")
        export = load_export(tmp_path / "x")
        assert {"model.fbz", "host.json"} <= set(export.manifest["files"])
        forms = export.forms(tmp_path)
        results = compare_all(forms, export.golden.inputs, export.golden.readout)
        assert [r.mismatches for r in results.values()] == [0]

    def test_the_files_alone_are_compared_not_the_program(self, tmp_path: Path) -> None:
        export_program(program("akida1"), tmp_path / "x", format="akida")
        export = load_export(tmp_path / "x")
        host = json.loads((tmp_path / "x" / "host.json").read_text())
        host["readout_bias"][0] += 1
        (tmp_path / "x" / "host.json").write_text(json.dumps(host))
        (form,) = export.forms(tmp_path).values()
        off = form(export.golden.inputs) - export.golden.readout
        np.testing.assert_array_equal(off.reshape(len(off), -1).sum(1), 1)

    def test_a_program_of_another_arithmetic_is_refused_with_the_way_out(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(ChipLimitError, match=r"'ideal'.*quant.profile akida1, akida2"):
            export_program(program("ideal"), tmp_path / "x", format="akida")

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda folder: (folder / "model.fbz").unlink(),
            lambda folder: (folder / "model.fbz").write_bytes(b"no model"),
            lambda folder: (folder / "host.json").unlink(),
            lambda folder: (folder / "host.json").write_text("[" * 100_000),
            lambda folder: (folder / "host.json").write_text("{}"),
            lambda folder: (folder / "host.json").write_text("[1]"),
        ],
        ids=["no model", "bytes", "no host", "nested", "empty", "list"],
    )
    def test_a_damaged_file_is_told(self, spoil: Callable[[Path], object], tmp_path: Path) -> None:
        export_program(program("akida1"), tmp_path / "x", format="akida")
        spoil(tmp_path / "x")
        with pytest.raises(DamagedFileError, match=r"model\.fbz|host\.json"):
            load_export(tmp_path / "x").forms(tmp_path)
