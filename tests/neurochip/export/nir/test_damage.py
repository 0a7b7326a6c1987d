"""Files from elsewhere: a typed error each time, no crash, no hang, no other file touched."""

from __future__ import annotations

import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from rivc.errors import DamagedFileError, MismatchError
from rivc.neurochip.export import nir
from rivc.neurochip.export.nir import hdf5, reader
from rivc.neurochip.export.nir.nodes import square_window
from tests.programs import conv_program, dense_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Vandal = Callable[[h5py.File], Any]


def damaged(path: Path, vandal: Vandal, why: str = "") -> None:
    """Change a file and see that it is refused, in this process: nothing here harms HDF5."""
    with h5py.File(path, "r+") as file:
        vandal(file)
    with pytest.raises(DamagedFileError, match=rf"model.*\.nir.*{why}"):
        reader.make_form(hdf5.read(path), path.name)


def put(name: str, value: Any, **options: Any) -> Vandal:
    def vandal(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=value, **options)

    return vandal


def compressed(file: h5py.File) -> None:
    put("node/nodes/layer0_weights/weight", np.zeros((99, 99)), compression="gzip")(file)


def unwritten(file: h5py.File) -> None:
    del file["node/nodes/layer0_weights/weight"]
    file.create_dataset("node/nodes/layer0_weights/weight", (1 << 12, 1 << 10), np.float32)


def in_another_file(file: h5py.File) -> None:
    del file["node/nodes/layer0_weights/weight"]
    link = h5py.ExternalLink("/etc/passwd", "/weight")
    file["node/nodes/layer0_weights/weight"] = link


def stored_outside(file: h5py.File) -> None:
    del file["node/nodes/layer0_weights/bias"]
    place = [("/etc/passwd", 0, 20)]
    file.create_dataset("node/nodes/layer0_weights/bias", (5,), np.float32, external=place)


def linked(file: h5py.File) -> None:
    file["node/nodes/again"] = h5py.SoftLink("/node/nodes/layer0_weights")


def circular(file: h5py.File) -> None:
    file["node/nodes/layer0_weights/metadata"] = file["node"]


def without_type(file: h5py.File) -> None:
    del file["node/nodes/layer0_weights/type"]


HARMS: dict[str, tuple[Vandal, str]] = {
    "compressed": (compressed, "compressed or elsewhere"),
    "unwritten": (unwritten, "claims to hold more"),
    "in another file": (in_another_file, "link to somewhere else"),
    "stored outside": (stored_outside, "compressed or elsewhere"),
    "linked": (linked, "link to somewhere else"),
    "circular": (circular, "nested too deeply"),
    "without type": (without_type, "type"),
    "another type": (put("node/nodes/layer0_weights/type", "LIF"), "not a graph of rivc"),
    "no integers": (put("node/nodes/layer0_weights/bias", np.full(5, 0.5)), "not made of integers"),
    "not finite": (
        put("node/nodes/layer0_neurons/v_threshold", np.full(5, np.nan)),
        "not what its neighbours",
    ),
    "other shapes": (
        put("node/nodes/layer0_weights/weight", np.zeros((5, 7))),
        "not what its neighbours",
    ),
    "complex": (
        put("node/nodes/layer0_weights/weight", np.zeros((5, 6), complex)),
        "of type complex",
    ),
    "an empty array": (put("node/nodes/layer0_weights/weight", h5py.Empty("f4")), "no array"),
    "a loop": (
        put("node/edges", [["input", "layer0_weights"], ["layer0_weights", "input"]]),
        "not one chain",
    ),
    "other edges": (put("node/edges", np.zeros((3, 2))), ""),
    "no layout": (put("node/metadata/action_layout", np.array([0, 6])), "actions"),
    "another form": (put("node/metadata/form", "ternary"), "ternary"),
    "wide inputs": (put("node/metadata/input_bit_width", 40), "an input of 40 bits"),
    "no input": (put("node/metadata/input_bit_width", 0), "an input of 0 bits"),
}


@pytest.mark.parametrize(("vandal", "why"), HARMS.values(), ids=HARMS)
@pytest.mark.parametrize("file", ["model.nir", "model_compact.nir"])
def test_what_is_not_a_plain_graph_is_refused(
    file: str, vandal: Vandal, why: str, tmp_path: Path
) -> None:
    nir.write(dense_program(), tmp_path)
    damaged(tmp_path / file, vandal, why)


def of_neurons(name: str, value: Any) -> Vandal:
    return put(f"node/nodes/layer0_neurons/metadata/{name}", value)


