"""Real sockets on the loopback: nothing here depends on how fast this machine is."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rivc.errors import BackendError, ConfigError, LinkError, MissingError
from rivc.neurochip import load_backend
from rivc.robot import ActionTable, Frame, MonotonicClock, SimulatedClock
from rivc.snn_convert import reference
from rivc.snn_convert.program import greedy
from rivc.split import proxy as proxies
from rivc.split import zenoh
from rivc.split.halves import cut
from rivc.split.hosted import listening_in_a_thread
from rivc.split.link import LinkTrace, Phase
from rivc.split.policy import Link, LinkTimes, SafeAction, SplitPolicy
from rivc.split.proxy import Proxy
from rivc.split.serve import AT_ONCE, Host
from rivc.split.server import Server
from rivc.split.session import Session
from rivc.split.transport import LENGTH, Address, TcpTransport, connect, parse_address
from tests.programs import conv_program
from tests.split.parts import IDENTITY, KEY, infer_of, lossless

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    Make = Callable[..., SplitPolicy]

PROGRAM = conv_program()
SPLIT = cut(PROGRAM, 1)
LADDER = lossless(SPLIT)
ACTIONS = ActionTable.levels([[0.0, 1.0, 2.0, 3.0]])
PATIENT = LinkTimes(50, 10_000, 10_000)  # waits for every answer, on any machine


@contextmanager
def hosted(scheme: str, trace: LinkTrace | None = None) -> Iterator[tuple[Address, Server]]:
    """A server of the test program."""
    server = Server(LADDER, infer_of(SPLIT), IDENTITY, KEY)
    with listening(server, scheme, trace) as address:
        yield address, server


@contextmanager
def listening(
    server: Server, scheme: str = "udp", trace: LinkTrace | None = None
) -> Iterator[Address]:
    """A server in a thread of its own, behind a proxy if there is a trace."""
    local = Address(scheme, "rivc/test" if scheme == "zenoh" else "127.0.0.1", 0)
    with ExitStack() as stack:
        address = stack.enter_context(listening_in_a_thread(Host(server), local))
        if trace is not None:
            proxy = Proxy(address, trace)
            address = stack.enter_context(listening_in_a_thread(proxy, local))
        yield address


@pytest.fixture
def new_policy() -> Iterator[Callable[..., SplitPolicy]]:
    """Makes robots that are closed in the end."""
    with ExitStack() as stack:

        def make(address: Address, times: LinkTimes = PATIENT, key: bytes = KEY) -> SplitPolicy:
            clock = MonotonicClock()
            session = Session(LADDER, IDENTITY, 4, key)
            link = Link(clock, connect(address, clock), session, LADDER, times)
            chip = load_backend("emulator")
            return stack.enter_context(
                closing(SplitPolicy(SPLIT, chip, ACTIONS, link, SafeAction([-1.0])))
            )

        yield make


def decide(
    policy: SplitPolicy, frames: int, seed: int = 0, start: int = 0
) -> tuple[list[float], list[float]]:
    """What the split policy does on random pictures, and what the uncut one would."""
    rng, got, wanted = np.random.default_rng(seed), [], []
    for i in range(frames):
        x = rng.integers(0, 256, PROGRAM.encoding.shape, dtype=np.uint8)
        policy.see(Frame(x, time.monotonic_ns(), start + i))
        got.append(float(policy.infer(policy.encode(x))[0]))
        wanted.append(float(greedy(reference.run(PROGRAM, x[None]))[0, 0]))
    return got, wanted


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


@pytest.mark.skipif(bool(find_spec("zenoh")), reason="zenoh is installed")
def test_zenoh_that_is_missing_names_the_remedy() -> None:
    with pytest.raises(MissingError, match=r"rivc\[zenoh\]"):
        connect(parse_address("zenoh://rivc/arm"), MonotonicClock())


def test_a_zenoh_session_that_cannot_listen_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def declare_subscriber(*_: object) -> None:
        raise ValueError("no such key")

    session = SimpleNamespace(
        declare_subscriber=declare_subscriber, close=lambda: closed.append(True)
    )
    fake = SimpleNamespace(open=lambda _: session, Config=lambda: None)
    monkeypatch.setattr(zenoh, "_zenoh", lambda: fake)
    with pytest.raises(LinkError, match="no such key"):
        connect(parse_address("zenoh://rivc/arm"), MonotonicClock())
    assert closed == [True]


def test_what_zenoh_brings_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = list[bytes]()
    server = SimpleNamespace(is_waited_for=False)
    server.receive = lambda data, *_: taken.append(data) or []

    class Peers:
        def __init__(self, _: str, heard: Callable[[str, bytes], None]) -> None:
            for _ in range(2 * AT_ONCE):
                heard("rivc/up/robot", b"hello")
            self.heard = heard

        def close(self) -> None:
            pass

    monkeypatch.setattr(zenoh, "Peers", Peers)

    async def listen() -> None:
        host: Any = Host(server)  # type: ignore[arg-type]
        async with host.listening(parse_address("zenoh://rivc")):
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(listen())
    assert len(taken) == AT_ONCE


def test_addresses_may_be_of_version_6() -> None:
    assert parse_address("udp://[::1]:7") == Address("udp", "::1", 7)
    assert str(Address("udp", "::1", 7)) == "udp://[::1]:7"
