"""Robots on the loopback."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from rivc.neurochip import load_backend
from rivc.robot import MonotonicClock
from rivc.split.policy import Link, LinkTimes, SafeAction, SplitPolicy
from rivc.split.session import Session
from rivc.split.transport import Address, connect
from tests.split.loopback import ACTIONS, LADDER, PATIENT, SPLIT
from tests.split.parts import IDENTITY, KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[..., SplitPolicy]


@pytest.fixture
def new_policy() -> Iterator[Make]:
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
