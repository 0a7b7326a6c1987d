"""The ways to turn a frame into bytes: one row each.

A profile may fit a model, arrays of integers that go into the descriptor; `prepare` checks them,
for they may come from a file, and returns the function pair that codes frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.codec.baseline import read_lossless, write_picture
from rivc.codec.context import affordable, fit_classes, fit_model, make_model
from rivc.codec.engine import engine
from rivc.codec.rans import FLUSH
from rivc.codec.tables import TOTAL
from rivc.errors import DamagedFileError, DecodeError, MissingError, in_one_line, nearest
from rivc.quant import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from rivc.codec.context import Frame, Model
    from rivc.codec.descriptor import Descriptor

    Arrays = Mapping[str, NDArray[Any]]

ZSTD_LEVEL: Final = 3
_MIXED: Final = {
    "classes": np.uint8,
    "chance": np.uint16,
    "weight": np.int32,
    "stretch": np.int16,
    "squash": np.uint16,
}


class Pair(NamedTuple):
    """What codes frames.

    Attributes:
        encode: payload of a frame, given the one before.
        decode: frame of a payload, given the one before; raises DecodeError.
        most: bytes that no payload exceeds.
    """

    encode: Callable[[Frame, Frame], bytes]
    decode: Callable[[bytes, Frame], Frame]
    most: int


class Training(NamedTuple):
    """What a model is fitted to.

    Attributes:
        codes: consecutive frames, [T, C, H, W].
        previous: the frame before each, zeros where there was none, [T, C, H, W].
    """

    codes: NDArray[np.uint8]
    previous: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Profile:
    """A way to turn a frame into bytes.

    Attributes:
        name: as users know it.
        number: in the header of a packet, 0..15.
        refers: whether it needs the frame before.
        prepare: from a descriptor and the profile's model to what codes.
        fit: the model, from a descriptor that has none yet; None if the profile has no model.
    """

    name: str
    number: int
    refers: bool
    prepare: Callable[[Descriptor, Arrays], Pair]
    fit: Callable[[Descriptor, Training], Arrays] | None = None


def _packed(descriptor: Descriptor, _: Arrays) -> Pair:
    grid, shape, count = descriptor.grid, descriptor.shape, descriptor.symbols
    size = -(-count * grid.bit_width // 8)

    def decode(payload: bytes, _: Frame) -> Frame:
        if len(payload) != size:
            raise DecodeError("truncated", f"{len(payload)} packed bytes where {size} are a frame")
        try:
            return unpack(payload, count, grid).astype(np.uint8).reshape(shape)
        except DamagedFileError as error:
            raise DecodeError("checksum", str(error)) from error

    return Pair(lambda frame, _: pack(frame, grid), decode, size)


def _fit_rans(descriptor: Descriptor, training: Training, *, inter: bool) -> Arrays:
    histogram = np.bincount(training.codes.ravel(), minlength=descriptor.grid.levels)
    pairs = zip(training.codes, training.previous, strict=True)
    classes, starts = fit_model(descriptor.layout, histogram, pairs, inter=inter)
    return {"classes": classes, "starts": starts}


def rans_model(descriptor: Descriptor, arrays: Arrays, *, inter: bool) -> Model:
    """Return the model that arrays, which may come from a file, make.

    Raises:
        DamagedFileError: if they make none.
    """
    classes = arrays["classes"].astype(np.uint8, casting="equiv")
    starts = np.ascontiguousarray(arrays["starts"].astype(np.uint16, casting="equiv"))
    levels = descriptor.grid.levels
    contexts = descriptor.layout.rows * (int(classes.max(initial=0)) + 1) ** (3 if inter else 2)
    if classes.shape != (levels,) or starts.shape != (contexts, levels + 1):
        raise DamagedFileError(f"tables of shape {starts.shape} for {contexts} contexts")
    rises = (starts[:, 1:] > starts[:, :-1]).all()
    if starts[:, 0].any() or (starts[:, -1] != TOTAL).any() or not rises:
        raise DamagedFileError("a frequency table does not rise from 0 to 4096")
    return make_model(descriptor.layout, classes, starts, inter=inter)


def _rans(descriptor: Descriptor, arrays: Arrays, *, inter: bool) -> Pair:
    model, loops = rans_model(descriptor, arrays, inter=inter), engine()
    return Pair(
        lambda frame, previous: loops.encode(model, frame, previous),
        lambda payload, previous: loops.decode(model, payload, previous),
        2 * (FLUSH + descriptor.symbols),  # at most one word a symbol
    )


def _fit_mixer(descriptor: Descriptor, training: Training, *, inter: bool) -> Arrays:
    from rivc.codec.mixing import CLASSES, fit_mixer

    histogram = np.bincount(training.codes.ravel(), minlength=descriptor.grid.levels)
    classes = fit_classes(histogram, affordable(descriptor.layout, len(histogram), 2, CLASSES))
    previous = training.previous if inter else np.zeros_like(training.previous)
    mixer = fit_mixer(descriptor.layout, classes, training.codes, previous)
    return {name: getattr(mixer, name) for name in _MIXED}


def _mixed(descriptor: Descriptor, arrays: Arrays) -> Pair:
    from rivc.codec import mixing

    mixer = mixing.Mixer(
        *(getattr(descriptor.layout, name) for name in ("order", "reference", "row")),
        *(arrays[name].astype(dtype, casting="equiv") for name, dtype in _MIXED.items()),
    )
    mixing.check(mixer, descriptor.grid.levels)
    return Pair(
        lambda frame, previous: mixing.encode(mixer, frame, previous),
        lambda payload, previous: mixing.decode(mixer, payload, previous),
        mixing.most(descriptor.symbols, descriptor.bit_width),
    )


def _image(descriptor: Descriptor, _: Arrays) -> Pair:
    """A lossless WebP picture: colours, or channels one below the other."""
    channels, height, width = descriptor.shape
    colours = channels == 3 and descriptor.bit_width == 8
    size = (width, height) if colours else (width, height * channels)

    def encode(frame: Frame, _: Frame) -> bytes:
        picture = frame.transpose(1, 2, 0) if colours else frame.reshape(-1, width)
        return write_picture(picture, "webp", lossless=True, exact=True)

    def decode(payload: bytes, _: Frame) -> Frame:
        picture = read_lossless(payload, size)
        frame = picture.transpose(2, 0, 1) if colours else picture[:, :, 0]
        if frame.max() > descriptor.grid.q_max:
            raise DecodeError("checksum", f"a symbol of {frame.max()} in a picture")
        return np.ascontiguousarray(frame.reshape(descriptor.shape))

    return Pair(encode, decode, 2 * descriptor.symbols + 1024)


def _zstd(descriptor: Descriptor, _: Arrays) -> Pair:
    grid, size = descriptor.grid, -(-descriptor.symbols * descriptor.bit_width // 8)
    unpacked = _packed(descriptor, {}).decode

    def encode(frame: Frame, _: Frame) -> bytes:
        compressor = _zstandard().ZstdCompressor(level=ZSTD_LEVEL)
        return bytes(compressor.compress(pack(frame, grid)))

    def decode(payload: bytes, previous: Frame) -> Frame:
        zstd = _zstandard()
        try:
            if zstd.frame_content_size(payload) != size:
                raise DecodeError("checksum", "a zstd frame of another size than a packed frame's")
            data = zstd.ZstdDecompressor().decompress(payload, allow_extra_data=False)
        except zstd.ZstdError as error:
            raise DecodeError("checksum", in_one_line(error)) from error
        return unpacked(data, previous)

    return Pair(encode, decode, size + (size >> 7) + 64)


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise MissingError("profile zstd needs zstandard; pip install 'rivc[codec]'") from error
    return zstandard


_ROWS: Final = (
    Profile("packed", 0, refers=False, prepare=_packed),
    Profile(
        "rans-intra",
        1,
        refers=False,
        prepare=partial(_rans, inter=False),
        fit=partial(_fit_rans, inter=False),
    ),
    Profile(
        "rans-inter",
        2,
        refers=True,
        prepare=partial(_rans, inter=True),
        fit=partial(_fit_rans, inter=True),
    ),
    Profile("max-intra", 3, refers=False, prepare=_mixed, fit=partial(_fit_mixer, inter=False)),
    Profile("max-inter", 4, refers=True, prepare=_mixed, fit=partial(_fit_mixer, inter=True)),
    Profile("zstd", 5, refers=False, prepare=_zstd),
    Profile("image", 6, refers=False, prepare=_image),
)
PROFILES: Final = {row.name: row for row in _ROWS}
BY_NUMBER: Final = {row.number: row for row in _ROWS}
FAMILIES: Final = {  # of two profiles, the second for frames with one before them
    "rans": ("rans-intra", "rans-inter"),
    "max": ("max-intra", "max-inter"),
}


def find_profile(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        MissingError: if there is none of this name; names those there are.

    Example:
        >>> find_profile("rans-inter").refers
        True
    """
    if name not in PROFILES:
        there_are = ", ".join(PROFILES)
        raise MissingError(f"no profile {name!r}; there is: {there_are}{nearest(name, PROFILES)}")
    return PROFILES[name]
