"""Many robots in one loop, to see how many of them a server bears.

Each has a socket, a session and a phase of its own. It sends what the first layers emitted in an
episode that was recorded, encoded anew for each frame, in the first row of the ladder whatever the
link is like. That row loses nothing, so an answer that is not the recorded one is wrong. Time
counts from when a frame was due, so a loop that cannot keep up counts against itself.
"""

from __future__ import annotations

import selectors
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import ConfigError, LinkError
from rivc.robot.clock import MILLISECOND_NS, SECOND_NS, MonotonicClock
from rivc.robot.rate import Durations, period_ns
from rivc.split.session import AT_ONCE, KEPT, Answer, Session
from rivc.split.transport import connect_udp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.robot import Percentiles
    from rivc.split.folder import SplitFolder
    from rivc.split.transport import Address, UdpTransport

JOINING_S: Final = 10.0


@dataclass(frozen=True)
class Episode:
    """What the robots send, and what has to come back.

    Attributes:
        counts: of the cut layer, uint8, [T, *shape].
        readout: of the uncut program, int64, [T, d * n].
    """

    counts: NDArray[np.uint8]
    readout: NDArray[np.int64]


@dataclass(frozen=True)
class FleetPlan:
    """How many robots, how fast, for how long.

    Attributes:
        robots: each begins elsewhere in the episode.
        rate_hz: frames a second of each.
        seconds: for how long.
        deadline_ms: that an answer may take, from when its frame was due.
        seed: of the phases.

    Raises:
        ConfigError: if there is nothing to do.
    """

    robots: int
    rate_hz: float
    seconds: float
    deadline_ms: float
    seed: int = 0

    def __post_init__(self) -> None:
        if self.robots < 1 or min(self.seconds, self.deadline_ms) <= 0:
            raise ConfigError(f"a fleet has robots, seconds and a deadline above 0, not {self}")


@dataclass(frozen=True)
class FleetReport:
    """What came of it.

    Attributes:
        robots: how many.
        frames: that were due.
        outcomes: answers `in time`, `late` and `wrong` ones, frames `unanswered` or `not joined`.
        sent_bytes: of messages.
        latency: of the answers, from when their frames were due.
        late_sending: how much later than due frames were sent, which is the loop's own fault.
        on_time: robots of which every frame was answered rightly and in time.
        joins: sessions that were begun; more than the robots if some lost the server.
        dropped: messages that were dropped, by reason.
    """

    robots: int
    frames: int
    outcomes: Counter[str]
    sent_bytes: int
    latency: Percentiles
    late_sending: Percentiles
    on_time: int
    joins: int
    dropped: Counter[str]


def drive_fleet(
    folder: SplitFolder, episode: Episode, address: Address, plan: FleetPlan, key: bytes = b""
) -> FleetReport:
    """Drive a fleet against a server on UDP.

    Args:
        folder: the split; the server has the same.
        episode: what is sent.
        address: of the server.
        plan: how many, how fast, for how long.
        key: shared with the server; empty: nothing is authenticated.

    Raises:
        ConfigError: if the address is not of UDP.
        LinkError: if the server cannot be reached, refuses a robot, or does not answer before the
            start.
    """
    fleet = _Fleet(folder, episode, address, plan, key)
    try:
        return fleet.drive()
    finally:
        fleet.close()


class _Member:
    """One robot of a fleet."""

    def __init__(
        self, session: Session, transport: UdpTransport, episode: Episode, at: int
    ) -> None:
        self.session, self._transport, self._episode, self._at = session, transport, episode, at
        self._sent: dict[int, tuple[int, int]] = {}  # when it was due, and which of the episode
        self.outcomes, self.sent_bytes = Counter[str](), 0

    @property
    def is_waiting(self) -> bool:
        return bool(self._sent)

    def join(self, now_ns: int) -> None:
        asked = self.session.join(now_ns)
        if asked is not None:
            self._transport.send(asked)

    def send(self, due_ns: int, now_ns: int) -> None:
        """Send the frame that is due, if the server is there."""
        self.session.give_up(now_ns)
        if not self.session.is_joined:
            self._sent.clear()
            self.outcomes["not joined"] += 1
            self.join(now_ns)
            return
        self._at = (self._at + 1) % len(self._episode.counts)
        sequence, data = self.session.frame(self._episode.counts[self._at], 0, now_ns)
        self._transport.send(data)
        self.sent_bytes += len(data)
        self._sent[sequence] = due_ns, self._at
        self._sent.pop(sequence - KEPT, None)

    def collect(self, clock: MonotonicClock, deadline_ns: int, latency: Durations) -> None:
        """Take in what has come; it may come faster than it is read."""
        for data in islice(iter(partial(self._transport.receive, 0), None), AT_ONCE):
            now_ns = clock.now_ns()
            answer = self.session.receive(data, now_ns)
            if isinstance(answer, Answer) and answer.sequence in self._sent:
                due_ns, at = self._sent.pop(answer.sequence)
                is_right = np.array_equal(answer.readout, self._episode.readout[at])
                in_time = now_ns - due_ns <= deadline_ns
                latency.add(now_ns - due_ns)
                self.outcomes["wrong" if not is_right else "in time" if in_time else "late"] += 1

    def close(self) -> None:
        if self.session.is_joined:
            self._transport.send(self.session.leave())
        self._transport.close()


