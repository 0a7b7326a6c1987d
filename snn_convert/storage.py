"""Programs on disk: one ``.npz``, written whole or not at all, read with bounded work."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import numpy as np

from rivc.errors import DamagedFileError, MissingError, RivcError, UsageError
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert.program import FORMAT_VERSION, Layer, SpikingProgram
from rivc.snn_convert.validate import DTYPES, MAX_LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PROGRAM_FILE: Final = "program.npz"
HEADER: Final = "program.json"
MAX_BYTES: Final = 1 << 28
MAX_TEXT: Final = 1 << 20
MAX_HEADER: Final = 1 << 23  # of an archive: a vector of 150,000 features
MAX_MEMBERS: Final = 3 * MAX_LAYERS + 1
MAX_DIRECTORY: Final = 256 * MAX_MEMBERS
_END: Final = struct.Struct("<4s4H2IH")  # of an archive: counts, size and place of its directory
_LOCATOR: Final = 20  # bytes before it, of the place of a record of 64 bits
MAX_REASON: Final = 200
_NPY: Final = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<dtype>[<>|][iu][1248])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>[0-9, ]{0,99})\), \} *\n",
    re.DOTALL,
)
# What zipfile, numpy and our own checks raise for bytes that somebody else wrote. RuntimeError
# stands for deep nesting and encryption, ArithmeticError for numbers beyond 64 bits.
UNREADABLE: Final = (
    RivcError,
    zipfile.BadZipFile,
    struct.error,
    OSError,
    EOFError,
    MemoryError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
)


class Hashed(Protocol):
    """What knows the hash of its own content."""

    @property
    def sha256(self) -> str:
        """Of everything that decides what it means."""
        ...


class Headed(Hashed, Protocol):
    """What is arrays and a header, in JSON, that says everything else of it."""

    @property
    def header(self) -> bytes:
        """Canonical JSON with a ``format_version``, without the hash."""
        ...

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array by name, little-endian."""
        ...


HashedT = TypeVar("HashedT", bound=Hashed)


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a part.

    Raises:
        UsageError: if the folder cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        msg = f"cannot write {path}: {error.strerror}"
        raise UsageError(msg) from error


def save_program(program: SpikingProgram, path: str | Path) -> None:
    """Write a program to one ``.npz`` file."""
    members: dict[str, Any] = {HEADER: np.frombuffer(header_text(program), np.uint8)}
    if members[HEADER].size > MAX_HEADER:
        raise UsageError(f"cannot write {path}: its header has more than {MAX_HEADER} bytes")
    for i, layer in enumerate(program.layers):
        members |= {f"layer{i}.{name}": array for name, array in layer.arrays.items()}
    write_arrays(path, members)


def write_arrays(path: str | Path, members: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of integers to one ``.npz`` file that `read_arrays` takes.

    Raises:
        UsageError: if they are more than it takes, or the folder cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **members)  # type: ignore[arg-type]
    if len(buffer.getbuffer()) > MAX_BYTES:
        raise UsageError(f"{path} would have more than {MAX_BYTES} bytes, which rivc does not read")
    write_atomically(path, buffer.getvalue())


def header_text(program: SpikingProgram) -> bytes:
    """Return everything but the content of a program's arrays, and its hash, as JSON."""
    header = {"sha256": program.sha256, **json.loads(program._header())}
    return json.dumps(header, sort_keys=True).encode()


def load_program(path: str | Path) -> SpikingProgram:
    """Read a program and check its hash; see `SpikingProgram.load`."""
    return read_hashed(path, "program", lambda whole: parse_program(read_arrays(whole)))


def save_headed(value: Headed, name: str, path: str | Path) -> None:
    """Write a header of this name, with the hash, and arrays to one ``.npz`` file."""
    text = json.dumps({**json.loads(value.header), "sha256": value.sha256}, sort_keys=True)
    write_arrays(path, {name: np.frombuffer(text.encode(), np.uint8), **value.arrays})


