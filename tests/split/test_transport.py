"""Real sockets on the loopback: nothing here depends on how fast this machine is."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.errors import ConfigError, LinkError, MissingError
from rivc.neurochip import load_backend
from rivc.robot import ActionTable, Frame, MonotonicClock
from rivc.snn_convert import reference
from rivc.snn_convert.program import greedy
from rivc.split.halves import cut
from rivc.split.hosted import listening_in_a_thread
from rivc.split.link import LinkTrace, Phase
from rivc.split.policy import Link, LinkTimes, SafeAction, SplitPolicy
from rivc.split.proxy import Proxy
from rivc.split.serve import Host
from rivc.split.server import Server
from rivc.split.session import Session
from rivc.split.transport import LENGTH, Address, TcpTransport, connect, parse_address
from tests.programs import conv_program
from tests.split.parts import IDENTITY, KEY, infer_of, lossless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        assert transport.receive(soon) is None
        first.close()
        listener.settimeout(30)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and transport._socket is None:
            time.sleep(0.05)
            transport.send(b"again")
        second, _ = listener.accept()
        transport.receive(clock.now_ns() + 200_000_000)
        assert second.recv(99) == LENGTH.pack(5) + b"again"
        second.close()
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


def test_an_address_in_use_is_told_of() -> None:
    async def listen(address: Address) -> None:
        async with Host(Server(LADDER, infer_of(SPLIT), IDENTITY)).listening(address):
            pass

    with hosted("tcp") as (address, _), pytest.raises(LinkError, match="cannot listen"):
        asyncio.run(listen(address))
    with pytest.raises(LinkError, match="cannot be found"):
        connect(Address("udp", "no such host", 1), MonotonicClock())


@pytest.mark.parametrize(
    "text", ["", "udp://", "http://a:1", "udp://a", "udp://:1", "udp://a:x", "udp://a:65536"]
)
def test_what_is_no_address_is_told_of(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_address(text)


@pytest.mark.skipif(bool(find_spec("zenoh")), reason="zenoh is installed")
def test_zenoh_that_is_missing_names_the_remedy() -> None:
    with pytest.raises(MissingError, match=r"rivc\[zenoh\]"):
        connect(parse_address("zenoh://rivc/arm"), MonotonicClock())


def test_addresses_may_be_of_version_6() -> None:
    assert parse_address("udp://[::1]:7") == Address("udp", "::1", 7)
    assert str(Address("udp", "::1", 7)) == "udp://[::1]:7"
