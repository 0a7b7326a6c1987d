"""Files that somebody damaged or made up are told for what they are, with little work."""

from __future__ import annotations

import io
import math
import pickle
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.errors import DamagedFileError, UsageError
from rivc.neurochip import load_backend
from rivc.snn_convert import SpikingProgram, reference, storage
from rivc.snn_convert.storage import HEADER, UNREADABLE
from tests.mutations import (
    OF_ARCHIVES,
    archive_of,
    damage_tree,
    header_of,
    load_damaged,
    members_of,
    npy,
    with_header,
)
from tests.programs import conv_program, dense_program

if TYPE_CHECKING:
    from collections.abc import Callable


def load_bytes(data: bytes, folder: Path) -> SpikingProgram:
    path = folder / "candidate.npz"
    path.write_bytes(data)
    return SpikingProgram.load(path)


def test_a_header_that_takes_too_much_memory_is_not_parsed(
    program_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "MAX_HEADER", 100)
    with pytest.raises(DamagedFileError, match="its header has more than 100 bytes"):
        SpikingProgram.load(program_file)
    with pytest.raises(UsageError, match="its header has more than 100 bytes"):
        conv_program().save(tmp_path / "other.npz")


def test_members_that_no_program_has_are_counted_not_read(
    program_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "MAX_MEMBERS", 3)
    with pytest.raises(DamagedFileError, match="more than 3 members"):
        SpikingProgram.load(program_file)


def test_a_directory_that_a_record_of_64_bits_describes_is_not_read(
    program_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = program_file.read_bytes()
    members, size, place = struct.unpack("<8xH2xII", data[-22:-2])[0:3]
    wide = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, members, members, size, place)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(data) - 22, 1)
    program_file.write_bytes(data[:-22] + wide + locator + data[-22:])
    with zipfile.ZipFile(program_file) as archive:
        assert len(archive.infolist()) == members  # for others it is an archive
    monkeypatch.setattr(storage.zipfile, "ZipFile", None)
    with pytest.raises(DamagedFileError, match="more than 769 members"):
        SpikingProgram.load(program_file)


def test_a_directory_larger_than_any_program_has_is_not_read(
    program_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "MAX_DIRECTORY", 100)
    monkeypatch.setattr(storage.zipfile, "ZipFile", None)  # not even opened
    with pytest.raises(DamagedFileError, match="more than 769 members"):
        SpikingProgram.load(program_file)


@pytest.mark.parametrize("keep", [0, 1, 21, 22, 100, 0.5, -1, -22, -60])
def test_a_truncated_file_is_damaged(program_file: Path, keep: float) -> None:
    data = program_file.read_bytes()
    cut = int(len(data) * keep) if isinstance(keep, float) else keep
    with pytest.raises(DamagedFileError, match=r"candidate\.npz"):
        load_bytes(data[:cut], program_file.parent)


@pytest.mark.parametrize(
    "data",
    [
        b"not a zip",
        archive_of({}),
        archive_of({"readme.txt": b"hello"}),
        archive_of({"x.npy": npy(np.zeros(3))}),
        archive_of({f"{HEADER}.npy": npy(np.zeros(3, np.uint8))}),
        archive_of({f"{HEADER}.npy": npy(np.frombuffer(b"[" * 100_000, np.uint8))}),
        archive_of({f"{HEADER}.npy": npy(np.frombuffer(b"null", np.uint8))}),
        pickle.dumps({"a": 1}),
    ],
    ids=["text", "empty", "readme", "array", "zeros", "deep", "null", "pickle"],
)
def test_a_foreign_file_is_damaged(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"candidate\.npz"):
        load_bytes(data, tmp_path)


def test_one_altered_integer_breaks_the_hash(program_file: Path) -> None:
    members = members_of(program_file.read_bytes())
    bias = np.load(io.BytesIO(members["layer0.bias.npy"])) + np.int32(1)
    altered = archive_of(members | {"layer0.bias.npy": npy(bias)})
    with pytest.raises(DamagedFileError, match="altered"):
        load_bytes(altered, program_file.parent)


