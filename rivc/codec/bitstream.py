"""Packets: a payload in slices that fit one datagram each; docs/bitstream.md gives every byte.

A packet is its slices, one after the other. Each begins with the same header, but for its number,
and ends with a checksum over all of itself.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from rivc.codec.engine import engine
from rivc.errors import DecodeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = b"RV"
VERSION: Final = 1
KEY, DELTA = 1, 2  # kinds of frames
LAST, EXTENDED = 0x20, 0x80  # flags, beside the number of the profile
MAX_SLICE: Final = 1200
MAX_SLICES: Final = 255
_HEADER: Final = struct.Struct("<2sBB3sBIBBBBIHH")
_CRC: Final = struct.Struct("<I")
HEADER_SIZE: Final = _HEADER.size
OVERHEAD: Final = _HEADER.size + _CRC.size
ROOM: Final = MAX_SLICE - OVERHEAD  # for the payload of a slice


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a sender says about a frame beside its symbols.

    Attributes:
        sequence: number of the frame, modulo 2^32.
        distance: how many frames before it lies the one that it refers to, 1..255; without effect
            on a frame that refers to none.
        captured_us: when it was captured, microseconds, modulo 2^32.
        point: operating point, 0..255: which row of a ladder of rates was chosen.

    Raises:
        UsageError: if one does not fit its field.
    """

    sequence: int = 0
    distance: int = 1
    captured_us: int = 0
    point: int = 0

    def __post_init__(self) -> None:
        for name, bits in (("sequence", 32), ("distance", 8), ("captured_us", 32), ("point", 8)):
            value = getattr(self, name)
            if not (name == "distance") <= value < 1 << bits:
                raise UsageError(f"{name} {value} does not fit {bits} bits of a header")


class Header(NamedTuple):
    """What a slice says about itself.

    Attributes:
        profile: number of the profile.
        descriptor_id: first 24 bits of the hash of the descriptor.
        point: operating point, as in `Stamp`.
        sequence: number of the frame, modulo 2^32.
        distance: how many frames before it lies the one that it refers to; 0 if to none.
        check: lower 8 bits of the CRC-32C of the frame that it refers to, else 0.
        slice_index: number of the slice.
        slice_count: how many there are of the frame.
        captured_us: when the frame was captured, microseconds, modulo 2^32.
    """

    profile: int
    descriptor_id: bytes
    point: int
    sequence: int
    distance: int
    check: int
    slice_index: int
    slice_count: int
    captured_us: int


class Slice(NamedTuple):
    """A slice as it lies in a packet: `end` is where the next one would begin."""

    header: Header
    payload: bytes
    end: int


def write_packet(header: Header, payload: bytes) -> bytes:
    """Return a packet: as many slices as the payload takes.

    Raises:
        UsageError: if these are more than 255.
    """
    count = max(1, -(-len(payload) // ROOM))
    if count > MAX_SLICES:
        raise UsageError(
            f"a payload of {len(payload)} bytes exceeds the {MAX_SLICES * ROOM} that a packet "
            "holds; code fewer channels or bits, or a later layer"
        )
    return b"".join(
        _write_slice(
            header._replace(slice_index=i, slice_count=count), payload[i * ROOM : (i + 1) * ROOM]
        )
        for i in range(count)
    )


def _write_slice(header: Header, payload: bytes) -> bytes:
    profile, descriptor_id, point, *rest = header
    last = LAST if header.slice_index == header.slice_count - 1 else 0
    kind = DELTA if header.distance else KEY
    data = _HEADER.pack(
        MAGIC, VERSION << 4 | kind, profile | last, descriptor_id, point, *rest, 0, len(payload)
    )
    data += payload
    return data + _CRC.pack(engine().crc32c(data))


def read_packet(packet: bytes) -> tuple[Header, bytes]:
    """Return the header of a frame, as its first slice has it, and its payload.

    Args:
        packet: all slices of one frame, in order.

    Raises:
        DecodeError: if a slice is missing, damaged, or of another frame, or there is more.
    """
    first = read_slice(packet)
    if first.header.slice_index:
        raise DecodeError("truncated", "slice 0 of the frame is missing")
    parts, end = [first.payload], first.end
    for i in range(1, first.header.slice_count):
        one = read_slice(packet, end)
        if one.header != first.header._replace(slice_index=i):
            raise DecodeError("truncated", f"slice {i} of the frame is missing")
        parts.append(one.payload)
        end = one.end
    if end != len(packet):
        raise DecodeError("too_large", f"{len(packet) - end} bytes come after the last slice")
    return first.header, b"".join(parts)


def read_slice(data: bytes, start: int = 0) -> Slice:
    """Return the slice that begins at `start`, its checksum checked.

    Raises:
        DecodeError: if it is cut off, damaged, too large or of another version.
    """
    if len(data) - start < OVERHEAD:
        raise DecodeError("truncated", f"{len(data) - start} bytes hold no header and checksum")
    magic, version, profile, *fields, side, size = _HEADER.unpack_from(data, start)
    if magic != MAGIC or version >> 4 != VERSION or profile & EXTENDED:
        raise DecodeError("version", f"no packet of version {VERSION}: 0x{version:02x}")
    if side + size > ROOM:
        raise DecodeError(
            "too_large", f"a slice with {side + size} bytes; there is room for {ROOM}"
        )
    body = start + HEADER_SIZE
    stop = body + side + size
    if len(data) < stop + _CRC.size:
        raise DecodeError("truncated", f"a slice ends {stop + _CRC.size - len(data)} bytes early")
    if _CRC.unpack_from(data, stop)[0] != engine().crc32c(data[start:stop]):
        raise DecodeError("checksum", "a slice does not have the checksum that it states")
    header = Header(profile & 0x0F, *fields)
    _check(header, version & 0x0F, profile)
    return Slice(header, data[body + side : stop], stop + _CRC.size)


def _check(header: Header, kind: int, flags: int) -> None:
    """Raise DecodeError if fields contradict each other: nothing that this version writes."""
    is_last = header.slice_index == header.slice_count - 1
    if (
        kind != (DELTA if header.distance else KEY)
        or header.slice_index >= header.slice_count
        or bool(flags & LAST) != is_last
    ):
        raise DecodeError("version", "the fields of a header contradict each other")


def datagrams(packet: bytes) -> Iterator[bytes]:
    """Yield the slices of a packet, each at most 1,200 bytes and whole in itself.

    Joined in the order of their `slice_index` they are the packet again.
    """
    start = 0
    while start < len(packet):
        end = read_slice(packet, start).end
        yield packet[start:end]
        start = end


def packets(stream: bytes) -> Iterator[bytes]:
    """Yield the packets of a stream, which is one after the other.

    Raises:
        DecodeError: if a slice is cut off or damaged.
    """
    start = end = 0
    while end < len(stream):
        header, _, end = read_slice(stream, end)
        if header.slice_index == header.slice_count - 1:
            yield stream[start:end]
            start = end


def is_newer(sequence: int, than: int) -> bool:
    """Tell whether one frame came after another, modulo 2^32, less than half a turn before.

    Example:
        >>> is_newer(0, 2**32 - 1), is_newer(5, 5), is_newer(5, 6)
        (True, False, False)
    """
    return 0 < (sequence - than) % (1 << 32) < 1 << 31
