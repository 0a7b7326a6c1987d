"""What listens at sockets, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rivc.errors import LinkError
from rivc.split.transport import Address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager


class Listener(Protocol):
    """A `rivc.split.serve.Host` or a `rivc.split.proxy.Proxy`."""

    def listening(self, address: Address) -> AbstractAsyncContextManager[Address]:
        """Listen while the context lasts; yields where."""
        ...


@contextmanager
def listening_in_a_thread(listener: Listener, address: Address) -> Iterator[Address]:
    """Listen in a thread of its own while the context lasts; yields where.

    Raises:
        LinkError: if the address cannot be listened at.
    """
    started, where, failed = threading.Event(), list[Address](), list[Exception]()
    loop, ended = asyncio.new_event_loop(), asyncio.Event()

    async def main() -> None:
        try:
            async with listener.listening(address) as listening:
                where.append(listening)
                started.set()
                await ended.wait()
        except LinkError as error:
            failed.append(error)
            started.set()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    started.wait()
    try:
        if failed:
            raise failed[0]
        yield where[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