def sha256_of(header: bytes, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return SHA-256 over a header and arrays, in their order, in hexadecimal."""
    digest = hashlib.sha256(header)
    for array in arrays.values():
        digest.update(array.tobytes())
    return digest.hexdigest()


def take_header(members: dict[str, NDArray[Any]], name: str, version: int) -> dict[str, Any]:
    """Return the header that `save_headed` wrote, and take it from among the members.

    Raises:
        DamagedFileError: if it has another format version.
        Any of `UNREADABLE`: if it is none.
    """
    header = parse_header(members.pop(name))
    if header["format_version"] != version:
        found = header["format_version"]
        raise DamagedFileError(f"format version {found}, this rivc reads {version}")
    return header


def parse_header(text: NDArray[Any]) -> dict[str, Any]:
    """Return what the bytes of a header say.

    Raises:
        DamagedFileError: if there are too many: JSON takes twenty times the memory of its text.
        Any of `UNREADABLE`: if they are no header.
    """
    if text.size > MAX_HEADER:
        raise DamagedFileError(f"its header has more than {MAX_HEADER} bytes")
    header: dict[str, Any] = json.loads(text.astype(np.uint8).tobytes())
    return header


def read_hashed(
    path: str | Path, what: str, parse: Callable[[Path], tuple[HashedT, str]]
) -> HashedT:
    """Read what is kept beside its own hash.

    Args:
        path: of the file.
        what: it ought to hold, for errors.
        parse: from the file to the value and the hash that it states; may raise any of
            `UNREADABLE`.

    Raises:
        MissingError: if there is no such file.
        DamagedFileError: if it is not a whole, unaltered one.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no {what} at {path}")
    try:
        value, sha256 = parse(path)
    except RivcError as error:
        raise DamagedFileError(f"{path} is not a whole {what}: {reason(error)}") from error
    except UNREADABLE as error:
        problem = f"{type(error).__name__}: {reason(error)}"
        raise DamagedFileError(f"{path} is not a {what}: {problem}") from error
    if value.sha256 != sha256:
        raise DamagedFileError(f"{path} was altered: its content does not have the hash it states")
    return value


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return every array of an ``.npz`` of integers, if together they are of bounded size.

    Raises:
        DamagedFileError: if the file is too large, compressed, or holds anything else.
        Exception: any other of `UNREADABLE`, if it is no whole archive.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DamagedFileError(f"it has more than {MAX_BYTES} bytes")
    _require_few_members(path)
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > MAX_BYTES:
            raise DamagedFileError(f"it unpacks to more than {MAX_BYTES} bytes")
        if len(infos) > MAX_MEMBERS:
            raise DamagedFileError(f"it has more than {MAX_MEMBERS} members")
        if any(
            info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size
            for info in infos
        ):
            raise DamagedFileError("it is compressed, which hides its size")
        return {info.filename.removesuffix(".npy"): _array(archive.read(info)) for info in infos}


def _require_few_members(path: Path) -> None:
    """Raise unless the directory of an archive is small: `zipfile` reads all of it at once.

    It ends in the record that says so, and in no other one before it, of 64 bits.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LOCATOR - _END.size))
        tail = file.read()
    if len(tail) < _END.size:
        raise zipfile.BadZipFile("it is no archive")
    signature, *_, size, _, comment = _END.unpack(tail[-_END.size :])
    if signature != b"PK\5\6" or comment:
        raise zipfile.BadZipFile("it does not end as an archive without a comment does")
    if tail.startswith(b"PK\6\7") or size > MAX_DIRECTORY:
        raise DamagedFileError(f"it has more than {MAX_MEMBERS} members")


def reason(error: Exception) -> str:
    """Return what an error says in one line of bounded length; some quote half the file.

    >>> len(reason(ValueError("x" * 10_000)))
    200
    """
    text = " ".join(str(error).split())
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 3] + "..."


def read_plain(path: Path, most: int) -> bytes:
    """Return the bytes of a plain file of bounded size; a pipe would never end.

    Raises:
        DamagedFileError: if it is larger, or no plain file.
        OSError: if it cannot be read.
    """
    if not path.is_file():
        raise DamagedFileError(f"{path} is gone, or no plain file")
    if path.stat().st_size > most:
        raise DamagedFileError(f"{path} has more than {most} bytes")
    return path.read_bytes()


def read_json(path: Path, most: int = MAX_TEXT) -> dict[str, Any]:
    """Return the object that a JSON file of bounded size holds.

    Raises:
        DamagedFileError: if there is no such file, or it holds anything else.
    """
    try:
        tree = json.loads(read_plain(path, most))
    except UNREADABLE as error:
        raise DamagedFileError(f"{path} is not JSON: {reason(error)}") from error
    if not isinstance(tree, dict):
        raise DamagedFileError(f"{path} holds no JSON object")
    return tree


def to_json(value: object) -> str:
    """Return a value as JSON on one line; numbers that JSON does not hold become null.

    >>> to_json({"a": (1, float("nan"))})
    '{"a": [1, null]}'
    """
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _array(data: bytes) -> NDArray[Any]:
    """A plain array of integers from what `numpy.save` writes, its header not evaluated."""
    header = _NPY.match(data)
    if header:
        dtype, body = np.dtype(header["dtype"].decode()), data[header.end() :]
        shape = [int(n) for n in header["shape"].split(b",") if n.strip()]
        if len(body) == dtype.itemsize * math.prod(shape):
            return np.frombuffer(body, dtype).reshape(shape)
    raise DamagedFileError("an array is not plain, or not whole, or not of integers")


def parse_program(members: dict[str, NDArray[Any]]) -> tuple[SpikingProgram, str]:
    """Return the program that the members of a file make, and the hash that the file states.

    Raises:
        DamagedFileError: if they make none.
        Exception: any other of `UNREADABLE`.
    """
    header = parse_header(members[HEADER])
    if header["format_version"] != FORMAT_VERSION:
        version = header["format_version"]
        raise DamagedFileError(f"format version {version}, this rivc reads {FORMAT_VERSION}")
    encoding = header["encoding"]
    layers = tuple(
        _layer(scalars, members, i) for i, scalars in enumerate(header["layers"][:MAX_LAYERS])
    )
    program = SpikingProgram(
        encoding=InputEncoding(
            encoding["kind"],
            _ints(encoding["shape"]),
            int(encoding["bit_width"]),
            tuple(map(float.fromhex, encoding["low"])),
            tuple(map(float.fromhex, encoding["step"])),
        ),
        layers=layers,
        readout_scale=float.fromhex(header["readout_scale"]),
        action_layout=_ints(header["action_layout"]),  # type: ignore[arg-type]
        profile=str(header["profile"]),
    )
    return program, str(header["sha256"])


def _layer(scalars: dict[str, Any], members: dict[str, NDArray[Any]], i: int) -> Layer:
    arrays: dict[str, Any] = {
        name: members[f"layer{i}.{name}"].astype(dtype, casting="equiv")
        for name, dtype in DTYPES.items()
    }
    fields: dict[str, Any] = {
        key: int(scalars[key]) for key in ("weight_bits", "frac_bits", "levels", "kernel", "stride")
    }
    fields["padding"] = _ints(scalars["padding"])
    return Layer(scalars["kind"], **arrays, **fields)


def _ints(values: list[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
