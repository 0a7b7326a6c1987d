"""A server behind a simulated link, in simulated time."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

from rivc.robot.clock import MILLISECOND_NS

if TYPE_CHECKING:
    from rivc.robot import SimulatedClock
    from rivc.split.link import LinkModel
    from rivc.split.server import Replies, Server


class SimulatedTransport:
    """The robot's end of a link that exists in simulated time only.

    What happens at the other end happens at its own time, whenever it is computed: packets arrive,
    a batch begins `window_ms` after the first frame that waits, and is done `work_ms` later.

    Args:
        server: at the other end.
        clock: of the robot.
        link: to the server, and back.
        window_ms: of the server's batches.
        work_ms: that a batch takes.
    """

    def __init__(
        self,
        server: Server,
        clock: SimulatedClock,
        link: tuple[LinkModel, LinkModel],
        window_ms: float = 1.0,
        work_ms: float = 1.0,
    ) -> None:
        self._server, self._clock, (self._up, self._down) = server, clock, link
        self._window_ns = round(window_ms * MILLISECOND_NS)
        self._work_ns = round(work_ms * MILLISECOND_NS)
        self._order = count()
        self._there: list[tuple[int, int, bytes | None]] = []  # None: a batch begins
        self._here: list[tuple[int, int, bytes]] = []
        self._batch_is_due = False

    def send(self, data: bytes) -> None:
        """Put a message on its way."""
        for time_ns in self._up.arrivals(len(data), self._clock.now_ns()):
            heapq.heappush(self._there, (time_ns, next(self._order), data))

    def receive(self, until_ns: int) -> bytes | None:
        """Let time pass until the next message."""
        until_ns = max(until_ns, self._clock.now_ns())
        while self._there and self._there[0][0] <= min(until_ns, self._next_here()):
            self._happen(*heapq.heappop(self._there))
        if self._next_here() > until_ns:
            self._clock.sleep_until(until_ns)
            return None
        time_ns, _, data = heapq.heappop(self._here)
        self._clock.sleep_until(time_ns)
        return data

    def close(self) -> None:
        """Nothing to let go of."""

    def _next_here(self) -> int:
        return self._here[0][0] if self._here else 1 << 63

    def _happen(self, time_ns: int, _: int, data: bytes | None) -> None:
        if data is None:
            self._batch_is_due = False
            self._return(self._server.answer(time_ns), time_ns + self._work_ns)
            return
        self._return(self._server.receive(data, "robot", time_ns), time_ns)
        if self._server.is_waited_for and not self._batch_is_due:
            self._batch_is_due = True
            heapq.heappush(self._there, (time_ns + self._window_ns, next(self._order), None))

    def _return(self, replies: Replies, time_ns: int) -> None:
        for _, data in replies:
            for arrival_ns in self._down.arrivals(len(data), time_ns):
                heapq.heappush(self._here, (arrival_ns, next(self._order), data))
