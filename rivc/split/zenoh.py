"""Zenoh as a transport (``rivc[zenoh]``): ``zenoh://PREFIX``, with or without routers.

A robot puts to ``PREFIX/up/ID`` and listens to ``PREFIX/down/ID``; the server hears all robots.
Messages are put with congestion control "drop", so neither end ever waits for the network.
"""

from __future__ import annotations

import os
import queue
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import LinkError, MissingError
from rivc.robot.clock import SECOND_NS
from rivc.split.wire import MAX_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivc.robot import Clock

QUEUED: Final = 64


class ZenohTransport:
    """The robot's end.

    Args:
        prefix: of the keys.
        clock: of the robot.

    Raises:
        MissingError: if zenoh is not installed.
        LinkError: if it cannot be opened.
    """

    def __init__(self, prefix: str, clock: Clock) -> None:
        self._clock, self._inbox = clock, queue.Queue[bytes](QUEUED)
        robot = os.urandom(8).hex()
        self._peers = Peers(f"{prefix}/down/{robot}", lambda _, data: self._take(data))
        self._key = f"{prefix}/up/{robot}"

    def send(self, data: bytes) -> None:
        """Put a message, or drop it."""
        self._peers.put(self._key, data)

    def receive(self, until_ns: int) -> bytes | None:
        """Return the next message."""
        left_s = max(0, until_ns - self._clock.now_ns()) / SECOND_NS
        try:
            return self._inbox.get(timeout=left_s) if left_s else self._inbox.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Close the session."""
        self._peers.close()

    def _take(self, data: bytes) -> None:
        try:
            self._inbox.put_nowait(data)
        except queue.Full:  # who does not read loses what is new, as on a full socket
            return


class Peers:
    """A Zenoh session that listens to some keys; `take` is called from a thread of Zenoh's."""

    def __init__(self, listen: str, take: Callable[[str, bytes], None]) -> None:
        self._zenoh = _zenoh()

        def heard(sample: Any) -> None:
            if len(sample.payload) <= MAX_MESSAGE:
                take(str(sample.key_expr), bytes(sample.payload))

        try:
            self._session = self._zenoh.open(self._zenoh.Config())
            with ExitStack() as undoing:
                undoing.callback(self._session.close)
                self._listening = self._session.declare_subscriber(listen, heard)
                undoing.pop_all()
        except Exception as error:  # of Zenoh's own kind
            raise LinkError(f"zenoh cannot listen to {listen}: {error}") from error

    def put(self, key: str, data: bytes) -> None:
        """Put a message; what the network does not take now is dropped."""
        if not self._session.is_closed():
            drop = self._zenoh.CongestionControl.DROP
            self._session.put(key, data, congestion_control=drop, express=True)

    def close(self) -> None:
        """Close the session; harmless when called twice."""
        if not self._session.is_closed():
            self._session.close()


def _zenoh() -> Any:
    try:
        import zenoh
    except ImportError as error:
        raise MissingError("no zenoh here; pip install 'rivc[zenoh]'") from error
    return zenoh
