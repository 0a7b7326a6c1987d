"""A poor link between two real processes: a UDP proxy that does to datagrams what a trace says."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import LinkError
from rivc.robot.clock import SECOND_NS, MonotonicClock
from rivc.split.hosted import end
from rivc.split.link import LinkModel
from rivc.split.transport import Address, UdpTransport, connect_udp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rivc.split.link import LinkTrace

MAX_ROBOTS: Final = 512
MAX_UNDER_WAY: Final = 10_000
IDLE_NS: Final = 60 * SECOND_NS  # a robot that is silent for so long makes way for another


class Proxy:
    """Datagrams from robots to a server and back, each way of each robot a link of its own.

    Args:
        server: where the server is.
        trace: what each link is like; its time starts when the proxy listens.
        seed: of what is drawn.

    Attributes:
        dropped: datagrams that were lost on the way, on purpose.
        ignored: datagrams beyond what it bears: of more than 512 robots, or with 10,000 under way.
        ended: is done when it is to end, or a robot could not be given a way to the server.
    """

    def __init__(self, server: Address, trace: LinkTrace, seed: int = 0) -> None:
        self._server, self._trace, self._seed = server, trace, seed
        self._ways: dict[Any, _Way] = {}
        self._start_ns, self._under_way, self._opened, self._lost = 0, 0, 0, 0
        self._robots: asyncio.DatagramTransport | None = None
        self.ended: asyncio.Future[None] | None = None
        self.ignored = 0

    @property
    def dropped(self) -> int:
        """Datagrams that were lost on the way, on purpose."""
        return self._lost + sum(way.lost for way in self._ways.values())

    @asynccontextmanager
    async def listening(self, address: Address) -> AsyncIterator[Address]:
        """Stand between while the context lasts; yields where the robots have to send.

        Raises:
            LinkError: if the address cannot be listened at, or the server not be reached.
        """
        loop = asyncio.get_running_loop()
        self._start_ns = time.monotonic_ns()
        connect_udp(self._server, MonotonicClock()).close()  # no way there is told at once
        try:
            self._robots, _ = await loop.create_datagram_endpoint(
                lambda: _End(self._from_robot), (address.host, address.port)
            )
        except (OSError, OverflowError, UnicodeError) as error:
            raise LinkError(f"cannot listen at {address}: {error}") from error
        self.ended = loop.create_future()
        try:
            yield Address("udp", address.host, self._robots.get_extra_info("sockname")[1])
        finally:
            self._robots.close()
            for robot in list(self._ways):
                self._free(robot)

    def _from_robot(self, data: bytes, robot: Any) -> None:
        way = self._ways.get(robot) or self._open(robot)
        if way is None:
            self.ignored += 1
            return
        way.heard_ns = time.monotonic_ns()
        self._later(way.up, data, way.server.send)

    def _from_server(self, way: _Way, robot: Any) -> None:
        data = way.server.receive(0)
        if data is not None:
            self._later(way.down, data, partial(self._to_robot, robot))

    def _open(self, robot: Any) -> _Way | None:
        """Give a robot a way to the server, if there is room; others make way if they are idle."""
        if len(self._ways) >= MAX_ROBOTS:
            oldest_ns = time.monotonic_ns() - IDLE_NS
            for one in [one for one, way in self._ways.items() if way.heard_ns < oldest_ns]:
                self._free(one)
        if len(self._ways) >= MAX_ROBOTS:
            return None
        try:
            server = connect_udp(self._server, MonotonicClock())
        except LinkError as error:  # the system has no more sockets, or no way any more
            end(self.ended, error)
            return None
        way = self._ways[robot] = _Way(self._trace, self._seed + 2 * self._opened, server)
        self._opened += 1
        asyncio.get_running_loop().add_reader(server.fileno(), self._from_server, way, robot)
        return way

    def _free(self, robot: Any) -> None:
        way = self._ways.pop(robot)
        self._lost += way.lost
        asyncio.get_running_loop().remove_reader(way.server.fileno())
        way.server.close()

    def _later(self, model: LinkModel, data: bytes, deliver: Callable[[bytes], None]) -> None:
        """Deliver at the times that the model says."""
        now_ns = time.monotonic_ns() - self._start_ns
        for arrival_ns in model.arrivals(len(data), now_ns):
            if self._under_way >= MAX_UNDER_WAY:
                self.ignored += 1
                continue
            self._under_way += 1
            delay_s = (arrival_ns - now_ns) / SECOND_NS
            asyncio.get_running_loop().call_later(delay_s, self._deliver, deliver, data)

    def _deliver(self, deliver: Callable[[bytes], None], data: bytes) -> None:
        self._under_way -= 1
        deliver(data)

    def _to_robot(self, robot: Any, data: bytes) -> None:
        if self._robots is not None and not self._robots.is_closing():
            self._robots.sendto(data, robot)


class _Way:
    """One robot's two directions, and the socket that the server knows it by."""

    def __init__(self, trace: LinkTrace, seed: int, server: UdpTransport) -> None:
        self.up, self.down = LinkModel(trace, seed), LinkModel(trace, seed + 1)
        self.server, self.heard_ns = server, 0

    @property
    def lost(self) -> int:
        return self.up.lost + self.down.lost


class _End(asyncio.DatagramProtocol):
    """Hands datagrams on."""

    def __init__(self, take: Any) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Take a datagram in."""
        self._take(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens yet, or no more."""
