"""Files that somebody else wrote: ways to damage them, and what every loader owes in return."""

from __future__ import annotations

import io
import json
import re
import time
import tracemalloc
import zipfile
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import DamagedFileError, MissingError
from rivc.snn_convert.storage import HEADER

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

Members = dict[str, bytes]
Mutation = "Callable[[bytes, random.Random], bytes]"

SECONDS: Final = 2.0  # of one load, processor time
BYTES: Final = 1 << 23  # allocated at most during one load

JUNK: Final[list[Any]] = [
    *(None, True, -1, 0, 1, 255, 256, 2**31, 2**63, 10**40, 0.5, 1e999, "", "0x1p-3", "nan"),
    *("dense", "conv2d", [], {}, [0], [[1]], {"a": 1}, "../../etc", "x" * 1000),
]
NUMBERS: Final = [0, 1, 2, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 20, 1 << 30]


# -- archives and their members ---------------------------------------------------------------


def members_of(data: bytes) -> Members:
    """Return the members of an archive by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive with these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(array: np.ndarray, **options: bool) -> bytes:
    """Return what `numpy.save` writes."""
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def header_of(members: Members) -> dict[str, Any]:
    """Return the header of a program file."""
    text = np.load(io.BytesIO(members[f"{HEADER}.npy"])).tobytes()
    header: dict[str, Any] = json.loads(text)
    return header


def with_header(members: Members, header: Any) -> Members:
    """Return the members of a program file with another header."""
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    return members | {f"{HEADER}.npy": npy(text)}


# -- any bytes ----------------------------------------------------------------------------------


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def change_bytes(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return bytes(damaged)


def cut_and_splice(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(data)) for _ in range(2))
    middle = data[a:b]
    return rng.choice([data[:a], data[a:], data[:a] + data[b:], data[:b] + data[a:], middle])


def wrap(data: bytes, rng: random.Random) -> bytes:
    """Put bytes before or behind, which archives tolerate."""
    more = rng.randbytes(rng.choice([1, 22, 1000]))
    return rng.choice([more + data, data + more, data + data])


# -- trees of plain values ----------------------------------------------------------------------


def damage_tree(tree: Any, rng: random.Random) -> None:
    """Put junk where a tree has a value, or leave it out."""
    place: Any = tree
    while True:
        key = rng.choice(sorted(place) if isinstance(place, dict) else range(len(place)))
        child = place[key]
        if not (isinstance(child, dict | list) and child) or rng.random() < 0.2:
            break
        place = child
    if rng.random() < 0.2:
        del place[key]
    else:
        place[key] = deepcopy(rng.choice(JUNK))


def damage_json(data: bytes, rng: random.Random) -> bytes:
    tree = json.loads(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        if tree:
            damage_tree(tree, rng)
    return json.dumps(tree).encode()


def nest_json(_: bytes, rng: random.Random) -> bytes:
    """Brackets, deeper than any parser goes, or a number longer than it reads."""
    return rng.choice([b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"9" * 10_000 + b"]"])


# -- archives of arrays -------------------------------------------------------------------------


def damage_member(data: bytes, rng: random.Random) -> bytes:
    """Change a member below the checksum of the archive."""
    members = members_of(data)
    name = rng.choice(sorted(members))
    change = rng.choice([flip_bits, change_bytes, cut_and_splice, huge_shape, other_type])
    return archive_of(members | {name: change(members[name], rng)})


def huge_shape(member: bytes, rng: random.Random) -> bytes:
    """Change a number of an array's shape, padded or not; the data stays as it is."""

    def other(_: re.Match[bytes]) -> bytes:
        return str(rng.choice([*NUMBERS, -1, 1 << 40, 2**63, 10**50])).encode()

    head, data = member[:128], member[128:]
    return re.sub(rb"\d+(?=[,)])", other, head, count=rng.choice([0, 1])) + data


def other_type(member: bytes, rng: random.Random) -> bytes:
    """Change the type of an array, or the order of its axes."""
    types = [b"|i1", b"|u1", b"<i2", b">i4", b"<i8", b"<f4", b"<c16", b"|O", b"|V8", b"<U4", b"|b1"]
    member = re.sub(rb"[<|>][a-zA-Z]\d*(?=')", rng.choice(types), member, count=1)
    return member.replace(b"False", rng.choice([b"False", b"True", b"1", b"None"]), 1)


def drop_or_swap_members(data: bytes, rng: random.Random) -> bytes:
    members = members_of(data)
    a, b = rng.sample(sorted(members), 2)
    if rng.random() < 0.5:
        del members[a]
    else:
        members[a], members[b] = members[b], members[a]
    return archive_of(members)


def add_members(data: bytes, rng: random.Random) -> bytes:
    """Add foreign members, one large, many, or one in another folder."""
    zeros = npy(np.zeros(1 << rng.choice([3, 20]), np.int8))
    many = {f"layer{i}.weight.npy": zeros[:200] for i in range(rng.choice([3, 1000]))}
    added = rng.choice([{"x.npy": zeros}, many, {"../x.npy": zeros}, {"/etc/x": b""}])
    return archive_of(members_of(data) | added)


