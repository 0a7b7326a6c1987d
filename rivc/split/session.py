"""The robot's side without its sockets: join, frames out, answers in.

Deltas refer to the frame that was acknowledged last, so a frame that is lost spoils no other. A
session whose frames are no longer answered is given up after a while, and joined anew.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from rivc.errors import LinkError
from rivc.robot.clock import SECOND_NS
from rivc.split.wire import (
    ACK,
    ANSWER,
    FRAME,
    GRADIENT,
    JOIN,
    LESSON,
    NONCE,
    REFUSALS,
    REFUSED,
    US,
    WELCOME,
    Dropped,
    Kind,
    Message,
    Outcome,
    Refusal,
    ReplayWindow,
    Seal,
    microseconds,
    suspicion,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.split.ladder import Ladder

KEPT: Final = 64  # frames that were sent and may still be acknowledged
FURTHEST: Final = 255  # a reference that is further back is not told
PATIENCE_NS: Final = 2 * SECOND_NS
AT_ONCE: Final = 64  # messages that are taken in before anybody looks at the clock
ASK_AGAIN_NS: Final = SECOND_NS // 20
LAST: Final = (1 << 32) - 1
_FROM_SERVER: Final = (Kind.ANSWER, Kind.ACK, Kind.GRADIENT)


class Answer(NamedTuple):
    """A readout that came back.

    Attributes:
        sequence: of the frame that it answers.
        readout: integers, int64, [d * n].
        stages_us: what the way took: up, queue, decode, server, return; up and return are told
            apart by the clocks of both ends, see `Offset`.
    """

    sequence: int
    readout: NDArray[np.int64]
    stages_us: tuple[int, int, int, int, int]

    @property
    def worked_ns(self) -> int:
        """How long the server had the frame."""
        return 1000 * sum(self.stages_us[1:4])


class Lost(NamedTuple):
    """A frame that will not be answered, and why."""

    sequence: int
    outcome: Outcome


class Joined(NamedTuple):
    """The server let the robot in.

    Attributes:
        took_ns: from the last request to the welcome. Where that answers an earlier one, it is less
            than the round trip: a robot learns from frames that were too large, and not from frames
            that it did not dare to send.
    """

    took_ns: int


class Gradient(NamedTuple):
    """What a server that learns sends down for a frame: a packet, not looked into."""

    sequence: int
    packet: bytes


Event = Answer | Lost | Joined | Gradient


class Offset:
    r"""The one-way times between two clocks that were never set.

    .. math:: up = (a - \min a) + (\min a + \min b) / 2

    where a is how much later than sent, each on its own clock, a message came up, and b the same of
    those that came down. It takes the fastest ways up and down for equally long.

    Example:
        >>> offset = Offset()
        >>> offset.ways_us(up_us=1_000_030, down_us=-999_970)  # the clocks are a second apart
        (30, 30)
        >>> offset.ways_us(up_us=1_000_090, down_us=-999_970)
        (90, 30)
    """

    def __init__(self) -> None:
        self._zero: int | None = None
        self._least_up = self._least_down = 1 << 31

    def ways_us(self, up_us: int, down_us: int) -> tuple[int, int]:
        """Return what the ways up and down took, from differences of clocks modulo 2^32."""
        if self._zero is None:
            self._zero = up_us
        up, down = _signed(up_us - self._zero), _signed(down_us + self._zero)
        self._least_up, self._least_down = min(self._least_up, up), min(self._least_down, down)
        half = max(0, self._least_up + self._least_down) // 2
        return up - self._least_up + half, down - self._least_down + half


def _signed(us: int) -> int:
    """A difference modulo 2^32, taken for the nearest one."""
    return (us + US // 2) % US - US // 2


@dataclass
class _Joining:
    """What is known before and after the welcome."""

    session: int
    nonce: bytes
    asked_ns: int | None
    seal: Seal | None = None
    window: ReplayWindow = field(default_factory=ReplayWindow)
    counter: int = 0
    waiting_ns: int | None = None  # since when nothing came back


class Session:
    """The robot's side of the link; see the module.

    Args:
        ladder: how counts go out; the server has the same.
        identity: of the split, 16 bytes.
        key: shared with the server; empty: nothing is authenticated.
        readout_size: integers in an answer.

    Attributes:
        dropped: messages that were dropped, by reason.
        joins: sessions that were begun.
    """

    def __init__(
        self, ladder: Ladder, identity: bytes, readout_size: int, key: bytes = b""
    ) -> None:
        self._ladder, self._identity, self._readout_size = ladder, identity, readout_size
        self._seal, self.dropped, self.joins = Seal(key), Dropped(), 0
        self._asked_first_ns: int | None = None
        self._begin(None)

    @property
    def is_joined(self) -> bool:
        """True if frames may be sent."""
        return self._now.seal is not None

    def join(self, now_ns: int) -> bytes | None:
        """Return the message that asks for a session, None if it was asked for just now."""
        if self._now.asked_ns is not None and now_ns - self._now.asked_ns < ASK_AGAIN_NS:
            return None
        self._now.asked_ns = now_ns
        if self._asked_first_ns is None:
            self._asked_first_ns = now_ns
        body = JOIN.pack(self._now.nonce, self._identity)
        return self._seal.seal(Message(Kind.JOIN, self._now.session, 0, body))

    def give_up(self, now_ns: int) -> None:
        """Begin a new session if what was sent in this one is without an answer for too long."""
        since_ns = self._now.waiting_ns
        is_silent = since_ns is not None and now_ns - since_ns > PATIENCE_NS
        over = self._now.counter >= LAST or is_silent
        if self.is_joined and over:
            self._begin(None)

    def frame(self, counts: NDArray[np.uint8], row: int, now_ns: int) -> tuple[int, bytes]:
        """Return the number and the message of a frame.

        Args:
            counts: of the cut layer, uint8, [*shape].
            row: of the ladder.
            now_ns: the time.
        """
        planes, (reference, previous) = self._ladder.reduce(row, counts), self._reference(row)
        packet = self._ladder.rows[row].codec.encode(planes, previous)
        sequence = self._next()
        if self._now.waiting_ns is None:
            self._now.waiting_ns = now_ns
        self._sent[sequence] = row, planes
        while len(self._sent) > KEPT:
            self._sent.popitem(last=False)
        distance = sequence - reference if reference else 0
        body = FRAME.pack(distance, row, microseconds(now_ns)) + packet
        return sequence, self._sealed(Kind.FRAME, sequence, body)

    def lesson(self, sequence: int, readout: NDArray[np.int64]) -> bytes:
        """Return the message that tells what the answer to a frame should have been.

        Args:
            sequence: of a frame that was answered.
            readout: integers, [d, n]; they fit 32 bits.
        """
        body = LESSON.pack(sequence) + readout.astype("<i4").tobytes()
        return self._sealed(Kind.LESSON, self._next(), body)

    def leave(self) -> bytes:
        """Return the message that ends the session, which must be joined."""
        return self._sealed(Kind.LEAVE, self._next(), b"")

    def receive(self, data: bytes, now_ns: int) -> Event | None:
        """Take a message in; None if it means nothing.

        Raises:
            LinkError: if the server does not let the robot in when it begins to ask; one that has
                asked for 2 s is at work with its fall-back, and asks again.
        """
        message, now = self._seal.parse(data), self._now
        if message is not None and message.session != now.session:
            return self._noted("unknown session")
        if message is not None and message.kind in {Kind.WELCOME, Kind.REFUSED}:
            return self._noted(self._joined(message, data, now_ns))
        reason = suspicion(message, data, now.seal, now.window, *_FROM_SERVER)
        if reason or message is None:
            return self._noted(reason)
        now.waiting_ns = None
        if message.kind == Kind.GRADIENT:
            [sequence] = GRADIENT.unpack_from(message.body)
            return Gradient(sequence, message.body[GRADIENT.size :])
        is_lost = message.kind == Kind.ACK
        return self._noted(self._lost(message) if is_lost else self._answer(message, now_ns))

    # -- inside ---------------------------------------------------------------------------------

    def _begin(self, asked_ns: int | None) -> None:
        """Begin a session; one that follows a refusal waits as long as any before it asks."""
        session = int.from_bytes(os.urandom(4), "little")
        self._now, self.joins = _Joining(session, os.urandom(NONCE), asked_ns), self.joins + 1
        self._offset = Offset()  # the clock of a server that was started again is another
        self._sent: OrderedDict[int, tuple[int, NDArray[np.uint8]]] = OrderedDict()
        self._acknowledged = 0

    def _joined(self, message: Message, data: bytes, now_ns: int) -> Joined | str:
        if not self._seal.is_sealed(data):
            return "unauthenticated"
        if message.body[:NONCE] != self._now.nonce or self._now.seal is not None:
            return "replayed"
        if message.kind == Kind.REFUSED:
            reason = REFUSED.unpack(message.body)[1]
            told = REFUSALS.get(reason, f"reason {reason}")
            first_ns = now_ns if self._asked_first_ns is None else self._asked_first_ns
            is_new = self.joins == 1 and now_ns - first_ns < PATIENCE_NS
            if reason == Refusal.TAKEN or not is_new:
                self._begin(self._now.asked_ns)  # a robot at work does not stop: it asks again
                return "refused"
            raise LinkError(f"the server refuses this robot: {told}")
        _, answer = WELCOME.unpack(message.body)
        now = self._now
        now.seal = self._seal.of_session(now.nonce, answer)
        return Joined(now_ns - (now.asked_ns or 0))

    def _answer(self, message: Message, now_ns: int) -> Answer | str:
        sequence, sent_us, received_us, *server = ANSWER.unpack_from(message.body)
        values = message.body[ANSWER.size :]
        if len(values) != 4 * self._readout_size:
            return "malformed"
        if sequence not in self._sent:
            return "stale"
        self._acknowledged = max(self._acknowledged, sequence)
        while next(iter(self._sent)) < self._acknowledged:
            self._sent.popitem(last=False)
        came_us = microseconds(now_ns) - received_us - sum(server)
        up, down = self._offset.ways_us(received_us - sent_us, came_us)
        readout = np.array(struct.unpack(f"<{self._readout_size}i", values), np.int64)
        queue, decode, infer = server
        return Answer(sequence, readout, (up, queue, decode, infer, down))

    def _lost(self, message: Message) -> Lost | str:
        sequence, outcome = ACK.unpack(message.body)
        if sequence not in self._sent or outcome not in set(Outcome):
            return "stale" if outcome in set(Outcome) else "malformed"
        if outcome == Outcome.NO_REFERENCE:
            self._acknowledged = 0
        return Lost(sequence, Outcome(outcome))

    def _reference(self, row: int) -> tuple[int, NDArray[np.uint8] | None]:
        """The frame that a delta may refer to, if there is one of this row."""
        of_row, planes = self._sent.get(self._acknowledged, (row, None))
        is_near = self._now.counter + 1 - self._acknowledged <= FURTHEST
        if planes is None or of_row != row or not is_near:
            return 0, None
        return self._acknowledged, planes

    def _next(self) -> int:
        self._now.counter += 1
        return self._now.counter

    def _sealed(self, kind: Kind, counter: int, body: bytes) -> bytes:
        seal = self._now.seal or self._seal
        return seal.seal(Message(kind, self._now.session, counter, body))

    def _noted(self, event: Event | str) -> Event | None:
        """An event as it is; a reason to drop a message is counted."""
        if isinstance(event, str):
            self.dropped[event] += 1
            return None
        return event
