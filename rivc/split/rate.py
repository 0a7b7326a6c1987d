r"""Which row to send, from what became of the frames before: pure functions over `RateState`.

A frame of n bytes that is sent at s, behind others of which the last is through at f, is answered
at about

.. math:: t = max(s, f) + p n + d

where p is the pace of the link in ns a byte, the inverse of its bandwidth, and d the delay of an
empty one. An acknowledgement bounds the pace twice: by the time since the one before it (exact when
frames queue), and by what it took beyond d (nothing when the link is wide); the lower bound is a
sample, and samples are smoothed. d is the smallest :math:`t - s - p n`, forgotten slowly. A loss
says nothing about bandwidth and moves neither: a lossy link keeps its row.

The row chosen is the best one whose p95 arrives in time and whose mean the link bears again and
again. Down at once, up only after ten good frames; if none fits, the frame is skipped; and with
nothing under way something is always sent, for how else would one learn that the link is back?
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from rivc.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivc.split.ladder import Row

GOOD: Final = 10  # frames in time that allow a better row
UNDER_WAY: Final = 64
SMOOTHING: Final = 4  # a sample counts for one in so many
FORGETTING: Final = 64
OVERHEAD: Final = 60  # bytes of UDP, IP, header and seal


class Flight(NamedTuple):
    """A frame without an answer."""

    sequence: int
    sent_ns: int
    size: int
    through_ns: float  # when the link should be done with it


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
        pace: ns a byte, smoothed.
        delay_ns: of an empty link, both ways; None before anything is known.
        free_ns: when the link should be done with everything that was sent.
        acknowledged_ns: when the last acknowledgement came.
        row: that was chosen last.
        good: frames in a row that were answered in time.
        since: frames that were captured since the last one that was sent.
        flights: frames without an answer, the latest 64, in the order they were sent.
    """

    pace: float = 0.0
    delay_ns: float | None = None
    free_ns: float = 0.0
    acknowledged_ns: int = 0
    row: int = 0
    good: int = 0
    since: int = 255  # the first may be sent at once
    flights: tuple[Flight, ...] = ()

    @property
    def kbit_per_s(self) -> float:
        """The bandwidth that the pace stands for; infinite if a frame takes no time."""
        return 8e6 / self.pace if self.pace else float("inf")

    def oldest_ns(self, now_ns: int) -> int:
        """Return for how long the first of the frames without an answer has been under way."""
        return now_ns - self.flights[0].sent_ns if self.flights else 0

    def newest_ns(self, now_ns: int) -> int | None:
        """Return for how long the last of them has, None if there is none."""
        return now_ns - self.flights[-1].sent_ns if self.flights else None


def fits(row: Row, state: RateState, limits: RateLimits, now_ns: int) -> bool:
    """Tell whether the link bears a row: one frame of it now, and all that follow.

    An answer has to be young enough until the next one comes, which is `skip` frames later.
    """
    size, others_ns = row.p95_bytes + OVERHEAD, (row.point.skip - 1) * limits.period_ns
    through_ns = max(0.0, state.free_ns - now_ns) + state.pace * size
    each_ns = state.pace * (row.mean_bytes + OVERHEAD)
    return (
        through_ns + (state.delay_ns or 0) + others_ns <= limits.deadline_ns
        and each_ns <= others_ns + limits.period_ns
    )


def choose(
    state: RateState, rows: Sequence[Row], limits: RateLimits, now_ns: int
) -> tuple[RateState, int | None]:
    """Return the state after a frame was captured, and the row to send it with; None: skip it."""
    is_late = state.oldest_ns(now_ns) > limits.deadline_ns
    state = replace(state, since=state.since + 1, good=0 if is_late else state.good)
    allowed = range(0 if state.good >= GOOD else state.row, len(rows))
    row = next((i for i in allowed if fits(rows[i], state, limits, now_ns)), None)
    if row is None:
        under_way_ns = state.newest_ns(now_ns)
        if under_way_ns is not None and under_way_ns < limits.lost_ns:
            return state, None
        row = len(rows) - 1
    if row != state.row:
        state = replace(state, row=row, good=0)
    return state, row if state.since >= rows[row].point.skip else None


def sent(state: RateState, sequence: int, size: int, now_ns: int) -> RateState:
    """Return the state after a frame of so many bytes was sent."""
    size += OVERHEAD
    through_ns = max(float(now_ns), state.free_ns) + state.pace * size
    flight = Flight(sequence, now_ns, size, through_ns)
    flights = (*state.flights[1 - UNDER_WAY :], flight)
    return replace(state, since=0, free_ns=through_ns, flights=flights)


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
    took_ns = now_ns - flight.sent_ns
    on_link = max(0, took_ns - worked_ns)
    delay = on_link if state.delay_ns is None else state.delay_ns
    spacing = now_ns - max(state.acknowledged_ns, flight.sent_ns)
    sample = max(0.0, min(spacing, on_link - delay)) / flight.size
    pace = state.pace + (sample - state.pace) / SMOOTHING
    empty = max(0.0, on_link - pace * flight.size)
    later_ns = on_link - delay - (flight.through_ns - flight.sent_ns)
    is_good = took_ns <= limits.deadline_ns and flight is state.flights[0]
    return replace(
        state,
        pace=pace,
        delay_ns=min(empty, delay + (empty - delay) / FORGETTING),
        free_ns=state.free_ns + later_ns,
        acknowledged_ns=now_ns,
        good=state.good + 1 if is_good else 0,
        flights=tuple(f for f in state.flights if f.sequence > sequence),
    )


def joined(state: RateState, took_ns: int, now_ns: int) -> RateState:
    """Return the state after the first round trip, of a message that is small."""
    return replace(state, delay_ns=float(took_ns), free_ns=float(now_ns), flights=())
