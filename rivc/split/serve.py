"""A `Server` on UDP, TCP or Zenoh, in one asyncio loop.

A batch begins once everything that has arrived is taken in: what comes while one is computed is the
next, so batches grow with the load and nobody waits for them. Connections, their buffers and the
messages on them are bounded; a peer that is silent, or says what cannot be, is disconnected.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import LinkError, RivcError
from rivc.split.hosted import end
from rivc.split.transport import LENGTH, Address
from rivc.split.wire import MAX_MESSAGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

    from rivc.split.server import Replies, Server

WINDOW_S: Final = 0.0
AT_ONCE: Final = 256  # datagrams that are taken in before a batch, messages of Zenoh that wait
BUFFER: Final = 1 << 20  # bytes that wait in the system while a batch is computed
MAX_CONNECTIONS: Final = 256
SILENT_S: Final = 30.0
UNSENT_BYTES: Final = 1 << 18  # of a connection that does not read; what is newer is dropped


class Host:
    """A server and its sockets.

    Args:
        server: what answers.
        window_s: from the first frame that waits to its batch.

    Attributes:
        address: where it listens, once it does.
        ended: is done when it is stopped, or the chip or what learns has failed.
    """

    def __init__(self, server: Server, window_s: float = WINDOW_S) -> None:
        self._server, self._window_s = server, window_s
        self._batch: asyncio.TimerHandle | None = None
        self._writers: dict[Any, asyncio.StreamWriter] = {}  # by the task that reads
        self._post: Callable[[Any, bytes], None] = self._write
        self.address: Address | None = None
        self.ended: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def listening(self, address: Address) -> AsyncIterator[Address]:
        """Listen at an address while the context lasts; yields it with the port that was free.

        Raises:
            LinkError: if the address cannot be listened at.
        """
        self.ended = asyncio.get_running_loop().create_future()
        listen = {
            "udp": self._listen_udp,
            "tcp": self._listen_tcp,
            "zenoh": self._listen_zenoh,
        }[address.scheme]
        try:
            closing, port = await listen(address)
        except (OSError, OverflowError, UnicodeError) as error:
            raise LinkError(f"cannot listen at {address}: {error}") from error
        self.address = Address(address.scheme, address.host, port)
        try:
            yield self.address
        finally:
            closing.close()
            for talk in self._writers:
                talk.cancel()
            await asyncio.gather(*self._writers, return_exceptions=True)
            if self._batch is not None:
                self._batch.cancel()

    def stop(self) -> None:
        """Let `until_ended` return."""
        end(self.ended)

    async def until_ended(self, seconds: float | None = None) -> None:
        """Return when it is stopped or the time is over; raise what it failed with."""
        if self.ended is not None:
            await asyncio.wait([self.ended], timeout=seconds)
            if self.ended.done():
                self.ended.result()

    async def _listen_udp(self, address: Address) -> tuple[Any, int]:
        loop = asyncio.get_running_loop()
        [(family, *_, where), *_] = await loop.getaddrinfo(
            address.host, address.port, type=socket.SOCK_DGRAM
        )
        udp = _Datagrams(family, where)
        self._post = udp.send
        loop.add_reader(udp.socket, udp.read, self.take)
        return udp, udp.socket.getsockname()[1]

    async def _listen_tcp(self, address: Address) -> tuple[Any, int]:
        listener = await asyncio.start_server(self._talk, address.host, address.port)
        return listener, listener.sockets[0].getsockname()[1]

    async def _listen_zenoh(self, address: Address) -> tuple[Any, int]:
        from rivc.split.zenoh import Peers

        loop, room = asyncio.get_running_loop(), threading.Semaphore(AT_ONCE)

        def take(data: bytes, peer: str) -> None:
            room.release()
            self.take(data, peer)

        def heard(key: str, data: bytes) -> None:
            if not room.acquire(blocking=False):
                return  # as a socket whose buffer is full
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(take, data, key.rpartition("/")[2])

        peers = Peers(f"{address.host}/up/*", heard)
        self._post = lambda peer, data: peers.put(f"{address.host}/down/{peer}", data)
        return peers, 0

    # -- messages -------------------------------------------------------------------------------

    def take(self, data: bytes, peer: Hashable) -> None:
        """Take a message in, and see to it that a batch follows."""
        try:
            self._send(self._server.receive(data, peer, time.monotonic_ns()))
        except RivcError as error:  # what learns here has failed
            end(self.ended, error)
        if self._batch is None and self._server.is_waited_for:
            loop = asyncio.get_running_loop()
            self._batch = loop.call_later(self._window_s, self._answer)

    def _answer(self) -> None:
        self._batch = None
        try:
            self._send(self._server.answer(time.monotonic_ns()))
        except Exception as error:  # a chip that failed ends the server, not one batch
            end(self.ended, error)

    def _send(self, replies: Replies) -> None:
        for peer, data in replies:
            self._post(peer, data)

    def _write(self, peer: Any, data: bytes) -> None:
        """Write to a connection, unless it does not read."""
        writer = self._writers.get(peer)
        if writer is not None and writer.transport.get_write_buffer_size() < UNSENT_BYTES:
            writer.write(LENGTH.pack(len(data)) + data)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one connection to its end."""
        peer = asyncio.current_task()
        if len(self._writers) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._writers[peer] = writer
        try:
            while True:
                data = await asyncio.wait_for(_read(reader), SILENT_S)
                if data is None:
                    return
                self.take(data, peer)
        except (OSError, EOFError, TimeoutError):
            return
        finally:
            del self._writers[peer]
            writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes | None:
    """The next message; None if its length cannot be."""
    [size] = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    return await reader.readexactly(size) if size <= MAX_MESSAGE else None


class _Datagrams:
    """A UDP socket that is emptied in one turn of the loop, for one batch of all that came."""

    def __init__(self, family: int, where: Any) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self.socket.bind(where)
        except OSError:
            self.socket.close()
            raise

    def read(self, take: Callable[[bytes, Any], None]) -> None:
        """Take in what has come; what is still there then is for the next turn."""
        with suppress(OSError):  # nothing left, or a peer that is gone, which is forgotten in time
            for _ in range(AT_ONCE):
                take(*self.socket.recvfrom(MAX_MESSAGE + 1))

    def send(self, peer: Any, data: bytes) -> None:
        """Send a datagram; what the system does not take is lost, as on the way."""
        with suppress(OSError):
            self.socket.sendto(data, peer)

    def close(self) -> None:
        """Close the socket."""
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()