def repeat_member(data: bytes, rng: random.Random) -> bytes:
    """List one member many times, all sharing its bytes."""
    entry, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    first = data[entry : data.index(b"PK\x01\x02", entry + 4)]
    more = rng.choice([1, 99, 999])
    count = int.from_bytes(data[end + 10 : end + 12], "little") + more
    listing = data[entry:end] + first * more
    tail = bytearray(data[end:])
    tail[8:12] = count.to_bytes(2, "little") * 2
    tail[12:16] = len(listing).to_bytes(4, "little")
    return data[:entry] + listing + bytes(tail)


def compress(data: bytes, rng: random.Random) -> bytes:
    """Compress the members, with zeros that unpack to far more; the sizes may lie."""
    bomb = archive_of({"b.npy": bytes(1 << 22), **members_of(data)}, zipfile.ZIP_DEFLATED)
    size = rng.choice([1 << 22, 64, 0])
    return bomb.replace((1 << 22).to_bytes(4, "little"), size.to_bytes(4, "little"))


def lie_in_the_directory(data: bytes, rng: random.Random) -> bytes:
    """Change a number of a header of the archive: sizes, offsets, counts, flags, methods."""
    damaged = bytearray(data)
    magic, length = rng.choice([(b"PK\x03\x04", 30), (b"PK\x01\x02", 46), (b"PK\x05\x06", 22)])
    starts = [match.start() for match in re.finditer(re.escape(magic), data)]
    width = rng.choice([2, 4])
    at = rng.choice(starts) + rng.randrange(4, length - width + 1)
    damaged[at : at + width] = (rng.choice(NUMBERS) % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(damaged)


def damage_header(data: bytes, rng: random.Random) -> bytes:
    """Put junk into the header of a program; where there is none, anywhere."""
    members = members_of(data)
    if f"{HEADER}.npy" not in members:
        return change_bytes(data, rng)
    header = header_of(members)
    damage_tree(header, rng)
    return archive_of(with_header(members, header))


# -- compressed programs ------------------------------------------------------------------------


def compressed_header(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header of a compressed program, and all that follows it."""
    end = 8 + int.from_bytes(data[4:8], "little")
    header: dict[str, Any] = json.loads(data[8:end])
    return header, data[end:]


def with_compressed_header(header: Any, rest: bytes) -> bytes:
    """Return a compressed program with this header."""
    text = json.dumps(header).encode()
    return b"RVW1" + len(text).to_bytes(4, "little") + text + rest


def damage_compressed_header(data: bytes, rng: random.Random) -> bytes:
    header, rest = compressed_header(data)
    damage_tree(header, rng)
    return with_compressed_header(header, rest)


def declare_other_sizes(data: bytes, rng: random.Random) -> bytes:
    """Declare arrays of other shapes than those that follow, or more layers."""
    header, rest = compressed_header(data)
    layers: list[Any] = header["layers"]
    if rng.random() < 0.1:
        header["layers"] = layers * rng.choice([2, 100, 1000])
    for layer in rng.sample(layers, rng.choice([1, 2])):
        shape = layer[rng.choice(["weight", "weight", "bias", "threshold"])]
        shape[rng.randrange(len(shape))] = rng.choice([*NUMBERS, -1, 1 << 40, 10**50])
    return with_compressed_header(header, rest)


def leave_out_bytes(data: bytes, rng: random.Random) -> bytes:
    """Leave out what follows the header, in part or altogether; zeros may stand for it."""
    header, rest = compressed_header(data)
    kept = rng.choice([b"", rest[: rng.randrange(len(rest))], bytes(len(rest))])
    return with_compressed_header(header, kept)


OF_BYTES: Final = (flip_bits, change_bytes, cut_and_splice, wrap)
OF_ARCHIVES: Final = (
    *OF_BYTES,
    damage_member,
    damage_member,
    damage_header,
    drop_or_swap_members,
    add_members,
    repeat_member,
    compress,
    lie_in_the_directory,
)
OF_COMPRESSED: Final = (
    *OF_BYTES,
    damage_compressed_header,
    declare_other_sizes,
    declare_other_sizes,
    leave_out_bytes,
)
OF_JSON: Final = (*OF_BYTES, damage_json, damage_json, damage_json, nest_json)


# -- what a loader owes -------------------------------------------------------------------------


def load_damaged(load: Callable[[], object]) -> object | None:
    """Load a file that may be damaged.

    Returns:
        What was loaded; None if it was refused with a typed error of one line.

    Raises:
        AssertionError: if anything else was raised, or it took too much time or memory.
    """
    loaded, message = None, ""
    tracemalloc.start()
    start = time.process_time()
    try:
        loaded = load()
    except (DamagedFileError, MissingError) as error:
        message = str(error)
    finally:
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seconds < SECONDS, f"{seconds} s"
    assert peak < BYTES, f"{peak} bytes"
    assert "\n" not in message
    assert len(message) < 1000, message[:1000]
    return loaded