@pytest.mark.parametrize("name", ["r", "v_threshold", "v_reset"])
def test_neurons_that_lack_a_number_are_refused(name: str, tmp_path: Path) -> None:
    nir.write(dense_program(), tmp_path)

    def lose(file: h5py.File) -> None:
        of_neurons("reset", "to v_reset")(file)
        del file[f"node/nodes/layer0_neurons/{name}"]

    damaged(tmp_path / "model_compact.nir", lose)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ticks", 1 << 40),
        ("ticks", 0),
        ("phase", -1),
        ("reset", "none"),
        ("comparator", "<"),
        ("initial_membrane", np.full(5, np.inf)),
        ("initial_membrane", np.zeros(4)),
    ],
)
def test_neurons_that_nothing_can_run_are_refused(name: str, value: Any, tmp_path: Path) -> None:
    nir.write(dense_program(), tmp_path)
    damaged(tmp_path / "model_compact.nir", of_neurons(name, value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("padding", np.array([1 << 40, 0])),
        ("padding", np.array([3000, 3000])),
        ("padding", np.array([-1, 0])),
        ("stride", np.array([0, 1])),
        ("dilation", np.array([1 << 40, 1])),
        ("groups", 2),
        ("stride", np.array([1, 1, 1])),
    ],
)
def test_a_convolution_of_any_size_is_refused(name: str, value: Any, tmp_path: Path) -> None:
    nir.write(conv_program(), tmp_path)
    damaged(tmp_path / "model.nir", put(f"node/nodes/layer0_weights/{name}", value))


def test_zeros_around_a_picture_count_in_what_is_held_at_once(tmp_path: Path) -> None:
    """A larger stride leaves as many windows, so that the neighbours fit."""
    program, zeros = conv_program(), 200
    nir.write(program, tmp_path)
    path, layer = tmp_path / "model_compact.nir", program.layers[0]
    window = square_window(layer, program.shapes[0])
    room = np.array(window.size) + 2 * zeros - window.side
    stride = room // (np.array(program.shapes[1][:2]) - 1)
    with h5py.File(path, "r+") as file:
        put("node/nodes/layer0_weights/padding", np.array([zeros, zeros]))(file)
        put("node/nodes/layer0_weights/stride", stride)(file)
    form = reader.make_form(hdf5.read(path), path.name)
    tracemalloc.start()
    form(np.zeros((64, *program.encoding.shape), np.uint8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 8 * reader.VALUES_AT_ONCE


def test_one_long_text_does_not_make_all_others_as_long(tmp_path: Path) -> None:
    nir.write(dense_program(), tmp_path)
    path = tmp_path / "model.nir"
    texts = np.array(["x" * 200_000, *[""] * 999], object)
    with h5py.File(path, "r+") as file:
        file.create_dataset("node/texts", data=texts, dtype=h5py.string_dtype())
    tracemalloc.start()
    with pytest.raises(DamagedFileError, match="claims to hold more"):
        hdf5.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_more_entries_than_a_graph_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nir.write(dense_program(), tmp_path)
    monkeypatch.setattr(hdf5, "MAX_ENTRIES", 20)
    with pytest.raises(DamagedFileError, match="claims to hold more"):
        hdf5.read(tmp_path / "model.nir")


@pytest.mark.parametrize("count", [4, pytest.param(300, marks=pytest.mark.slow)])
def test_changed_bytes_give_a_form_or_a_typed_error(
    count: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    program = dense_program()
    nir.write(program, tmp_path)
    whole = {file: (tmp_path / file).read_bytes() for file in nir.FORMS.values()}
    for _ in range(count):
        path = tmp_path / rng.choice(list(whole))
        path.write_bytes(changed(whole[path.name], rng))
        try:
            form = reader.make_form(hdf5.read_apart(path, seconds=1), path.name)
            readout = form(np.zeros((2, 6), np.uint8))
        except (DamagedFileError, MismatchError):
            continue
        assert readout.dtype == np.int64


def changed(content: bytes, rng: np.random.Generator) -> bytes:
    """Return it with a few other bytes, most of them where HDF5 keeps its structure, or cut."""
    if rng.random() < 0.1:
        return content[: rng.integers(len(content))]
    others = bytearray(content)
    for place in rng.integers(rng.choice([6000, len(others)]), size=rng.integers(1, 5)):
        others[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)])
    return bytes(others)


def test_a_file_on_which_hdf5_never_returns_is_damaged(tmp_path: Path) -> None:
    nir.write(dense_program(), tmp_path)
    path = tmp_path / "model.nir"
    content = bytearray(path.read_bytes())
    size_of_a_text = content.find(b"GCOL") + 24
    content[size_of_a_text : size_of_a_text + 8] = struct.pack("<q", -16)
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"model\.nir stops the HDF5 library"):
        hdf5.read_apart(path, seconds=1)


@pytest.mark.parametrize("value", [1e30, 1e300])
def test_a_readout_that_is_no_integer_any_more_is_a_mismatch(value: float, tmp_path: Path) -> None:
    nir.write(dense_program(), tmp_path)
    path = tmp_path / "model.nir"
    with h5py.File(path, "r+") as file:
        put("node/nodes/layer0_weights/weight", np.full((5, 6), value))(file)
        put("node/nodes/layer1_readout/weight", np.full((6, 5), value))(file)
    form = reader.make_form(hdf5.read(path), path.name)
    with pytest.raises(MismatchError, match="beyond the integers"):
        form(np.ones((2, 6), np.uint8))


def test_other_kinds_of_file_are_damaged(tmp_path: Path) -> None:
    nir.write(dense_program(), tmp_path)
    (tmp_path / "model.nir").write_bytes(b"not a graph")
    with pytest.raises(DamagedFileError, match=r"model\.nir is not a NIR graph"):
        nir.read_back(tmp_path)


def test_a_file_that_is_gone_is_damage(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"model_compact\.nir is gone"):
        nir.read_back(tmp_path)
