"""A proxy between robots and a server: a poor link, and every robot served."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from rivc.errors import LinkError
from rivc.split import proxy as proxies
from rivc.split.hosted import listening_in_a_thread
from rivc.split.link import LinkTrace, Phase
from rivc.split.proxy import Proxy
from rivc.split.transport import Address
from tests.split.loopback import decide, hosted

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivc.split.policy import SplitPolicy

    Make = Callable[..., SplitPolicy]


def test_a_proxy_makes_a_poor_link_and_no_wrong_action(new_policy: Make) -> None:
    trace = LinkTrace((Phase(kbit_per_s=1e4, delay_ms=1, duplicate=0.3, jitter_ms=1),))
    with hosted("udp", trace) as (address, server):
        got, wanted = decide(new_policy(address), 60)
        assert got == wanted
        assert server.dropped["replayed"] > 0


def echoed(address: Address, robot: socket.socket, data: bytes) -> bytes:
    robot.settimeout(30)
    robot.sendto(data, (address.host, address.port))
    return robot.recv(99)


def test_through_a_proxy_the_first_datagram_arrives_and_idle_robots_make_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proxies, "MAX_ROBOTS", 2)
    with ExitStack() as stack:
        udp = partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        server, *robots = (stack.enter_context(udp()) for _ in range(4))
        server.bind(("127.0.0.1", 0))
        server.settimeout(30)
        answering = threading.Thread(target=lambda: [_echo(server) for _ in range(4)])
        answering.start()
        proxy = Proxy(Address("udp", *server.getsockname()), LinkTrace())
        local = Address("udp", "127.0.0.1", 0)
        with listening_in_a_thread(proxy, local) as address:
            for robot in robots[:2]:
                assert echoed(address, robot, b"first") == b"first"
            robots[2].sendto(b"one too many", (address.host, address.port))
            assert echoed(address, robots[0], b"again") == b"again"
            assert proxy.ignored == 1
            monkeypatch.setattr(proxies, "IDLE_NS", 0)
            assert echoed(address, robots[2], b"now") == b"now"
        answering.join()
        assert (proxy.ignored, proxy.dropped) == (1, 0)


def _echo(server: socket.socket) -> None:
    data, robot = server.recvfrom(99)
    server.sendto(data, robot)


def test_a_proxy_without_sockets_tells_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise LinkError("too many open files")

    nobody, local = Address("udp", "127.0.0.1", 9), Address("udp", "127.0.0.1", 0)
    proxy = Proxy(nobody, LinkTrace())

    def knock() -> None:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with listening_in_a_thread(proxy, local) as address, udp as robot:
            monkeypatch.setattr(proxies, "connect_udp", none_left)
            while not proxy.ignored:
                robot.sendto(b"hello", (address.host, address.port))
                time.sleep(0.01)

    with pytest.raises(LinkError, match="too many open files"):
        knock()
    monkeypatch.undo()
    nowhere = Proxy(Address("udp", "no such host", 9), LinkTrace())
    with pytest.raises(LinkError, match="cannot be found"), listening_in_a_thread(nowhere, local):
        pass
