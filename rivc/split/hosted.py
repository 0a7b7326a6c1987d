"""What listens at sockets, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rivc.split.transport import Address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager


class Listener(Protocol):
    """A `rivc.split.serve.Host` or a `rivc.split.proxy.Proxy`.

    Attributes:
        ended: once it listens, is done when it is to end, or has failed.
    """

    ended: asyncio.Future[None] | None

    def listening(self, address: Address) -> AbstractAsyncContextManager[Address]:
        """Listen while the context lasts; yields where."""
        ...


@contextmanager
def listening_in_a_thread(listener: Listener, address: Address) -> Iterator[Address]:
    """Listen in a thread of its own while the context lasts; yields where.

    Raises:
        LinkError: if the address cannot be listened at.
        Exception: what the listener failed with, once the context is left; what went wrong in the
            context meanwhile may be nothing but that.
    """
    started, where, failed = threading.Event(), list[Address](), list[Exception]()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        try:
            async with listener.listening(address) as listening:
                where.append(listening)
                started.set()
                if listener.ended is not None:
                    await listener.ended
        except Exception as error:
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    started.wait()
    try:
        if where:
            yield where[0]
    finally:
        loop.call_soon_threadsafe(lambda: end(listener.ended))
        thread.join()
        loop.close()
        if failed:
            raise failed[0]


def end(ended: asyncio.Future[None] | None, error: Exception | None = None) -> None:
    """Let a listener end, with an error or without; what it ended with first is kept."""
    if ended is None or ended.done():
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)
