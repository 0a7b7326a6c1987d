"""The server's side: bounded, exact, and deaf to whoever has no key."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.errors import LinkError
from rivc.snn_convert import reference
from rivc.split.halves import Split, cut
from rivc.split.ladder import Point
from rivc.split.server import KEPT, Server, ServerLimits
from rivc.split.session import Answer, Joined, Lost, Session
from rivc.split.wire import ANSWER, FRAME, HEADER, Kind, Message, Outcome, Seal
from tests.programs import conv_program
from tests.split.parts import IDENTITY, KEY, infer_of, ladder_of, lossless

if TYPE_CHECKING:
    from numpy.typing import NDArray

S = 1_000_000_000
SPLIT = cut(conv_program(), 1)
LADDER = ladder_of(SPLIT, Point(2, 3), Point(1, 2))


def new_server(split: Split = SPLIT, key: bytes = KEY, **limits: float) -> Server:
    bounds = ServerLimits(**limits)  # type: ignore[arg-type]
    return Server(LADDER, infer_of(split), IDENTITY, key, bounds, lambda: 0)


def new_session(key: bytes = KEY) -> Session:
    return Session(LADDER, IDENTITY, 4, key)


def join(server: Server, session: Session, peer: str = "robot", now_ns: int = 0) -> None:
    asked = session.join(now_ns)
    assert asked is not None
    [(to, welcome)] = server.receive(asked, peer, now_ns)
    assert to == peer
    assert isinstance(session.receive(welcome, now_ns), Joined)


def joined(server: Server, peer: str = "robot", key: bytes = KEY) -> Session:
    session = new_session(key)
    join(server, session, peer)
    return session


def some_counts(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 4, SPLIT.shape, dtype=np.uint8)


def test_many_robots_are_one_batch_and_each_gets_its_own_answer() -> None:
    server = new_server()
    sessions = {f"robot {i}": joined(server, f"robot {i}") for i in range(32)}
    counts = {peer: some_counts(i) for i, peer in enumerate(sessions)}
    for peer, session in sessions.items():
        assert server.receive(session.frame(counts[peer], 0, 0)[1], peer, 0) == []
    replies = dict(server.answer(0))
    assert (server.batches, server.answered, server.robots) == (1, 32, 32)
    for peer, session in sessions.items():
        answer = session.receive(replies[peer], 0)  # type: ignore[arg-type]
        assert isinstance(answer, Answer)
        wanted = reference.run(SPLIT.server, counts[peer][None])
        assert np.array_equal(answer.readout, wanted.ravel())
    assert not server.is_waited_for


def test_the_newest_frame_wins_and_the_older_one_is_told_of() -> None:
    server = new_server()
    session = joined(server)
    first, second, third = (session.frame(some_counts(i), 0, 0)[1] for i in range(3))
    assert server.receive(first, "robot", 0) == []
    [(_, told)] = server.receive(third, "robot", 0)
    assert session.receive(told, 0) == Lost(1, Outcome.SUPERSEDED)
    assert server.receive(second, "robot", 0) == []
    assert server.dropped == {"stale": 1}
    [(_, reply)] = server.answer(0)
    answer = session.receive(reply, 0)
    assert isinstance(answer, Answer)
    assert answer.sequence == 3


def test_deltas_refer_to_what_was_acknowledged_and_rows_have_their_own() -> None:
    server = new_server()
    session = joined(server)
    distances = []
    for i, (row, is_heard) in enumerate([(0, True), (0, False), (0, True), (1, True), (1, True)]):
        _, data = session.frame(some_counts(i), row, 0)
        distances.append(FRAME.unpack_from(data, HEADER.size)[0])
        server.receive(data, "robot", 0)
        [(_, reply)] = server.answer(0)
        if is_heard:
            assert isinstance(session.receive(reply, 0), Answer)
    assert distances == [0, 1, 2, 0, 1]


def test_a_delta_never_refers_to_a_frame_that_is_only_under_way() -> None:
    server = new_server()
    session = joined(server)
    server.receive(session.frame(some_counts(0), 0, 0)[1], "robot", 0)
    [(_, reply)] = server.answer(0)
    session.frame(some_counts(1), 0, 0)  # is lost
    session.receive(reply, 0)
    _, data = session.frame(some_counts(2), 0, 0)
    assert FRAME.unpack_from(data, HEADER.size)[0] == 2


def test_an_answer_that_was_overtaken_is_dropped() -> None:
    server = new_server()
    session, replies = joined(server), []
    for i in range(2):
        server.receive(session.frame(some_counts(i), 0, 0)[1], "robot", 0)
        replies += server.answer(0)
    assert isinstance(session.receive(replies[1][1], 0), Answer)
    assert session.receive(replies[0][1], 0) is None
    assert session.dropped == {"stale": 1}


def test_ways_are_told_by_the_clock_of_the_server_that_is_there() -> None:
    session, us = new_session(), S // 1_000_000
    for now_ns, ahead_ns in ((0, 0), (10 * S, 2000 * S)):
        server, there_ns = new_server(), now_ns + ahead_ns + 30 * us
        if session.is_joined:  # the server is gone
            session.frame(some_counts(), 0, now_ns - 3 * S)
        session.give_up(now_ns)
        join(server, session, now_ns=now_ns)
        server.receive(session.frame(some_counts(), 0, now_ns)[1], "robot", there_ns)
        answer = session.receive(server.answer(there_ns)[0][1], now_ns + 60 * us)
        assert isinstance(answer, Answer)
        assert answer.stages_us == (30, 0, 0, 0, 30)


def test_what_decoding_and_the_chip_took_are_told_apart() -> None:
    times_ns = iter([0, 3_000, 10_000])
    server = Server(LADDER, infer_of(SPLIT), IDENTITY, KEY, compute_ns=lambda: next(times_ns))
    session = joined(server)
    server.receive(session.frame(some_counts(), 0, 0)[1], "robot", 0)
    answer = session.receive(server.answer(0)[0][1], 0)
    assert isinstance(answer, Answer)
    assert answer.stages_us[2:4] == (3, 7)


def test_a_second_welcome_changes_nothing() -> None:
    server, session = new_server(), new_session()
    asked = session.join(0)
    assert asked is not None
    [(_, welcome)] = server.receive(asked, "robot", 0)
    assert isinstance(session.receive(welcome, 0), Joined)
    assert session.receive(welcome, 0) is None
    assert session.dropped == {"replayed": 1}


def test_a_reference_that_the_server_has_not_is_told_of_and_the_next_frame_has_none() -> None:
    server = new_server()
    session = joined(server)
    _, data = session.frame(some_counts(), 0, 0)
    server.receive(data, "robot", 0)
    session.receive(server.answer(0)[0][1], 0)
    [robot] = server._robots.values()
    robot.decoded.clear()
    server.receive(session.frame(some_counts(), 0, 0)[1], "robot", 0)
    [(_, reply)] = server.answer(0)
    assert session.receive(reply, 0) == Lost(2, Outcome.NO_REFERENCE)
    _, data = session.frame(some_counts(), 0, 0)
    assert FRAME.unpack_from(data, HEADER.size)[0] == 0


def test_a_packet_that_does_not_decode_is_told_of() -> None:
    server = new_server()
    session = joined(server)
    sequence, _ = session.frame(some_counts(), 0, 0)
    body = FRAME.pack(0, 0, 0) + b"rubbish"
    data = session._sealed(Kind.FRAME, sequence, body)
    server.receive(data, "robot", 0)
    [(_, reply)] = server.answer(0)
    assert session.receive(reply, 0) == Lost(sequence, Outcome.UNDECODABLE)
    assert server.dropped == {"undecodable": 1}


def test_what_is_kept_of_a_robot_is_bounded() -> None:
    server = new_server()
    session = joined(server)
    for i in range(200):  # no answer is heard, so no reference moves
        server.receive(session.frame(some_counts(i), 0, 0)[1], "robot", 0)
        server.answer(0)
    [robot] = server._robots.values()
    assert len(robot.decoded) == KEPT


def test_idle_robots_are_forgotten_and_those_that_leave_at_once() -> None:
    server = new_server(idle_s=5)
    sessions = [joined(server, name) for name in "abc"]
    for name, session in zip("abc", sessions, strict=True):
        server.receive(session.frame(some_counts(), 0, 0)[1], name, 0)
    server.answer(0)
    server.receive(sessions[0].leave(), "a", 1 * S)
    assert server.robots == 2
    server.receive(sessions[1].frame(some_counts(), 0, 0)[1], "b", 3 * S)
    server.answer(6 * S)
    assert server.robots == 1
    server.answer(9 * S)
    assert not server._robots


def test_one_robot_too_many_is_refused_and_half_joined_ones_do_not_keep_others_out() -> None:
    server = new_server(max_robots=2)
    for _ in range(50):
        joined(server)  # and never heard of again
    assert len(server._robots) == 2
    for name in "ab":
        server.receive(joined(server, name).frame(some_counts(), 0, 0)[1], name, 0)
    late = new_session()
    asked = late.join(0)
    assert asked is not None
    [(_, refusal)] = server.receive(asked, "c", 0)
    with pytest.raises(LinkError, match="--max-robots"):
        late.receive(refusal, 0)


def test_of_robots_that_were_let_in_at_once_no_more_are_served_than_may_be() -> None:
    server = new_server(max_robots=2)
    sessions = {name: joined(server, name) for name in "ab"}
    server.receive(sessions["a"].frame(some_counts(), 0, 0)[1], "a", 0)
    sessions["c"] = joined(server, "c")  # while b was let in, and not heard of
    for name in "bc":
        server.receive(sessions[name].frame(some_counts(), 0, 0)[1], name, 0)
    assert server.robots == 2
    assert server.dropped == {"full": 1}
    server.receive(sessions["c"].frame(some_counts(), 0, 0)[1], "c", 0)
    assert server.dropped == {"full": 1, "unknown session": 1}


def test_a_robot_that_sends_seldom_keeps_its_session_while_it_is_answered() -> None:
    server = new_server()
    session = joined(server)
    for i in range(5):
        now_ns = 3 * S * i
        session.give_up(now_ns)
        assert session.is_joined
        server.receive(session.frame(some_counts(i), 0, now_ns)[1], "robot", now_ns)
        [(_, answer)] = server.answer(now_ns)
        assert isinstance(session.receive(answer, now_ns), Answer)
    session.frame(some_counts(), 0, 20 * S)
    session.give_up(22 * S)
    assert session.is_joined
    session.give_up(22 * S + 1)
    assert not session.is_joined


def test_a_robot_that_found_no_server_at_first_is_not_ended_by_a_full_one() -> None:
    server, session = new_server(max_robots=0), new_session()
    session.join(0)  # nobody is there yet
    asked = session.join(3 * S)
    assert asked is not None
    [(_, refusal)] = server.receive(asked, "robot", 3 * S)
    assert session.receive(refusal, 3 * S) is None
    assert session.dropped == {"refused": 1}


def test_a_robot_that_joins_again_takes_its_own_place() -> None:
    server = new_server()
    old = joined(server)
    server.receive(old.frame(some_counts(), 0, 0)[1], "robot", 0)
    new = joined(server)
    assert server.robots == 1
    server.receive(old.frame(some_counts(), 0, 0)[1], "robot", 0)  # still served
    assert not server.dropped
    server.receive(new.frame(some_counts(), 0, 0)[1], "robot", 0)
    server.receive(old.frame(some_counts(), 0, 0)[1], "robot", 0)
    assert server.robots == 1
    assert server.dropped == {"unknown session": 1}


def test_a_full_server_lets_a_robot_join_again_but_no_other() -> None:
    server = new_server(max_robots=1)
    old = joined(server)
    server.receive(old.frame(some_counts(), 0, 0)[1], "robot", 0)
    old.give_up(10 * S)
    join(server, old, now_ns=10 * S)
    server.receive(old.frame(some_counts(), 0, 10 * S)[1], "robot", 10 * S)
    assert server.robots == 1
    assert len(server.answer(10 * S)) == 1
    with pytest.raises(LinkError):
        joined_elsewhere(server, new_session())
    old.give_up(20 * S)
    joined_elsewhere(server, old)  # which has moved, and goes on without the server for now
    assert not old.is_joined
    assert old.dropped == {"refused": 1}


def joined_elsewhere(server: Server, session: Session) -> None:
    asked = session.join(20 * S)
    assert asked is not None
    [(_, reply)] = server.receive(asked, "elsewhere", 20 * S)
    session.receive(reply, 20 * S)


def test_a_replayed_packet_is_dropped_and_counted() -> None:
    server = new_server()
    session = joined(server)
    _, data = session.frame(some_counts(), 0, 0)
    server.receive(data, "robot", 0)
    reply = server.answer(0)[0][1]
    for _ in range(3):
        assert server.receive(data, "somebody else", 0) == []
    assert server.dropped == {"replayed": 3}
    [robot] = server._robots.values()
    assert robot.peer == "robot"
    session.receive(reply, 0)
    assert session.receive(reply, 0) is None
    assert session.dropped == {"replayed": 1}


def test_a_whole_session_that_is_played_again_commands_nothing() -> None:
    server, heard = new_server(), list[bytes]()
    session = new_session()
    asked = session.join(0)
    assert asked is not None
    heard.append(asked)
    session.receive(server.receive(asked, "robot", 0)[0][1], 0)
    for i in range(5):
        heard.append(session.frame(some_counts(i), 0, 0)[1])
        server.receive(heard[-1], "robot", 0)
        server.answer(0)
    again = new_server()  # as after a restart, or when the robot was forgotten
    for data in heard:
        again.receive(data, "somebody else", 0)
    assert again.answer(0) == []
    assert again.dropped == {"unauthenticated": 5}
    assert again.robots == 0


def test_without_the_key_nothing_is_answered() -> None:
    server = new_server()
    for key in (b"another key, wrong", b""):
        asked = new_session(key).join(0)
        assert asked is not None
        assert server.receive(asked, "x", 0) == []
    assert sum(server.dropped.values()) == 2
    assert not server._robots


def test_a_robot_believes_nobody_without_the_key() -> None:
    server, session = new_server(), joined(new_server())
    sequence, _ = session.frame(some_counts(), 0, 0)
    forged = Message(
        Kind.ANSWER, session._now.session, 1, ANSWER.pack(sequence, *[0] * 5) + bytes(16)
    )
    for seal in (Seal(b"some other key..."), Seal(KEY)):
        assert session.receive(seal.seal(forged), 0) is None
    assert session.dropped == {"unauthenticated": 2}
    assert server.robots == 0


def test_a_refused_robot_is_told_why() -> None:
    session = Session(LADDER, bytes(16), 4, KEY)
    asked = session.join(0)
    assert asked is not None
    [(_, refusal)] = new_server().receive(asked, "robot", 0)
    with pytest.raises(LinkError, match="same folder"):
        session.receive(refusal, 0)


def test_a_ladder_of_one_lossless_row_is_the_default_of_the_tests() -> None:
    assert lossless(SPLIT).rows[0].point == Point(2, 3, 1)


@pytest.mark.parametrize("rounds", [12, pytest.param(12_000, marks=pytest.mark.slow)])
def test_32_robots_at_20_hz_leave_nothing_behind(rounds: int) -> None:
    """Ten minutes of them in the slow form, in simulated time."""
    server = new_server(max_robots=32)
    sessions = {f"robot {i}": joined(server, f"robot {i}") for i in range(32)}
    early = 0
    tracemalloc.start()
    try:
        for i in range(rounds):
            now_ns = i * S // 20
            for peer, session in sessions.items():
                server.receive(session.frame(some_counts(i % 7), 0, now_ns)[1], peer, now_ns)
            for peer, data in server.answer(now_ns):
                assert isinstance(sessions[str(peer)].receive(data, now_ns), Answer)
            early = early or (tracemalloc.get_traced_memory()[0] if i == rounds // 4 else 0)
        assert tracemalloc.get_traced_memory()[0] - early < 500_000
    finally:
        tracemalloc.stop()
    assert (server.answered, server.batches) == (32 * rounds, rounds)
    assert not server.dropped
    assert all(len(robot.decoded) <= 2 for robot in server._robots.values())
