"""The robot's end of a transport: one small protocol, and UDP, TCP and no wire at all.

None of them blocks when it sends: what the wire does not take now is replaced by what is newer.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from rivc.errors import ConfigError, LinkError
from rivc.robot.clock import SECOND_NS
from rivc.split.wire import MAX_MESSAGE

if TYPE_CHECKING:
    from rivc.robot import Clock
    from rivc.split.server import Replies, Server

LENGTH: Final = struct.Struct("<I")
RECONNECT_NS: Final = SECOND_NS // 5
SILENT_MS: Final = 2000  # a TCP connection that acknowledges nothing for so long is made anew
CONNECTING: Final = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK})


class Transport(Protocol):
    """The robot's end of a way to the server that may lose, delay and repeat messages."""

    def send(self, data: bytes) -> None:
        """Send a message, or drop it or one before it; returns at once."""
        ...

    def receive(self, until_ns: int) -> bytes | None:
        """Return the next message, None if none came by a time of the robot's clock."""
        ...

    def close(self) -> None:
        """Let go; harmless when called twice."""
        ...


class Address(NamedTuple):
    """Where a server is, or listens; of Zenoh the host is the prefix of its keys."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        if self.scheme == "zenoh":
            return f"zenoh://{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the parts of an address.

    Raises:
        ConfigError: if it is none.

    >>> parse_address("udp://127.0.0.1:7447").port
    7447
    """
    scheme, has_scheme, rest = text.partition("://")
    if scheme == "zenoh" and rest.replace("/", "").isalnum() and rest.strip("/") == rest:
        return Address(scheme, rest, 0)
    host, has_port, port = rest.rpartition(":")
    if scheme not in {"udp", "tcp"} or not (has_scheme and has_port and host):
        raise ConfigError(
            f"{text!r} is no address; give udp://HOST:PORT, tcp://HOST:PORT or zenoh://PREFIX"
        )
    if not port.isdecimal() or len(port) > len("65535") or int(port) > 65535:
        raise ConfigError(f"{text!r}: the port is a number up to 65535")
    return Address(scheme, host.strip("[]"), int(port))


def connect(address: Address, clock: Clock) -> Transport:
    """Return the robot's end of a transport to a server; it need not run yet.

    Raises:
        LinkError: if the host has no address; on UDP also if there is no way to it.
        MissingError: if zenoh is asked for and not installed.
    """
    if address.scheme == "zenoh":
        from rivc.split.zenoh import ZenohTransport

        return ZenohTransport(address.host, clock)
    if address.scheme == "udp":
        return connect_udp(address, clock)
    return TcpTransport(*_found(address, socket.SOCK_STREAM), clock)


def connect_udp(address: Address, clock: Clock) -> UdpTransport:
    """Return the robot's end of UDP, which a selector can wait for.

    Raises:
        ConfigError: if the address is of another transport.
        LinkError: if the host has no address, or there is no way to it.
    """
    if address.scheme != "udp":
        raise ConfigError(f"{address} is not UDP; give udp://HOST:PORT")
    where = _found(address, socket.SOCK_DGRAM)
    try:
        return UdpTransport(*where, clock)
    except OSError as error:
        raise LinkError(f"no way to {address}: {error}") from error


def _found(address: Address, kind: socket.SocketKind) -> tuple[int, object]:
    """The family and the place of an address."""
    try:
        family, *_, where = socket.getaddrinfo(address.host, address.port, type=kind)[0]
    except (OSError, UnicodeError) as error:
        raise LinkError(f"{address} cannot be found: {error}") from error
    return family, where


