"""A program in as few bytes as its weights allow, for sending it to a robot.

::

    0   4   magic "RVW1"
    4   4   length of the header
    8   n   header, JSON: what stands in ``program.npz``, hash included
            then, layer by layer: 4 bytes of length and the weights (`rivc.codec.weights`),
            biases and thresholds as they are, 4 bytes each

Little-endian. Weights are decoded layer by layer while the file is read, and no more of them than a
``program.npz`` may hold; the hash of the program that comes out must be the one that was written.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.codec.weights import decode_weights, encode_weights
from rivc.errors import DamagedFileError, UsageError
from rivc.quant import Grid
from rivc.snn_convert.storage import (
    HEADER,
    MAX_BYTES,
    header_text,
    parse_header,
    parse_program,
    read_hashed,
    read_plain,
    write_atomically,
)
from rivc.snn_convert.validate import DTYPES, MAX_LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from rivc.snn_convert import SpikingProgram

COMPRESSED_FILE: Final = "program.rvw"
MAGIC: Final = b"RVW1"
_LENGTH: Final = struct.Struct("<I")
_INT32: Final = np.dtype("<i4")
_MAX_RANK: Final = 4  # of an array, a conv2d's weights


@dataclass(frozen=True, slots=True)
class Compression:
    """What compressing a program brought.

    Attributes:
        weights: how many.
        file_bytes: of the file.
        bits_per_weight: of what stands for the weights.
        entropy: bits a weight of the histogram of each layer, which no table coder can go below.
    """

    weights: int
    file_bytes: int
    bits_per_weight: float
    entropy: float


def save_compressed(program: SpikingProgram, path: str | Path) -> Compression:
    """Write a program to one small file, whole or not at all.

    Raises:
        UsageError: if it is larger than what `load_compressed` reads.
    """
    file, compression = compress(program)
    if max(compression.weights, len(file)) > MAX_BYTES:
        raise UsageError(f"{path} would hold more than {MAX_BYTES:,} weights or bytes")
    write_atomically(path, file)
    return compression


def compress(program: SpikingProgram) -> tuple[bytes, Compression]:
    """Return what `save_compressed` writes, and what compressing brought."""
    header = header_text(program)
    parts, coded, ideal = [MAGIC, _LENGTH.pack(len(header)), header], 0, 0.0
    for layer in program.layers:
        data = b""
        if layer.has_weights:
            data = encode_weights(layer.weight, Grid(layer.weight_bits))
            ideal += _entropy_bits(layer.weight)
        coded += len(data)
        others = (layer.bias, layer.threshold)
        parts += [_LENGTH.pack(len(data)), data, *(a.astype(_INT32).tobytes() for a in others)]
    file = b"".join(parts)
    count = sum(layer.weight.size for layer in program.layers)
    return file, Compression(count, len(file), 8 * coded / count, ideal / count)


def _entropy_bits(values: NDArray[np.int8]) -> float:
    _, counts = np.unique(values, return_counts=True)
    return float(-(counts * np.log2(counts / values.size)).sum())


def load_compressed(path: str | Path) -> SpikingProgram:
    """Read a program that was written by `save_compressed`.

    Raises:
        MissingError: if there is no such file.
        DamagedFileError: if it is not a whole, unaltered program.
    """
    return read_hashed(path, "compressed program", _parse)


def _parse(path: Path) -> tuple[SpikingProgram, str]:
    return parse_program(dict(_members(read_plain(path, MAX_BYTES))))


def _members(data: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays of a program file, the weights decoded as they come."""
    reader = _Reader(data)
    if reader.take(len(MAGIC)) != MAGIC:
        raise DamagedFileError(f"it does not begin with {MAGIC.decode()}")
    text = np.frombuffer(reader.take(reader.length()), np.uint8)
    yield HEADER, text
    layers = parse_header(text)["layers"]
    _check_sizes(layers)
    for i, layer in enumerate(layers):
        section = reader.take(reader.length())
        yield f"layer{i}.weight", _weights(section, layer)
        for name in ("bias", "threshold"):
            raw = reader.take(_INT32.itemsize * _size(layer[name]))
            yield f"layer{i}.{name}", np.frombuffer(raw, _INT32).astype(DTYPES[name])
    if reader.at != len(data):
        raise DamagedFileError(f"{len(data) - reader.at} bytes come after the last layer")


def _check_sizes(layers: list[dict[str, Any]]) -> None:
    """Raise unless all that is declared may be decoded: few bytes can stand for many weights."""
    if len(layers) > MAX_LAYERS:
        raise DamagedFileError(f"{len(layers)} layers, at most {MAX_LAYERS}")
    count = sum(_size(layer["weight"]) for layer in layers)
    if count > MAX_BYTES:
        raise DamagedFileError(f"{count:,} weights, at most {MAX_BYTES:,}")


def _size(shape: list[Any]) -> int:
    """How many numbers an array of a declared shape holds."""
    if len(shape) > _MAX_RANK or min((int(n) for n in shape), default=0) < 0:
        raise DamagedFileError(f"an array of shape {shape}")
    return math.prod(int(n) for n in shape)


def _weights(section: bytes, layer: dict[str, Any]) -> NDArray[np.int8]:
    shape, size = [int(n) for n in layer["weight"]], _size(layer["weight"])
    if section:
        decoded = decode_weights(section, size, Grid(int(layer["weight_bits"])))
        return decoded.astype(np.int8).reshape(shape)
    if size:
        raise DamagedFileError(f"nothing where weights of shape {shape} should be")
    return np.zeros(shape, np.int8)


class _Reader:
    """Takes bytes from the front, never beyond the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._data) - self.at:
            raise DamagedFileError("it is cut off")
        self.at += size
        return self._data[self.at - size : self.at]

    def length(self) -> int:
        return int(_LENGTH.unpack(self.take(_LENGTH.size))[0])
