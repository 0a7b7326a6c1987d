r"""What robot and server say to each other, byte by byte, and how it is sealed.

A message is ten bytes of header, a body of its kind, and twelve bytes of seal,

.. math:: tag = HMAC_{SHA-256}(key, header \| body)[:12],

which are left out where both ends have no key. All numbers are little endian; ``docs/split.md``
lists the bodies. Who joins sends a nonce and is sent one, and from then on both seal with a key of
this session, so that nothing that was heard before is worth anything. Within a session the counter
of a message is taken once: see `ReplayWindow`.
"""

from __future__ import annotations

import hmac
import struct
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

VERSION: Final = 1
MAX_MESSAGE: Final = 60_000  # bytes, of one datagram
NONCE: Final = 16
TAG: Final = 12
WINDOW: Final = 64
MIN_KEY: Final = 16
HEADER: Final = struct.Struct("<BBII")  # version, kind, session, counter
JOIN: Final = struct.Struct("<16s16s")  # nonce, split
WELCOME: Final = struct.Struct("<16s16s")  # nonce of the robot, of the server
REFUSED: Final = struct.Struct("<16sB")  # nonce of the robot, reason
FRAME: Final = struct.Struct("<BBI")  # reference distance, row, time sent; then the packet
ANSWER: Final = struct.Struct("<IIIIII")  # see `session.Answer`; then the readout, int32
ACK: Final = struct.Struct("<IB")  # sequence, outcome
LESSON: Final = struct.Struct("<I")  # sequence; then the readout that is right, int32
GRADIENT: Final = struct.Struct("<I")  # sequence; then the packet
US: Final = 1 << 32  # microseconds are told modulo this


class Kind(IntEnum):
    """Kinds of message."""

    JOIN = 1
    WELCOME = 2
    REFUSED = 3
    FRAME = 4
    ANSWER = 5
    ACK = 6
    LEAVE = 7
    LESSON = 8
    GRADIENT = 9


class Refusal(IntEnum):
    """Why a robot may not join."""

    SPLIT = 1
    FULL = 2
    TAKEN = 3


REFUSALS: Final = {
    Refusal.SPLIT: "it serves another split; give both ends the same folder",
    Refusal.FULL: "it serves as many robots as it can; raise --max-robots",
    Refusal.TAKEN: "another robot has this session",
}


class Outcome(IntEnum):
    """What became of a frame that gets no answer."""

    SUPERSEDED = 1
    NO_REFERENCE = 2
    UNDECODABLE = 3


_BODIES: Final = {  # (smallest, largest) of each kind
    Kind.JOIN: (JOIN.size, JOIN.size),
    Kind.WELCOME: (WELCOME.size, WELCOME.size),
    Kind.REFUSED: (REFUSED.size, REFUSED.size),
    Kind.FRAME: (FRAME.size + 1, MAX_MESSAGE - HEADER.size - TAG),
    Kind.ANSWER: (ANSWER.size + 4, MAX_MESSAGE - HEADER.size - TAG),
    Kind.ACK: (ACK.size, ACK.size),
    Kind.LEAVE: (0, 0),
    Kind.LESSON: (LESSON.size + 4, MAX_MESSAGE - HEADER.size - TAG),
    Kind.GRADIENT: (GRADIENT.size + 1, MAX_MESSAGE - HEADER.size - TAG),
}


class Message(NamedTuple):
    """A message that was opened; its body is as long as its kind says, and not looked into."""

    kind: Kind
    session: int
    counter: int
    body: bytes


class Dropped(Counter[str]):
    """What was dropped, by reason: a handful of words, however much comes."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Seals and opens messages with a key; without one, with nothing.

    Attributes:
        key: shared by both ends, or empty.

    Example:
        >>> data = Seal(b"0123456789abcdef").seal(Message(Kind.LEAVE, 7, 1, b""))
        >>> len(data), Seal(b"0123456789abcdef").is_sealed(data), Seal(b"another").is_sealed(data)
        (22, True, False)
    """

    key: bytes

    def seal(self, message: Message) -> bytes:
        """Return the bytes of a message."""
        kind, session, counter, body = message
        data = HEADER.pack(VERSION, kind, session, counter) + body
        return data + self._tag(data)

    def is_sealed(self, data: bytes) -> bool:
        """Tell whether somebody with the key sealed this, in constant time."""
        end = len(data) - self._size
        return not self.key or hmac.compare_digest(self._tag(data[:end]), data[end:])

    def of_session(self, nonce: bytes, answer: bytes) -> Seal:
        """Return the seal of a session, from the nonces of both ends."""
        if not self.key:
            return self
        return Seal(hmac.digest(self.key, b"rivc split 1" + nonce + answer, "sha256"))

    def parse(self, data: bytes) -> Message | None:
        """Return what the bytes say if their form is right; the seal is not looked at."""
        end = len(data) - self._size
        if not HEADER.size <= end <= MAX_MESSAGE - self._size:
            return None
        version, kind, session, counter = HEADER.unpack_from(data)
        smallest, largest = _BODIES.get(kind, (1, 0))
        if version != VERSION or not smallest <= end - HEADER.size <= largest:
            return None
        return Message(Kind(kind), session, counter, data[HEADER.size : end])

    @property
    def _size(self) -> int:
        return TAG if self.key else 0

    def _tag(self, data: bytes) -> bytes:
        return hmac.digest(self.key, data, "sha256")[:TAG] if self.key else b""


class ReplayWindow:
    """Takes every counter once; one that is 64 or more behind the largest, never.

    Example:
        >>> window = ReplayWindow()
        >>> [window.take(counter) for counter in (5, 5, 3, 90, 26, 27)]
        [True, False, True, True, False, True]
    """

    def __init__(self) -> None:
        self._largest, self._seen = 0, 1

    def take(self, counter: int) -> bool:
        """Tell whether a counter is new, and take it."""
        ahead = counter - self._largest
        if ahead > 0:
            self._seen = (self._seen << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._largest = counter
            return True
        if -ahead >= WINDOW or self._seen >> -ahead & 1:
            return False
        self._seen |= 1 << -ahead
        return True


def suspicion(
    message: Message | None, data: bytes, seal: Seal | None, window: ReplayWindow, *kinds: Kind
) -> str:
    """Return why a message is dropped, or nothing; then its counter is taken.

    Args:
        message: what `Seal.parse` made of it.
        data: its bytes.
        seal: of its session; None if there is none.
        window: of its session.
        kinds: that are expected.
    """
    if message is None or message.kind not in kinds:
        return "malformed"
    if seal is None:
        return "unknown session"
    if not seal.is_sealed(data):
        return "unauthenticated"
    return "" if window.take(message.counter) else "replayed"


def microseconds(time_ns: int) -> int:
    """Return a time as it is told."""
    return time_ns // 1000 % US
