"""A server with sockets, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rivc.errors import LinkError
from rivc.split.serve import Host
from rivc.split.transport import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivc.split.server import Server


@contextmanager
def hosted_in_a_thread(server: Server, address: Address) -> Iterator[Address]:
    """Let a server listen in a thread of its own while the context lasts; yields where.

    Raises:
        LinkError: if the address cannot be listened at.
    """
    started, where, failed = threading.Event(), list[Address](), list[Exception]()
    loop, ended = asyncio.new_event_loop(), asyncio.Event()
    host = Host(server)

    async def main() -> None:
        try:
            async with host.listening(address) as listening:
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