class _Fleet:
    """All of them, and the loop."""

    def __init__(
        self,
        folder: SplitFolder,
        episode: Episode,
        address: Address,
        plan: FleetPlan,
        key: bytes,
    ) -> None:
        self._folder, self._episode, self._address, self._key = folder, episode, address, key
        self._plan, self._clock = plan, MonotonicClock()
        self._selector = selectors.DefaultSelector()
        self._latency, self._late = Durations(), Durations()
        self._deadline_ns = round(plan.deadline_ms * MILLISECOND_NS)
        self._members: list[_Member] = []

    def drive(self) -> FleetReport:
        self._folder.ladder.warm_up()
        for i in range(self._plan.robots):
            self._add(i)
        self._join()
        plan, (length_ns, per) = self._plan, period_ns(self._plan.rate_hz)
        phases = np.sort(np.random.default_rng(plan.seed).random(plan.robots)) * length_ns / per
        start_ns = self._clock.now_ns() + SECOND_NS // 10
        for slot in range(max(1, round(plan.seconds * plan.rate_hz))):
            for member, phase_ns in zip(self._members, phases.tolist(), strict=True):
                due_ns = start_ns + slot * length_ns // per + int(phase_ns)
                self._collect(due_ns)
                now_ns = self._clock.now_ns()
                self._late.add(now_ns - due_ns)
                member.send(due_ns, now_ns)
        self._await_answers(self._clock.now_ns() + self._deadline_ns + SECOND_NS)
        return self._report(slot + 1)

    def close(self) -> None:
        for member in self._members:
            member.close()
        self._selector.close()

    def _add(self, i: int) -> None:
        folder, episode = self._folder, self._episode
        transport = connect_udp(self._address, self._clock)
        session = Session(folder.ladder, folder.identity, episode.readout.shape[1], self._key)
        at = i * len(episode.counts) // self._plan.robots
        self._members.append(_Member(session, transport, episode, at))
        self._selector.register(transport, selectors.EVENT_READ, self._members[-1])

    def _join(self) -> None:
        """Let all of them in before time counts."""
        until_ns = self._clock.now_ns() + round(JOINING_S * SECOND_NS)
        while missing := [member for member in self._members if not member.session.is_joined]:
            now_ns = self._clock.now_ns()
            if now_ns > until_ns:
                raise LinkError(
                    f"the server let {len(self._members) - len(missing)} of "
                    f"{len(self._members)} robots in within {JOINING_S:g} s; "
                    "is it there, with the same split and key?"
                )
            for member in missing:
                member.join(now_ns)
            self._collect(now_ns + 5 * MILLISECOND_NS)

    def _await_answers(self, until_ns: int) -> None:
        """Take in what is still under way."""
        while any(member.is_waiting for member in self._members):
            now_ns = self._clock.now_ns()
            if now_ns > until_ns:
                return
            self._collect(now_ns + MILLISECOND_NS)

    def _collect(self, until_ns: int) -> None:
        """Take in what comes until a time; what is there already in any case."""
        while True:
            left_ns = max(0, until_ns - self._clock.now_ns())
            for key, _ in self._selector.select(left_ns / SECOND_NS):
                key.data.collect(self._clock, self._deadline_ns, self._latency)
            if self._clock.now_ns() >= until_ns:
                return

    def _report(self, slots: int) -> FleetReport:
        members, outcomes, dropped = self._members, Counter[str](), Counter[str]()
        for member in members:
            member.outcomes["unanswered"] = slots - member.outcomes.total()
            outcomes += member.outcomes
            dropped += member.session.dropped
        return FleetReport(
            robots=len(members),
            frames=slots * len(members),
            outcomes=outcomes,
            sent_bytes=sum(member.sent_bytes for member in members),
            latency=self._latency.percentiles(),
            late_sending=self._late.percentiles(),
            on_time=sum(member.outcomes["in time"] == slots for member in members),
            joins=sum(member.session.joins for member in members),
            dropped=dropped,
        )
