"""A poor link between two real processes: a UDP proxy that does to datagrams what a trace says."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import LinkError
from rivc.robot.clock import SECOND_NS
from rivc.split.link import LinkModel
from rivc.split.transport import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rivc.split.link import LinkTrace

MAX_ROBOTS: Final = 64
MAX_UNDER_WAY: Final = 10_000


class Proxy:
    """Datagrams from robots to a server and back, each way of each robot a link of its own.

    Args:
        server: where the server is.
        trace: what each link is like; its time starts when the proxy listens.
        seed: of what is drawn.

    Attributes:
        dropped: datagrams that were lost on the way, on purpose.
    """

    def __init__(self, server: Address, trace: LinkTrace, seed: int = 0) -> None:
        self._server, self._trace, self._seed = server, trace, seed
        self._ways: dict[Any, _Way] = {}
        self._start_ns, self._under_way = 0, 0
        self._robots: asyncio.DatagramTransport | None = None

    @property
    def dropped(self) -> int:
        """Datagrams that were lost on the way, on purpose."""
        return sum(way.up.lost + way.down.lost for way in self._ways.values())

    @asynccontextmanager
    async def listening(self, address: Address) -> AsyncIterator[Address]:
        """Stand between while the context lasts; yields where the robots have to send.

        Raises:
            LinkError: if the address cannot be listened at.
        """
        loop = asyncio.get_running_loop()
        self._start_ns = time.monotonic_ns()
        try:
            self._robots, _ = await loop.create_datagram_endpoint(
                lambda: _End(self._from_robot), (address.host, address.port)
            )
        except (OSError, OverflowError, UnicodeError) as error:
            raise LinkError(f"cannot listen at {address}: {error}") from error
        try:
            yield Address("udp", address.host, self._robots.get_extra_info("sockname")[1])
        finally:
            self._robots.close()
            for way in self._ways.values():
                way.close()

    def _from_robot(self, data: bytes, robot: Any) -> None:
        way = self._ways.get(robot)
        if way is None:
            if len(self._ways) >= MAX_ROBOTS:
                return
            way = self._ways[robot] = _Way(self._trace, self._seed + 2 * len(self._ways))
            asyncio.ensure_future(self._open(way, robot))  # noqa: RUF006 (kept by the way)
        self._later(way.up, data, way.to_server)

    async def _open(self, way: _Way, robot: Any) -> None:
        def back(data: bytes, _: Any) -> None:
            if self._robots is not None:
                self._later(way.down, data, lambda d: self._to_robot(d, robot))

        loop = asyncio.get_running_loop()
        where = self._server.host, self._server.port
        way.server, _ = await loop.create_datagram_endpoint(lambda: _End(back), remote_addr=where)

    def _later(self, model: LinkModel, data: bytes, deliver: Any) -> None:
        """Deliver at the times that the model says."""
        now_ns = time.monotonic_ns() - self._start_ns
        for arrival_ns in model.arrivals(len(data), now_ns):
            if self._under_way < MAX_UNDER_WAY:
                self._under_way += 1
                delay_s = (arrival_ns - now_ns) / SECOND_NS
                asyncio.get_running_loop().call_later(delay_s, self._deliver, deliver, data)

    def _deliver(self, deliver: Any, data: bytes) -> None:
        self._under_way -= 1
        deliver(data)

    def _to_robot(self, data: bytes, robot: Any) -> None:
        if self._robots is not None and not self._robots.is_closing():
            self._robots.sendto(data, robot)


class _Way:
    """One robot's two directions."""

    def __init__(self, trace: LinkTrace, seed: int) -> None:
        self.up, self.down = LinkModel(trace, seed), LinkModel(trace, seed + 1)
        self.server: asyncio.DatagramTransport | None = None

    def to_server(self, data: bytes) -> None:
        if self.server is not None and not self.server.is_closing():
            self.server.sendto(data)

    def close(self) -> None:
        if self.server is not None:
            self.server.close()


class _End(asyncio.DatagramProtocol):
    """Hands datagrams on."""

    def __init__(self, take: Any) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Take a datagram in."""
        self._take(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens yet, or no more."""
