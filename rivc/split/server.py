"""The server's side without its sockets: many robots, one batch.

Bytes and times go in, bytes come out. `Server.receive` takes a message; of each robot only the
newest frame waits. `Server.answer` decodes what waits, runs it as one batch, and seals the answers.
Whatever comes, the work on a message is bounded, and so is what is kept: a robot has one waiting
frame and a few that deltas may refer to, and the robots are counted. What cannot be authenticated
changes nothing but a count.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from rivc.errors import QuantError, RivcError
from rivc.robot.clock import SECOND_NS
from rivc.split.wire import (
    ACK,
    ANSWER,
    FRAME,
    GRADIENT,
    JOIN,
    LESSON,
    NONCE,
    REFUSED,
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
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from rivc.split.ladder import Infer, Ladder

    Peer = Hashable
    Learn = Callable[[NDArray[np.uint8], bytes, int], bytes]
    Replies = list[tuple[Peer, bytes]]

_FROM_ROBOT: Final = (Kind.FRAME, Kind.LEAVE, Kind.LESSON)
KEPT: Final = 32  # decoded frames of a robot that deltas may refer to


@dataclass(frozen=True)
class ServerLimits:
    """What a server bears.

    Attributes:
        max_robots: that are served; as many may be about to join.
        idle_s: a robot that is silent for so long is forgotten.
    """

    max_robots: int = 64
    idle_s: float = 30.0


class _Waiting(NamedTuple):
    """A frame that waits for the next batch."""

    sequence: int
    reference: int  # 0: none
    row: int
    sent_us: int
    packet: bytes
    received_ns: int


@dataclass(eq=False)
class _Robot:
    """What is known of one robot."""

    session: int
    nonce: bytes
    welcome: bytes
    seal: Seal
    peer: Peer
    heard_ns: int
    window: ReplayWindow = field(default_factory=ReplayWindow)
    is_known: bool = False  # has sent something under the session's own key
    sent: int = 0
    newest: int = 0
    decoded: OrderedDict[int, tuple[int, NDArray[np.uint8]]] = field(default_factory=OrderedDict)

    def reply(self, kind: Kind, body: bytes) -> tuple[Peer, bytes]:
        self.sent += 1
        return self.peer, self.seal.seal(Message(kind, self.session, self.sent, body))


_NOBODY: Final = _Robot(0, b"", b"", Seal(b""), None, 0)


class Server:
    """Serves the second half of a policy; see the module.

    Args:
        ladder: how counts come in; the robots have the same.
        infer: the server half, from counts [B, *shape] to a readout [B, d, n].
        identity: of the split, 16 bytes; robots with another are refused.
        key: shared with the robots; empty: nothing is authenticated.
        limits: what it bears.
        compute_ns: what its work is timed by; a simulated server works in no time.

    Attributes:
        dropped: messages that were dropped, by reason.
        answered: frames that were.
        batches: that they came in.
        learn: what a lesson is given to: from counts [*shape], the readout that is right, int32
            little endian, and the number of the frame to a packet of gradients, or nothing. A
            lesson that raises QuantError is dropped. None: nobody learns here, and all are.
    """

    def __init__(
        self,
        ladder: Ladder,
        infer: Infer,
        identity: bytes,
        key: bytes = b"",
        limits: ServerLimits | None = None,
        compute_ns: Callable[[], int] = perf_counter_ns,
    ) -> None:
        self._ladder, self._infer, self._identity = ladder, infer, identity
        self._limits, self._compute_ns = limits or ServerLimits(), compute_ns
        self._seal = Seal(key)
        self._robots: dict[int, _Robot] = {}
        self._waiting: dict[int, _Waiting] = {}  # by session
        self.dropped, self.answered, self.batches = Dropped(), 0, 0
        self.learn: Learn | None = None

    @property
    def robots(self) -> int:
        """Robots that have joined."""
        return sum(robot.is_known for robot in self._robots.values())

    @property
    def is_waited_for(self) -> bool:
        """True if a frame waits for an answer."""
        return bool(self._waiting)

    def receive(self, data: bytes, peer: Peer, now_ns: int) -> Replies:
        """Take a message in; return what is to be sent at once.

        Raises:
            RivcError: what `learn` raises, but for QuantError.
        """
        message = self._seal.parse(data)
        if message is not None and message.kind == Kind.JOIN:
            return self._join(message, data, peer, now_ns)
        robot = self._robots.get(message.session, _NOBODY) if message else _NOBODY
        seal = None if robot is _NOBODY else robot.seal
        reason = suspicion(message, data, seal, robot.window, *_FROM_ROBOT)
        if reason or message is None:
            return self._drop(reason)
        if not self._knows(robot, peer, now_ns):
            return self._drop("full")
        if message.kind == Kind.LEAVE:
            self._forget(robot)
            return []
        if message.kind == Kind.LESSON:
            return self._lesson(robot, message.body)
        return self._frame(robot, message, now_ns)

    def answer(self, now_ns: int) -> Replies:
        """Run everything that waits as one batch; return the answers."""
        self._forget_idle(now_ns)
        start_ns, replies, batch = self._compute_ns(), [], []
        frames, self._waiting = self._waiting, {}
        for session, waiting in frames.items():
            robot = self._robots[session]
            planes = self._decode(robot, waiting)
            if isinstance(planes, Outcome):
                replies.append(_acknowledge(robot, waiting, planes))
            else:
                batch.append((robot, waiting, self._ladder.restore(waiting.row, planes)))
        if batch:
            replies += self._run(batch, start_ns, now_ns)
        return replies

    # -- joining --------------------------------------------------------------------------------

    def _join(self, message: Message, data: bytes, peer: Peer, now_ns: int) -> Replies:
        if not self._seal.is_sealed(data):
            return self._drop("unauthenticated")
        nonce, identity = JOIN.unpack(message.body)
        robot = self._robots.get(message.session)
        if robot is not None and robot.nonce == nonce:
            return [(peer, robot.welcome)]  # it was lost, or this is a replay, which helps nobody
        refusal = self._refusal(identity, robot, peer, now_ns)
        if refusal is not None:
            body = REFUSED.pack(nonce, refusal)
            return [(peer, self._seal.seal(Message(Kind.REFUSED, message.session, 0, body)))]
        answer = os.urandom(NONCE)
        body = WELCOME.pack(nonce, answer)
        welcome = self._seal.seal(Message(Kind.WELCOME, message.session, 0, body))
        seal = self._seal.of_session(nonce, answer)
        self._robots[message.session] = _Robot(message.session, nonce, welcome, seal, peer, now_ns)
        return [(peer, welcome)]

    def _refusal(
        self, identity: bytes, taken_by: _Robot | None, peer: Peer, now_ns: int
    ) -> Refusal | None:
        """Why a robot may not join; makes room by forgetting who is idle or was never known.

        A robot that joins again does not count twice: it gives up its old session.
        """
        if identity != self._identity:
            return Refusal.SPLIT
        if taken_by is not None:
            return Refusal.TAKEN
        self._forget_idle(now_ns)
        others = sum(robot.is_known and robot.peer != peer for robot in self._robots.values())
        if others >= self._limits.max_robots:
            return Refusal.FULL
        unknown = [robot for robot in self._robots.values() if not robot.is_known]
        if len(unknown) >= self._limits.max_robots:
            self._forget(unknown[0])
        return None

    def _knows(self, robot: _Robot, peer: Peer, now_ns: int) -> bool:
        """Note where a robot is; a session that it had before is over.

        False if others took its place since it was let in: it is forgotten, and asks again.
        """
        if not robot.is_known:
            for other in [r for r in self._robots.values() if r is not robot and r.peer == peer]:
                self._forget(other)
            if sum(r.is_known for r in self._robots.values()) >= self._limits.max_robots:
                self._forget(robot)
                return False
        robot.is_known, robot.peer, robot.heard_ns = True, peer, now_ns
        return True

    def _forget_idle(self, now_ns: int) -> None:
        oldest_ns = now_ns - self._limits.idle_s * SECOND_NS
        for robot in [r for r in self._robots.values() if r.heard_ns < oldest_ns]:
            self._forget(robot)

    def _forget(self, robot: _Robot) -> None:
        del self._robots[robot.session]
        self._waiting.pop(robot.session, None)

    # -- frames ---------------------------------------------------------------------------------

    def _frame(self, robot: _Robot, message: Message, now_ns: int) -> Replies:
        distance, row, sent_us = FRAME.unpack_from(message.body)
        sequence = message.counter
        reference = sequence - distance if distance else 0
        if row >= len(self._ladder.rows) or reference < 0:
            return self._drop("malformed")
        if sequence <= robot.newest:
            return self._drop("stale")
        robot.newest = sequence
        before = self._waiting.get(robot.session)
        packet = message.body[FRAME.size :]
        frame = _Waiting(sequence, reference, row, sent_us, packet, now_ns)
        self._waiting[robot.session] = frame
        return [_acknowledge(robot, before, Outcome.SUPERSEDED)] if before else []

    def _decode(self, robot: _Robot, frame: _Waiting) -> NDArray[np.uint8] | Outcome:
        row, previous = robot.decoded.get(frame.reference, (frame.row, None))
        if (frame.reference and previous is None) or row != frame.row:
            return Outcome.NO_REFERENCE
        try:
            planes = self._ladder.decode(frame.row, frame.packet, previous)
        except RivcError:
            self._drop("undecodable")
            return Outcome.UNDECODABLE
        robot.decoded[frame.sequence] = frame.row, planes
        while len(robot.decoded) > KEPT or next(iter(robot.decoded)) < frame.reference:
            robot.decoded.popitem(last=False)  # a robot never refers to what is before a reference
        return planes

    def _run(
        self,
        batch: list[tuple[_Robot, _Waiting, NDArray[np.uint8]]],
        start_ns: int,
        now_ns: int,
    ) -> Replies:
        decoded_ns = self._compute_ns()
        readouts = self._infer(np.stack([counts for _, _, counts in batch]))
        done_ns = self._compute_ns()
        decode_us, infer_us = (decoded_ns - start_ns) // 1000, (done_ns - decoded_ns) // 1000
        self.batches += 1
        self.answered += len(batch)
        replies = []
        for (robot, frame, _), readout in zip(batch, readouts, strict=True):
            received_us = microseconds(frame.received_ns)
            queue_us = (now_ns - frame.received_ns) // 1000
            head = (frame.sequence, frame.sent_us, received_us, queue_us, decode_us, infer_us)
            values = readout.ravel().tolist()
            body = ANSWER.pack(*head) + struct.pack(f"<{len(values)}i", *values)
            replies.append(robot.reply(Kind.ANSWER, body))
        return replies

    def _lesson(self, robot: _Robot, body: bytes) -> Replies:
        """Have a frame learnt that was answered; a lesson costs one call."""
        [sequence] = LESSON.unpack_from(body)
        if self.learn is None or sequence not in robot.decoded:
            return self._drop("stale" if self.learn else "malformed")
        row, planes = robot.decoded[sequence]
        try:
            packet = self.learn(self._ladder.restore(row, planes), body[LESSON.size :], sequence)
        except QuantError:  # of another size; what has diverged is no fault of the lesson
            return self._drop("unlearnable")
        return [robot.reply(Kind.GRADIENT, GRADIENT.pack(sequence) + packet)] if packet else []

    def _drop(self, reason: str) -> Replies:
        self.dropped[reason] += 1
        return []


def _acknowledge(robot: _Robot, frame: _Waiting, outcome: Outcome) -> tuple[Peer, bytes]:
    return robot.reply(Kind.ACK, ACK.pack(frame.sequence, outcome))