def test_one_altered_number_of_the_header_breaks_the_hash(program_file: Path) -> None:
    members = members_of(program_file.read_bytes())
    header = header_of(members)
    header["layers"][0]["levels"] = 7
    with pytest.raises(DamagedFileError, match="altered"):
        load_bytes(archive_of(with_header(members, header)), program_file.parent)


def test_a_later_format_is_refused_by_its_number(program_file: Path) -> None:
    members = members_of(program_file.read_bytes())
    header = header_of(members) | {"format_version": 99}
    with pytest.raises(DamagedFileError, match="format version 99"):
        load_bytes(archive_of(with_header(members, header)), program_file.parent)


class Trap:
    """Unpickling this would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.mark,)


def test_an_array_of_objects_is_refused_and_never_unpickled(program_file: Path) -> None:
    mark = program_file.parent / "unpickled"
    members = members_of(program_file.read_bytes())
    array = np.array([Trap(mark)], object)
    members["layer0.bias.npy"] = npy(array, allow_pickle=True)
    with pytest.raises(DamagedFileError, match=r"candidate\.npz"):
        load_bytes(archive_of(members), program_file.parent)
    assert not mark.exists()


def peak_of_refusing(data: bytes, folder: Path) -> int:
    """Most bytes that were allocated while a file was refused."""
    path = folder / "candidate.npz"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError):
            SpikingProgram.load(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stride", -1),
        ("kernel", 10**30),
        ("padding", [10**9, 10**9, 10**9, 10**9]),
        ("levels", 10**400),
        ("weight_bits", 10**9),
        ("frac_bits", 10**9),
    ],
)
@pytest.mark.parametrize("i", [0, 1])
def test_absurd_sizes_in_a_layer_are_refused_with_little_work(
    program_file: Path, i: int, key: str, value: object
) -> None:
    members = members_of(program_file.read_bytes())
    header = header_of(members)
    header["layers"][i][key] = value
    data = archive_of(with_header(members, header))
    assert peak_of_refusing(data, program_file.parent) < 1 << 22


@pytest.mark.parametrize("shape", [[10**9] * 3, [2**63] * 3, [1, 1, 2**40], [10**400, 1, 1], [-7]])
def test_absurd_inputs_are_refused_with_little_work(program_file: Path, shape: list[int]) -> None:
    members = members_of(program_file.read_bytes())
    header = header_of(members)
    header["encoding"]["shape"] = shape
    data = archive_of(with_header(members, header))
    assert peak_of_refusing(data, program_file.parent) < 1 << 22


def test_a_huge_array_that_is_not_there_is_refused_with_little_work(program_file: Path) -> None:
    members = members_of(program_file.read_bytes())
    header = b"{'descr': '|i1', 'fortran_order': False, 'shape': (1073741824, 64), }\n"
    fake = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    data = archive_of(members | {"layer0.weight.npy": fake})
    assert peak_of_refusing(data, program_file.parent) < 1 << 22


def test_an_archive_that_unpacks_to_far_more_is_refused_with_little_work(
    program_file: Path,
) -> None:
    members = members_of(program_file.read_bytes())
    bomb = archive_of(members | {"bomb.npy": bytes(1 << 26)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 18
    assert peak_of_refusing(bomb, program_file.parent) < 1 << 22


def test_an_archive_that_lies_about_what_it_unpacks_to_is_refused_with_little_work(
    program_file: Path,
) -> None:
    members = members_of(program_file.read_bytes())
    bomb = bytearray(archive_of({"bomb.npy": bytes(1 << 26), **members}, zipfile.ZIP_DEFLATED))
    size = (1 << 26).to_bytes(4, "little")
    assert bomb.count(size) == 2
    bomb = bytearray(bytes(bomb).replace(size, (64).to_bytes(4, "little")))
    assert peak_of_refusing(bytes(bomb), program_file.parent) < 1 << 22


def test_a_file_larger_than_any_program_is_refused(
    program_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = program_file.stat().st_size
    monkeypatch.setattr(storage, "MAX_BYTES", size)
    SpikingProgram.load(program_file)
    monkeypatch.setattr(storage, "MAX_BYTES", size - 1)
    with pytest.raises(DamagedFileError, match=f"more than {size - 1} bytes"):
        SpikingProgram.load(program_file)


def test_a_member_that_claims_more_bytes_than_the_file_has_is_refused_with_little_work(
    program_file: Path,
) -> None:
    data = bytearray(program_file.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 20 : entry + 24] = (1 << 30).to_bytes(4, "little")
    assert peak_of_refusing(bytes(data), program_file.parent) < 1 << 22


def test_members_that_share_their_bytes_are_refused(
    program_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file can list the same large member many times."""
    size = program_file.stat().st_size
    data = program_file.read_bytes()
    entry = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    first = data[entry : data.index(b"PK\x01\x02", entry + 4)]
    count = int.from_bytes(data[end + 10 : end + 12], "little")
    listing = data[entry:end] + first * 99
    tail = bytearray(data[end:])
    tail[8:12] = (count + 99).to_bytes(2, "little") * 2
    tail[12:16] = len(listing).to_bytes(4, "little")
    monkeypatch.setattr(storage, "MAX_BYTES", 4 * size)
    with pytest.raises(DamagedFileError, match="unpacks to more"):
        load_bytes(data[:entry] + listing + bytes(tail), program_file.parent)


