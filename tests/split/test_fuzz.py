"""A server under mutated packets, some of which carry the right seal and checksum."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from rivc.robot import MonotonicClock
from rivc.split.server import Server, ServerLimits
from rivc.split.session import Answer, Session
from rivc.split.transport import connect, parse_address
from rivc.split.wire import FRAME, HEADER, TAG, Kind
from tests.codec.test_fuzz import repaired, resident_mib
from tests.split.parts import COUNTS, FOLDER, KEY, infer_of

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.split.transport import Transport

S: Final = 1_000_000_000
BETWEEN: Final = 100  # hostile packets between two honest frames: what the system's buffer takes
both = pytest.mark.parametrize("key", [KEY, b""], ids=["keyed", "open"])


def new_session(key: bytes) -> Session:
    return Session(FOLDER.ladder, FOLDER.identity, 4, key)


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """Bits flipped, cut short, made longer, or anything at all."""
    what, wrong = rng.integers(5), bytearray(data)
    if what < 2 and wrong:
        for at in rng.integers(0, len(wrong), rng.integers(1, 4)):
            wrong[at] ^= 1 << int(rng.integers(8))
    elif what == 2:
        del wrong[int(rng.integers(len(wrong) + 1)) :]
    elif what == 3:
        wrong += rng.bytes(int(rng.integers(1, 60)))
    else:
        wrong = bytearray(rng.bytes(int(rng.integers(0, 120))))
        if len(wrong) > 2:
            wrong[:2] = bytes([1, int(rng.integers(9))])
    return bytes(wrong)


def hostile(rng: np.random.Generator, session: Session, now_ns: int) -> bytes:
    """A mutated message; or, sealed as it should be, a mutated packet, its checksum as it may be.

    The session is somebody's who has the key, and means no good.
    """
    counts, row = COUNTS[rng.integers(len(COUNTS))], int(rng.integers(2))
    sequence, data = session.frame(counts, row, now_ns)
    how = rng.integers(4)
    if how < 2:
        return mutated(rng, data)
    end = len(data) - (TAG if session._seal.key else 0)
    head, packet = data[HEADER.size :][: FRAME.size], data[HEADER.size + FRAME.size : end]
    packet = mutated(rng, packet)
    if how == 3:
        packet = repaired(packet)
    if rng.random() < 0.1:
        head = rng.bytes(FRAME.size)
    return session._sealed(Kind.FRAME, sequence, head + packet)


@both
def test_mutated_packets_crash_nothing_and_leave_nothing(key: bytes) -> None:
    """Strangers, and a robot with the key; honest frames in between are answered all the same."""
    limits = ServerLimits(max_robots=4, idle_s=5)
    server = Server(FOLDER.ladder, infer_of(FOLDER.split), FOLDER.identity, key, limits)
    rng, honest, foe, now_ns, early = np.random.default_rng(0), new_session(key), None, 0, 0
    answered = 0
    tracemalloc.start()
    try:
        for i in range(1_000):
            now_ns += S // 500
            if foe is None or i % 250 == 0:
                foe = new_session(key)
                joined(server, foe, "foe", now_ns)
            replies = server.receive(hostile(rng, foe, now_ns), "foe", now_ns)
            replies += server.receive(mutated(rng, foe.join(now_ns) or b""), i % 9, now_ns)
            if i % 50 == 0:
                honest.give_up(now_ns)
                joined(server, honest, "honest", now_ns)
                server.receive(honest.frame(COUNTS[i % 7], 0, now_ns)[1], "honest", now_ns)
            for peer, data in replies + server.answer(now_ns):
                if peer == "honest":
                    answered += isinstance(honest.receive(data, now_ns), Answer)
                else:
                    foe.receive(mutated(rng, data), now_ns)
                    foe.receive(data, now_ns)
            early = early or (tracemalloc.get_traced_memory()[0] if i == 500 else 0)
        assert tracemalloc.get_traced_memory()[0] - early < 100_000
    finally:
        tracemalloc.stop()
    assert answered == 20
    assert server.dropped["undecodable"] > 100
    assert server.dropped["malformed"] > 100
    assert len(server._robots) <= 8


def joined(server: Server, session: Session, peer: str, now_ns: int) -> None:
    asked = None if session.is_joined else session.join(now_ns)
    if asked:
        for _, data in server.receive(asked, peer, now_ns):
            session.receive(data, now_ns)


class Robot:
    """A robot on UDP that does one thing after the other."""

    def __init__(self, address: str, key: bytes) -> None:
        self.clock, self.session = MonotonicClock(), new_session(key)
        self.way: Transport = connect(parse_address(address), self.clock)

    def join(self) -> None:
        """Ask until it is let in."""
        while not self.session.is_joined:
            asked = self.session.join(self.clock.now_ns())
            if asked:
                self.way.send(asked)
            self.hear()

    def hear(self, wait_ns: int = S // 100) -> Answer | None:
        """Take in what comes, up to an answer."""
        data = self.way.receive(self.clock.now_ns() + wait_ns)
        event = self.session.receive(data, self.clock.now_ns()) if data else None
        return event if isinstance(event, Answer) else None

    def ask(self, i: int) -> None:
        """Send a frame, and wait for the right answer."""
        counts = COUNTS[i % len(COUNTS)]
        sequence, data = self.session.frame(counts, 0, self.clock.now_ns())
        self.way.send(data)
        until_ns = self.clock.now_ns() + 10 * S
        while (answer := self.hear()) is None or answer.sequence != sequence:
            assert self.clock.now_ns() < until_ns, "an honest frame got no answer"
        assert np.array_equal(answer.readout, WANTED[i % len(COUNTS)])


WANTED: Final = infer_of(FOLDER.split)(COUNTS).reshape(len(COUNTS), -1)


@both
@pytest.mark.parametrize("packets", [pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_million_mutated_datagrams_at_a_server_of_its_own(
    packets: int, key: bytes, tmp_path: Path
) -> None:
    FOLDER.save(tmp_path / "split")
    secret = []
    if key:
        (tmp_path / "key").write_bytes(key)
        secret = ["--key", str(tmp_path / "key")]
    serve = subprocess.Popen(
        [sys.executable, "-m", "rivc.cli.main", "split", "serve", str(tmp_path / "split"),
         "--bind", "udp://127.0.0.1:0", "--json", *secret],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert serve.stderr
        told = [serve.stderr.readline() for _ in range(1 if key else 2)]
        address, rng = told[-1].split()[-1], np.random.default_rng(1)
        honest, foe, stranger = (Robot(address, key) for _ in range(3))
        honest.join()
        early = 0.0
        for i in range(packets // BETWEEN):
            if i % (100 if key else 1) == 0:  # without a key, a wrong counter spoils a session
                foe.session = new_session(key)
                foe.join()
            for _ in range(BETWEEN):
                robot = foe if rng.random() < 0.9 else stranger
                robot.way.send(hostile(rng, foe.session, foe.clock.now_ns()))
            foe.way.receive(0)
            honest.ask(i)
            if i == packets // BETWEEN // 10:
                early = resident_mib(serve.pid)
        growth = resident_mib(serve.pid) - early
        for robot in (honest, foe, stranger):
            robot.way.close()
    finally:
        serve.terminate()
        out, error = serve.communicate(timeout=60)
    assert serve.returncode == 0, error
    served = json.loads(out)
    print(f"{packets:,} datagrams, {growth:+.1f} MiB: {served}")  # noqa: T201
    assert growth < 4
    assert sum(served["dropped"].values()) > packets // 3
