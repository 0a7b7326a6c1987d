"""Zenoh, also where it is not installed."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rivc.errors import LinkError, MissingError
from rivc.robot import MonotonicClock
from rivc.split import zenoh
from rivc.split.serve import AT_ONCE, Host
from rivc.split.transport import connect, parse_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivc.split.policy import SplitPolicy

    Make = Callable[..., SplitPolicy]


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