class InProcess:
    """A server in the same process, which answers when it is waited for."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server, self._clock = server, clock
        self._inbox: deque[bytes] = deque(maxlen=64)

    def send(self, data: bytes) -> None:
        """Hand a message over."""
        self._deliver(self._server.receive(data, self, self._clock.now_ns()))

    def receive(self, until_ns: int) -> bytes | None:
        """Let the server work, and take what it said."""
        if not self._inbox and self._server.is_waited_for:
            self._deliver(self._server.answer(self._clock.now_ns()))
        if not self._inbox:
            self._clock.sleep_until(until_ns)
            return None
        return self._inbox.popleft()

    def close(self) -> None:
        """Nothing to let go of."""

    def _deliver(self, replies: Replies) -> None:
        for peer, data in replies:
            if isinstance(peer, InProcess):
                peer._inbox.append(data)


class UdpTransport:
    """One datagram a message."""

    def __init__(self, family: int, where: object, clock: Clock) -> None:
        self._clock = clock
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.connect(where)  # type: ignore[arg-type]
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Return what a selector waits for."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Send a datagram; what the system does not take is lost, as on the way."""
        with suppress(OSError):
            self._socket.send(data)

    def receive(self, until_ns: int) -> bytes | None:
        """Return the next datagram."""
        while True:
            with suppress(OSError):  # nothing yet; or nobody listens, which may have changed
                return self._socket.recv(MAX_MESSAGE + 1)
            if self._clock.now_ns() >= until_ns or not _wait(self._socket, until_ns, self._clock):
                return None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class TcpTransport:
    """Messages in a stream, each after its length; connects again by itself.

    A message that could not be sent yet is replaced by a newer one; one that was begun is finished.
    """

    def __init__(self, family: int, where: object, clock: Clock) -> None:
        self._family, self._where, self._clock = family, where, clock
        self._socket: socket.socket | None = None
        self._tried_ns = clock.now_ns() - RECONNECT_NS
        self._begun, self._next, self._inbox = b"", b"", b""
        self._is_closed = False
        self._connect()

    def send(self, data: bytes) -> None:
        """Send a message as far as the system takes it."""
        self._next = LENGTH.pack(len(data)) + data
        self._connect()
        self._flush()

    def receive(self, until_ns: int) -> bytes | None:
        """Return the next message."""
        while True:
            message = self._message()
            if message is not None:
                return message
            connection = self._connected(until_ns)
            if connection is None or not self._wait(connection, until_ns):
                return None
            self._flush()
            self._read()

    def close(self) -> None:
        """Close the connection, what was sent last first."""
        self._flush()
        self._disconnect()
        self._is_closed = True

    def _wait(self, connection: socket.socket, until_ns: int) -> bool:
        wants = [connection] if self._begun or self._next else []
        left_s = max(0, until_ns - self._clock.now_ns()) / SECOND_NS
        return any(select.select([connection], wants, [], left_s))

    def _connected(self, until_ns: int) -> socket.socket | None:
        """The connection; where there is none, wait to make one, at most until a time."""
        while self._socket is None and not self._is_closed and self._clock.now_ns() < until_ns:
            self._clock.sleep_until(min(until_ns, self._tried_ns + RECONNECT_NS))
            self._connect()
        return self._socket

    def _connect(self) -> None:
        now_ns = self._clock.now_ns()
        too_soon = now_ns - self._tried_ns < RECONNECT_NS
        if self._socket is not None or self._is_closed or too_soon:
            return
        self._tried_ns = now_ns
        self._socket = socket.socket(self._family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
        if self._socket.connect_ex(self._where) not in CONNECTING:  # type: ignore[arg-type]
            self._socket.close()  # without a way there, a selector would not wait for it
            self._socket = None

    def _flush(self) -> None:
        while self._socket is not None and (self._begun or self._next):
            if not self._begun:
                self._begun, self._next = self._next, b""
            try:
                self._begun = self._begun[self._socket.send(self._begun) :]
            except BlockingIOError:
                return
            except OSError as error:
                if not _is_connecting(error):
                    self._disconnect()
                return

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError as error:
            if not _is_connecting(error):
                self._disconnect()
            return
        if not data:
            self._disconnect()
        self._inbox += data

    def _message(self) -> bytes | None:
        """The first whole message; a length that cannot be ends the connection."""
        if len(self._inbox) < LENGTH.size:
            return None
        [size] = LENGTH.unpack_from(self._inbox)
        if size > MAX_MESSAGE:
            self._disconnect()
            return None
        end = LENGTH.size + size
        if len(self._inbox) < end:
            return None
        message, self._inbox = self._inbox[LENGTH.size : end], self._inbox[end:]
        return message

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._begun, self._next, self._inbox = b"", b"", b""


def _is_connecting(error: OSError) -> bool:
    return error.errno in {errno.ENOTCONN, errno.EINPROGRESS, errno.EALREADY}


def _wait(connection: socket.socket, until_ns: int, clock: Clock) -> bool:
    """Wait until there is something to read, at most until a time."""
    left_s = max(0, until_ns - clock.now_ns()) / SECOND_NS
    return bool(select.select([connection], [], [], left_s)[0])
