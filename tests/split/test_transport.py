"""Real sockets on the loopback: nothing here depends on how fast this machine is."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.errors import BackendError, ConfigError, LinkError, MissingError
from rivc.robot import MonotonicClock
from rivc.split.hosted import listening_in_a_thread
from rivc.split.policy import LinkTimes, SplitPolicy
from rivc.split.serve import Host
from rivc.split.server import Server
from rivc.split.transport import Address, connect, parse_address
from tests.split.loopback import LADDER, SPLIT, decide, hosted
from tests.split.parts import IDENTITY, KEY, infer_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Make = Callable[..., SplitPolicy]


needs_zenoh = pytest.mark.skipif(not find_spec("zenoh"), reason="needs the extra zenoh")


@pytest.mark.parametrize("scheme", ["udp", "tcp", pytest.param("zenoh", marks=needs_zenoh)])
def test_every_action_over_the_loopback_is_that_of_the_uncut_program(
    scheme: str, new_policy: Make
) -> None:
    with hosted(scheme) as (address, server):
        policy = new_policy(address)
        got, wanted = decide(policy, 60)
        assert got == wanted
        assert policy.decisions == {"present": 60}
        policy.close()
        deadline = time.monotonic() + 30
        while server.robots and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.robots == 0
        assert not server.dropped


def test_many_robots_share_one_server(new_policy: Make) -> None:
    with hosted("udp") as (address, server):
        results: dict[int, tuple[list[float], list[float]]] = {}

        def robot(seed: int) -> None:
            results[seed] = decide(new_policy(address), 30, seed)

        threads = [threading.Thread(target=robot, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(results) == list(range(6))
        assert all(got == wanted for got, wanted in results.values())
        assert server.answered == 6 * 30
        assert server.robots == 6


def test_nobody_there_means_the_safe_action_and_no_error(new_policy: Make) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        for scheme in ("udp", "tcp"):
            address = Address(scheme, "127.0.0.1", taken.getsockname()[1])
            policy = new_policy(address, LinkTimes(50, 20, 5))
            got, _ = decide(policy, 5)
            assert got == [-1.0] * 5
            policy.close()
            policy.close()


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_rubbish_on_the_socket_disturbs_nobody(scheme: str, new_policy: Make) -> None:
    with hosted(scheme) as (address, server):
        policy = new_policy(address)
        rng = np.random.default_rng(0)
        kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
        for i in range(20):
            with socket.socket(socket.AF_INET, kind) as stranger:
                stranger.connect((address.host, address.port))
                stranger.send(rng.bytes(int(rng.integers(1, 300))))
                got, wanted = decide(policy, 3, start=3 * i)
                assert got == wanted
        assert server.robots == 1


@pytest.mark.parametrize("host", ["255.255.255.255", "127.0.0.1"])
def test_udp_without_a_way_or_a_socket_is_told_of(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    if host == "127.0.0.1":
        monkeypatch.setattr(socket, "socket", none_left)
    with pytest.raises(LinkError, match=f"no way to udp://{host}:7"):
        connect(Address("udp", host, 7), MonotonicClock())


class Broken:
    """Cannot listen, and not for want of an address."""

    ended: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def listening(self, address: Address) -> AsyncIterator[Address]:
        if address.port == 0:
            raise MissingError("no zenoh here")
        yield address


def test_whatever_keeps_a_listener_from_starting_is_raised() -> None:
    with (
        pytest.raises(MissingError, match="no zenoh here"),
        listening_in_a_thread(Broken(), Address("zenoh", "rivc", 0)),
    ):
        pass


def test_what_a_host_fails_with_is_raised_in_the_end(new_policy: Make) -> None:
    def gone(_: object) -> Any:
        raise BackendError("the chip is gone")

    host, deadline = Host(Server(LADDER, gone, IDENTITY, KEY)), time.monotonic() + 30

    def drive() -> None:
        with listening_in_a_thread(host, Address("udp", "127.0.0.1", 0)) as address:
            policy = new_policy(address, LinkTimes(50, 200, 200))
            while host.ended and not host.ended.done() and time.monotonic() < deadline:
                decide(policy, 1)

    with pytest.raises(BackendError, match="the chip is gone"):
        drive()


def test_an_address_in_use_is_told_of() -> None:
    async def listen(address: Address) -> None:
        async with Host(Server(LADDER, infer_of(SPLIT), IDENTITY)).listening(address):
            pass

    with hosted("tcp") as (address, _), pytest.raises(LinkError, match="cannot listen"):
        asyncio.run(listen(address))
    with pytest.raises(LinkError, match="cannot be found"):
        connect(Address("udp", "no such host", 1), MonotonicClock())


@pytest.mark.parametrize(
    "text",
    [
        *("", "udp://", "http://a:1", "udp://a", "udp://:1", "udp://a:x", "udp://a:65536"),
        pytest.param(f"udp://a:{'9' * 5000}", id="a long port"),
    ],
)
def test_what_is_no_address_is_told_of(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_address(text)


def test_addresses_may_be_of_version_6() -> None:
    assert parse_address("udp://[::1]:7") == Address("udp", "::1", 7)
    assert str(Address("udp", "::1", 7)) == "udp://[::1]:7"
