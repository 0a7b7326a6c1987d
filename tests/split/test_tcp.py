"""TCP: messages from a stream, connections that end, begin and fall silent."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from rivc.robot import MonotonicClock, SimulatedClock
from rivc.split.transport import LENGTH, Address, TcpTransport, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivc.split.policy import SplitPolicy

    Make = Callable[..., SplitPolicy]


def test_a_tcp_message_that_cannot_be_ends_the_connection_and_it_is_made_again() -> None:
    clock = MonotonicClock()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address("tcp", *listener.getsockname()[:2])
        transport = connect(address, clock)
        assert isinstance(transport, TcpTransport)
        first, _ = listener.accept()
        transport.send(b"hello")
        assert first.recv(99) == LENGTH.pack(5) + b"hello"
        first.sendall(LENGTH.pack(3) + b"one" + LENGTH.pack(3) + b"two")
        soon = clock.now_ns() + 30_000_000_000
        assert [transport.receive(soon), transport.receive(soon)] == [b"one", b"two"]
        first.sendall(LENGTH.pack(1 << 31))
        listener.settimeout(30)
        with ThreadPoolExecutor() as elsewhere:
            accepted = elsewhere.submit(listener.accept)
            while not accepted.done():
                assert transport.receive(clock.now_ns() + 50_000_000) is None
        second, _ = accepted.result()
        transport.send(b"again")
        transport.receive(clock.now_ns() + 200_000_000)
        assert second.recv(99) == LENGTH.pack(5) + b"again"
        first.close()
        second.close()
        transport.close()


def test_without_a_connection_tcp_waits_and_tries_again() -> None:
    clock = MonotonicClock()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # refuses until it listens
        transport = connect(Address("tcp", *listener.getsockname()), clock)
        for _ in range(3):
            until_ns = clock.now_ns() + 30_000_000
            assert transport.receive(until_ns) is None
            assert clock.now_ns() >= until_ns
        listener.listen()
        listener.settimeout(30)
        with ThreadPoolExecutor() as elsewhere:
            received = elsewhere.submit(transport.receive, clock.now_ns() + 30_000_000_000)
            there, _ = listener.accept()
            there.sendall(LENGTH.pack(5) + b"there")
            assert received.result() == b"there"
        there.close()
        transport.close()
        assert transport.receive(clock.now_ns() + 10_000_000_000) is None  # at once


def test_without_a_way_tcp_sleeps() -> None:
    clock = SimulatedClock()
    transport = TcpTransport(socket.AF_INET, ("255.255.255.255", 7), clock)
    assert transport.receive(1_000_000_000) is None
    assert clock.now_ns() == 1_000_000_000


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="not on this platform")
def test_a_silent_tcp_connection_is_given_up_after_two_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = connect(Address("tcp", *listener.getsockname()[:2]), MonotonicClock())
        assert isinstance(transport, TcpTransport)
        assert transport._socket is not None
        bound_ms = transport._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert bound_ms == 2000
        transport.close()


def test_on_tcp_the_newest_message_wins() -> None:
    clock = MonotonicClock()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = connect(Address("tcp", *listener.getsockname()[:2]), clock)
        there, _ = listener.accept()
        for i in range(2000):  # far more than the buffers of the system take
            transport.send(bytes([i % 256]) * 50_000)
        transport.send(b"newest")
        there.settimeout(0.5)
        data = bytearray()
        with suppress(TimeoutError):
            while True:
                data += there.recv(1 << 20)
                transport.receive(clock.now_ns())
        assert data.endswith(LENGTH.pack(6) + b"newest")
        assert len(data) < 2000 * 50_000 / 2
        there.close()
        transport.close()