def test_an_encrypted_member_is_refused(program_file: Path) -> None:
    data = bytearray(program_file.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    data[data.index(b"PK\x03\x04") + 6] |= 1
    with pytest.raises(DamagedFileError):
        load_bytes(bytes(data), program_file.parent)


def fuzz(cases: range, folder: Path) -> None:
    """Each mutated file is damaged or an equal program: no other error, no hang, little memory."""
    originals = [dense_program(), conv_program()]
    saved = []
    for program in originals:
        program.save(folder / "original.npz")
        saved.append((folder / "original.npz").read_bytes())
    path, refused = folder / "mutated.npz", 0
    for case in cases:
        rng, which = random.Random(case), case % 2
        path.write_bytes(rng.choice(OF_ARCHIVES)(saved[which], rng))
        loaded = load_damaged(lambda: SpikingProgram.load(path))
        assert loaded is None or loaded == originals[which], case
        refused += loaded is None
    assert refused > len(cases) / 2


def test_a_mutated_file_is_damaged_or_the_same_program(tmp_path: Path) -> None:
    fuzz(range(300), tmp_path)


@pytest.mark.slow
def test_ten_thousand_mutated_files_are_damaged_or_the_same_program(tmp_path: Path) -> None:
    fuzz(range(300, 10_300), tmp_path)


def fuzz_sealed(cases: range, folder: Path) -> None:
    """Numbers are changed and the hash is made to fit: what loads is a program that chips take."""
    path, sealed = folder / "sealed.npz", 0
    conv_program().save(path)
    members = members_of(path.read_bytes())
    chip = load_backend("emulator")
    for case in cases:
        rng = random.Random(case)
        header = header_of(members)
        for _ in range(rng.choice([1, 2])):
            damage_tree(header, rng)
        try:
            program, _ = storage.parse_program(_arrays(with_header(members, header)))
        except UNREADABLE:
            continue
        sealed += 1
        header["sha256"] = program.sha256
        path.write_bytes(archive_of(with_header(members, header)))
        loaded = load_damaged(lambda: SpikingProgram.load(path))
        assert loaded == program, case
        if not chip.check(loaded) and math.prod(loaded.encoding.shape) < 1 << 16:
            chip.load(loaded)
            x = np.ones((2, *loaded.encoding.shape), np.uint8)
            assert np.array_equal(chip.infer(x).readout, reference.run(loaded, x)), case
    assert sealed > len(cases) / 50


def _arrays(members: dict[str, bytes]) -> dict[str, np.ndarray]:
    return {name.removesuffix(".npy"): np.load(io.BytesIO(x)) for name, x in members.items()}


def test_a_mutated_header_with_the_right_hash_is_a_program(tmp_path: Path) -> None:
    fuzz_sealed(range(300), tmp_path)
