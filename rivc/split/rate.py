r"""Which row to send, from what became of the frames before: pure functions over `RateState`.

A frame of n bytes that is sent at s, behind others of which the last is through at f, is answered
at about

.. math:: t = max(s, f) + p n + d

where p is the pace of the link in ns a byte, the inverse of its bandwidth, and d the delay of an
empty one; `rivc.split.pace` learns both from acknowledgements. A loss says nothing about bandwidth
and changes neither, nor does a frame that was overtaken: a lossy link keeps its row.

The row chosen is the best one whose p95 arrives in time and whose mean the link bears again and
again. Down at once, up only after ten good frames. If none fits, the smallest is sent whenever the
link is done with the one before; and after a while without an answer something is always sent, for
how else would one learn that the link is back?
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from rivc.errors import ConfigError
from rivc.split.link import OVERHEAD
from rivc.split.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivc.split.ladder import Row

GOOD: Final = 10  # frames in time that allow a better row
UNDER_WAY: Final = 64
ENVELOPE: Final = 28  # bytes of header, body and seal around a packet
JOINING: Final = 54  # bytes of a message that joins


class Flight(NamedTuple):
    """A frame without an answer."""

    sequence: int
    sent_ns: int
    size: int


@dataclass(frozen=True, slots=True)
class RateLimits:
    """When an answer is in time.

    Attributes:
        deadline_ns: from sending to the last use of the answer.
        period_ns: between two frames.

    Raises:
        ConfigError: if a time is not positive.
    """

    deadline_ns: int
    period_ns: int

    def __post_init__(self) -> None:
        if min(self.deadline_ns, self.period_ns) <= 0:
            raise ConfigError(f"deadline and period are positive times, not {self}")

    @property
    def lost_ns(self) -> int:
        """After so long, a frame without an answer is no longer under way."""
        return 2 * self.deadline_ns


@dataclass(frozen=True, slots=True)
class RateState:
    """What is known of the link.

    Attributes:
        pace: of the link.
        through_ns: when the link was done with the frame that was acknowledged last.
        row: that was chosen last.
        good: frames in a row that were answered in time.
        since: frames that were captured since the last one that was sent.
        flights: frames without an answer, the latest 64, in the order they were sent.
    """

    pace: Pace = field(default_factory=Pace)
    through_ns: float = 0.0
    row: int = 0
    good: int = 0
    since: int = 255  # the first may be sent at once
    flights: tuple[Flight, ...] = ()

    @property
    def free_ns(self) -> float:
        """When the link should be done with everything that was sent."""
        free_ns = self.through_ns
        for flight in self.flights:
            free_ns = max(free_ns, flight.sent_ns) + self.pace.byte_ns * flight.size
        return free_ns

    def oldest_ns(self, now_ns: int) -> int:
        """Return for how long the first of the frames without an answer has been under way."""
        return now_ns - self.flights[0].sent_ns if self.flights else 0

    def newest_ns(self, now_ns: int) -> float:
        """Return for how long the last of them has, for ever if there is none."""
        return now_ns - self.flights[-1].sent_ns if self.flights else float("inf")


def fits(row: Row, state: RateState, limits: RateLimits, wait_ns: float) -> bool:
    """Tell whether the link bears a row: one frame of it after a wait, and all that follow.

    An answer has to be young enough until the next one comes, which is `skip` frames later. A row
    whose turn has not come yet waits less when it has.
    """
    pace, around = state.pace, ENVELOPE + OVERHEAD
    others_ns = (row.point.skip - 1) * limits.period_ns
    early_ns = max(0, row.point.skip - state.since) * limits.period_ns
    through_ns = max(0.0, wait_ns - early_ns) + pace.byte_ns * (row.p95_bytes + around)
    each_ns = pace.byte_ns * (row.mean_bytes + around)
    return (
        through_ns + pace.delay_ns + others_ns <= limits.deadline_ns
        and each_ns <= others_ns + limits.period_ns
    )


def choose(
    state: RateState, rows: Sequence[Row], limits: RateLimits, now_ns: int
) -> tuple[RateState, int | None]:
    """Return the state after a frame was captured, and the row to send it with; None: skip it."""
    is_late = state.oldest_ns(now_ns) > limits.deadline_ns
    state = replace(state, since=state.since + 1, good=0 if is_late else state.good)
    allowed = range(0 if state.good >= GOOD else state.row, len(rows))
    wait_ns = max(0.0, state.free_ns - now_ns)
    row = next((i for i in allowed if fits(rows[i], state, limits, wait_ns)), None)
    if row is None:
        if wait_ns and state.newest_ns(now_ns) < limits.lost_ns:
            return state, None
        row = smallest(rows)
    if row != state.row:
        state = replace(state, row=row, good=0)
    return state, row if state.since >= rows[row].point.skip else None


def smallest(rows: Sequence[Row]) -> int:
    """Return the row that a narrow link bears most often."""
    return min(range(len(rows)), key=lambda i: (rows[i].p95_bytes, rows[i].point.skip))


def sent(state: RateState, sequence: int, size: int, now_ns: int) -> RateState:
    """Return the state after a message of so many bytes was sent."""
    flights = (*state.flights[1 - UNDER_WAY :], Flight(sequence, now_ns, size + OVERHEAD))
    return replace(state, since=0, flights=flights)


def acknowledged(
    state: RateState, sequence: int, limits: RateLimits, now_ns: int, worked_ns: int = 0
) -> RateState:
    """Return the state after an answer or acknowledgement; frames before it are forgotten.

    Args:
        state: before it.
        sequence: of the frame.
        limits: when it was in time.
        now_ns: when it came.
        worked_ns: how long the server had it, which is not the link's fault.
    """
    flight = next((f for f in state.flights if f.sequence == sequence), None)
    if flight is None:
        return state
    pace, was_first = state.pace, flight is state.flights[0]
    left_ns = now_ns - worked_ns - flight.sent_ns
    if was_first:
        waited_ns = state.through_ns - flight.sent_ns
        took_ns = left_ns - waited_ns - pace.delay_ns if waited_ns > 0 else left_ns
        pace = pace.after(flight.size, took_ns, waited=waited_ns > 0)
    in_time = now_ns - flight.sent_ns <= limits.deadline_ns
    return replace(
        state,
        pace=pace,
        through_ns=now_ns - worked_ns - pace.delay_ns,
        good=state.good + 1 if in_time else 0,
        flights=tuple(f for f in state.flights if f.sequence > sequence),
    )


def joined(state: RateState, took_ns: int) -> RateState:
    """Return the state after the first round trip of a session, of a message that is small."""
    pace = state.pace.after(JOINING + OVERHEAD, took_ns, waited=False)
    return replace(state, pace=pace, through_ns=0.0, flights=())
