"""Programs on disk: one ``.npz``, written whole or not at all, read with bounded work."""

from __future__ import annotations

import io
import json
import lzma
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from rivc.errors import DamagedFileError, MissingError, RivcError, UsageError
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert.program import FORMAT_VERSION, Layer, SpikingProgram
from rivc.snn_convert.validate import DTYPES, MAX_LAYERS

HEADER: Final = "program.json"
MAX_BYTES: Final = 1 << 28
# Whatever zipfile, numpy and our own checks raise for an archive that somebody else wrote.
UNREADABLE: Final = (
    RivcError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,  # an encrypted member, an unknown compression, too deep a nesting
    MemoryError,
    EOFError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a part.

    Raises:
        UsageError: if the folder cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}"
        raise UsageError(msg) from error


def save_program(program: SpikingProgram, path: str | Path) -> None:
    """Write a program to one ``.npz`` file."""
    header = {"sha256": program.sha256, **json.loads(program._header())}
    text = json.dumps(header, sort_keys=True).encode()
    members = {HEADER: np.frombuffer(text, np.uint8)}
    for i, layer in enumerate(program.layers):
        members |= {f"layer{i}.{name}": array for name, array in layer.arrays.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    write_atomically(path, buffer.getvalue())


def load_program(path: str | Path) -> SpikingProgram:
    """Read a program and check its hash; see `SpikingProgram.load`."""
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no program at {path}")
    try:
        program, sha256 = _parse(read_arrays(path))
    except DamagedFileError as error:
        raise DamagedFileError(f"{path} is not a whole program: {error}") from error
    except UNREADABLE as error:
        raise DamagedFileError(f"{path} is not a program: {type(error).__name__}: {error}") from error
    if program.sha256 != sha256:
        raise DamagedFileError(f"{path} was altered: its content does not have the hash it states")
    return program


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return every array of an ``.npz`` file, if together they are of bounded size; unpickles nothing.

    Anything in `UNREADABLE` may be raised for a file that is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > MAX_BYTES or len(infos) > 3 * MAX_LAYERS + 1:
            raise DamagedFileError(f"it unpacks to more than {MAX_BYTES} bytes")
        return {info.filename.removesuffix(".npy"): _array(archive.read(info)) for info in infos}


def _array(data: bytes) -> np.ndarray[Any, Any]:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    shape, fortran, dtype = (
        np.lib.format.read_array_header_1_0(file) if version == (1, 0) else _refuse(f"npy version {version}")
    )
    body = data[file.tell() :]
    if fortran or dtype.hasobject or len(body) != dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise DamagedFileError("an array is not plain, or not whole")
    return np.frombuffer(body, dtype).reshape(shape).copy()


def _refuse(what: str) -> Any:
    raise DamagedFileError(f"{what} is not supported")


def _parse(members: dict[str, np.ndarray[Any, Any]]) -> tuple[SpikingProgram, str]:
    header = json.loads(members[HEADER].astype(np.uint8).tobytes())
    if header["format_version"] != FORMAT_VERSION:
        _refuse(f"format version {header['format_version']}, this rivc reads {FORMAT_VERSION},")
    encoding = header["encoding"]
    layers = tuple(_layer(scalars, members, i) for i, scalars in enumerate(header["layers"][:MAX_LAYERS]))
    program = SpikingProgram(
        encoding=InputEncoding(
            {"image": "image", "vector": "vector"}[encoding["kind"]],  # type: ignore[arg-type]
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


def _layer(scalars: dict[str, Any], members: dict[str, np.ndarray[Any, Any]], i: int) -> Layer:
    arrays = {name: members[f"layer{i}.{name}"].astype(dtype, casting="equiv") for name, dtype in DTYPES.items()}
    numbers = {key: int(scalars[key]) for key in ("weight_bits", "frac_bits", "levels", "kernel", "stride")}
    padding: Any = _ints(scalars["padding"])
    return Layer(scalars["kind"], **arrays, **numbers, padding=padding)


def _ints(values: list[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
