"""Lessons up and gradients down, by the rules of every other message."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

from rivc.errors import DivergedError, LinkError, QuantError
from rivc.robot import MonotonicClock
from rivc.split.halves import cut
from rivc.split.hosted import listening_in_a_thread
from rivc.split.link import LinkTrace, Phase
from rivc.split.serve import Host
from rivc.split.server import Server
from rivc.split.session import Answer, Gradient, Session
from rivc.split.throughput import Load, frames_per_second
from rivc.split.transport import Address, connect
from tests.programs import conv_program
from tests.split.parts import IDENTITY, KEY, infer_of, lossless

SPLIT = cut(conv_program(), 1)
LADDER = lossless(SPLIT)
READOUT = np.array([[1, -2, 3, 4]])


class Learner:
    """Keeps its lessons; refuses those of another size, answers every second one."""

    def __init__(self) -> None:
        self.lessons: list[tuple[np.ndarray, list[int]]] = []

    def learn(self, counts: np.ndarray, readout: bytes, sequence: int) -> bytes:
        if len(readout) != 16:
            raise QuantError("four")
        self.lessons.append((counts, np.frombuffer(readout, "<i4").tolist()))
        return b"down %d" % sequence if len(self.lessons) % 2 else b""


def joined() -> tuple[Server, Session, Learner]:
    server, session = (
        Server(LADDER, infer_of(SPLIT), IDENTITY, KEY),
        Session(LADDER, IDENTITY, 4, KEY),
    )
    learner = Learner()
    server.learn = learner.learn
    asked = session.join(0)
    assert asked is not None
    [(_, welcome)] = server.receive(asked, "robot", 0)
    session.receive(welcome, 0)
    return server, session, learner


def some_counts(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, SPLIT.shape, dtype=np.uint8)


def answered(server: Server, session: Session, counts: np.ndarray) -> int:
    sequence, data = session.frame(counts, 0, 0)
    assert server.receive(data, "robot", 0) == []
    [(_, reply)] = server.answer(0)
    assert isinstance(session.receive(reply, 0), Answer)
    return sequence


def test_a_lesson_is_learnt_with_the_counts_of_its_frame() -> None:
    server, session, learner = joined()
    counts = some_counts()
    sequence = answered(server, session, counts)
    [(to, reply)] = server.receive(session.lesson(sequence, READOUT), "robot", 0)
    assert to == "robot"
    assert session.receive(reply, 0) == Gradient(sequence, b"down %d" % sequence)
    [(seen, right)] = learner.lessons
    assert np.array_equal(seen, counts)
    assert right == [1, -2, 3, 4]
    sequence = answered(server, session, counts)
    assert server.receive(session.lesson(sequence, READOUT), "robot", 0) == []


def test_a_lesson_is_heard_once() -> None:
    server, session, learner = joined()
    lesson = session.lesson(answered(server, session, some_counts()), READOUT)
    server.receive(lesson, "robot", 0)
    assert server.receive(lesson, "robot", 0) == []
    assert server.dropped == {"replayed": 1}
    assert len(learner.lessons) == 1


@pytest.mark.parametrize(
    ("what", "reason"),
    [("altered", "unauthenticated"), ("unanswered", "stale"), ("of another size", "unlearnable")],
)
def test_a_lesson_that_cannot_be_is_dropped(what: str, reason: str) -> None:
    server, session, learner = joined()
    sequence = answered(server, session, some_counts())
    lesson = {
        "altered": session.lesson(sequence, READOUT)[:-1] + b"?",
        "unanswered": session.lesson(sequence + 9, READOUT),
        "of another size": session.lesson(sequence, READOUT[:, :3]),
    }[what]
    assert server.receive(lesson, "robot", 0) == []
    assert server.dropped == {reason: 1}
    assert not learner.lessons


def test_a_tail_that_has_diverged_ends_its_host_and_is_no_lesson_that_is_dropped() -> None:
    server, session, _ = joined()
    sequence = answered(server, session, some_counts())

    def diverged(*_: object) -> bytes:
        raise DivergedError("the tail's loss is nan")

    async def listen() -> None:
        host = Host(server)
        async with host.listening(Address("udp", "127.0.0.1", 0)):
            host.take(session.lesson(sequence, READOUT), "robot")
            await host.until_ended(30)

    server.learn = diverged
    with pytest.raises(DivergedError, match="is nan"):
        server.receive(session.lesson(sequence, READOUT), "robot", 0)
    with pytest.raises(DivergedError, match="is nan"):
        asyncio.run(listen())
    assert not server.dropped


def test_a_server_that_does_not_learn_drops_lessons() -> None:
    server, session, _ = joined()
    server.learn = None
    sequence = answered(server, session, some_counts())
    assert server.receive(session.lesson(sequence, READOUT), "robot", 0) == []
    assert server.dropped == {"malformed": 1}


def test_a_host_in_a_thread_says_where_it_listens_or_why_not() -> None:
    server, _, _ = joined()
    clock = MonotonicClock()
    session = Session(LADDER, IDENTITY, 4, KEY)
    with listening_in_a_thread(Host(server), Address("udp", "127.0.0.1", 0)) as address:
        transport = connect(address, clock)
        asked = session.join(clock.now_ns())
        assert asked is not None
        transport.send(asked)
        data = transport.receive(clock.now_ns() + 10_000_000_000)
        transport.close()
        assert data is not None
    session.receive(data, clock.now_ns())
    assert session.is_joined
    nowhere = Address("udp", "203.0.113.1", 1)
    with (
        pytest.raises(LinkError, match="cannot listen"),
        listening_in_a_thread(Host(server), nowhere),
    ):
        pass


def test_the_slowest_stage_decides_how_many_frames_pass() -> None:
    link = LinkTrace((Phase(kbit_per_s=800),))
    assert frames_per_second(Load(10, 10), LinkTrace()) == math.inf
    up = frames_per_second(Load(972, 10), link)  # 1,000 bytes with the datagram's head: 10 ms
    down = frames_per_second(Load(10, 972), link)
    work = frames_per_second(Load(10, 10, 20_000_000), link)
    assert up == pytest.approx(100, rel=0.01)
    assert down == pytest.approx(100, rel=0.01)
    assert work == pytest.approx(50, rel=0.01)
