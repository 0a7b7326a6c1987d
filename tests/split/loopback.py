"""Servers in threads of their own on the loopback, and what a robot decides there."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from rivc.robot import ActionTable, Frame
from rivc.snn_convert import reference
from rivc.snn_convert.program import greedy
from rivc.split.halves import cut
from rivc.split.hosted import listening_in_a_thread
from rivc.split.policy import LinkTimes, SplitPolicy
from rivc.split.proxy import Proxy
from rivc.split.serve import Host
from rivc.split.server import Server
from rivc.split.transport import Address
from tests.programs import conv_program
from tests.split.parts import IDENTITY, KEY, infer_of, lossless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rivc.split.link import LinkTrace

    Make = Callable[..., SplitPolicy]

PROGRAM = conv_program()
SPLIT = cut(PROGRAM, 1)
LADDER = lossless(SPLIT)
ACTIONS = ActionTable.levels([[0.0, 1.0, 2.0, 3.0]])
PATIENT = LinkTimes(50, 10_000, 10_000)  # waits for every answer, on any machine


@contextmanager
def hosted(scheme: str, trace: LinkTrace | None = None) -> Iterator[tuple[Address, Server]]:
    """A server of the test program."""
    server = Server(LADDER, infer_of(SPLIT), IDENTITY, KEY)
    with listening(server, scheme, trace) as address:
        yield address, server


@contextmanager
def listening(
    server: Server, scheme: str = "udp", trace: LinkTrace | None = None
) -> Iterator[Address]:
    """A server in a thread of its own, behind a proxy if there is a trace."""
    local = Address(scheme, "rivc/test" if scheme == "zenoh" else "127.0.0.1", 0)
    with ExitStack() as stack:
        address = stack.enter_context(listening_in_a_thread(Host(server), local))
        if trace is not None:
            proxy = Proxy(address, trace)
            address = stack.enter_context(listening_in_a_thread(proxy, local))
        yield address


def decide(
    policy: SplitPolicy, frames: int, seed: int = 0, start: int = 0
) -> tuple[list[float], list[float]]:
    """What the split policy does on random pictures, and what the uncut one would."""
    rng, got, wanted = np.random.default_rng(seed), [], []
    for i in range(frames):
        x = rng.integers(0, 256, PROGRAM.encoding.shape, dtype=np.uint8)
        policy.see(Frame(x, time.monotonic_ns(), start + i))
        got.append(float(policy.infer(policy.encode(x))[0]))
        wanted.append(float(greedy(reference.run(PROGRAM, x[None]))[0, 0]))
    return got, wanted
