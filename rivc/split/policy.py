"""The robot's policy across a link: first half here, second half there, and a plan without it.

An answer commands the robot only while it is younger than the deadline, counted from the capture of
the frame that it answers, and never after an answer to a later frame. Otherwise the fall-back
decides on the present frame: a program of its own, or the safe action. Either way
`SplitPolicy.decided_from` is the frame behind the command, so the watchdog of `rivc.robot.drive`
counts from the light that caused it, also across the link.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import ConfigError, QuantError
from rivc.robot.clock import MILLISECOND_NS, SECOND_NS
from rivc.robot.protocol import Frame
from rivc.robot.rate import Durations
from rivc.snn_convert.program import greedy
from rivc.split import rate
from rivc.split.rate import RateLimits, RateState
from rivc.split.session import ASK_AGAIN_NS, AT_ONCE, KEPT, Answer, Joined, Lost, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.neurochip import Backend
    from rivc.quant.encoding import InputEncoding
    from rivc.robot import ActionTable, Clock, Percentiles, Policy
    from rivc.split.halves import Split
    from rivc.split.ladder import Ladder
    from rivc.split.transport import Transport

SERVER_STAGES: Final = ("up", "queue", "decode", "server", "return")
STAGES: Final = ("capture", "edge", "encode", *SERVER_STAGES, "age")
_NOTHING: Final = Frame(np.zeros(0), 0, -1)


@dataclass(frozen=True)
class LinkTimes:
    """How long a robot waits.

    Attributes:
        rate_hz: frames a second.
        deadline_ms: an answer is used until so long after the capture of its frame.
        wait_ms: how long a slot waits for the answer to its own frame.

    Raises:
        ConfigError: if a time is out of range.
    """

    rate_hz: float
    deadline_ms: float
    wait_ms: float

    def __post_init__(self) -> None:
        if not (0 < self.rate_hz < float("inf") and 0 < self.deadline_ms <= 60_000):
            raise ConfigError(
                f"{self.rate_hz} Hz with a deadline of {self.deadline_ms} ms: both are positive, "
                "the deadline at most 60,000 ms"
            )
        if not 0 <= self.wait_ms <= self.deadline_ms:
            raise ConfigError(f"wait_ms={self.wait_ms} is not in 0..{self.deadline_ms}")

    @property
    def limits(self) -> RateLimits:
        """The same, as the rate controller takes them."""
        return RateLimits(self.deadline_ns, round(SECOND_NS / self.rate_hz))

    @property
    def deadline_ns(self) -> int:
        """`deadline_ms` in nanoseconds."""
        return round(self.deadline_ms * MILLISECOND_NS)


@dataclass(frozen=True)
class Link:
    """The way to the server, and what is said on it, by the clock of the robot."""

    clock: Clock
    transport: Transport
    session: Session
    ladder: Ladder
    times: LinkTimes


class SafeAction:
    """The policy without a server and without a program: one command, come what may."""

    def __init__(self, values: Any) -> None:
        self._values = np.array(values, np.float64)

    def encode(self, observation: NDArray[Any]) -> NDArray[np.uint8]:
        """Return nothing."""
        return np.zeros(0, np.uint8)

    def infer(self, counts: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the command."""
        return self._values


class SplitPolicy:
    """A `FramePolicy` whose second half is elsewhere; see the module.

    Args:
        split: the cut.
        chip: any back end; the edge half is loaded.
        actions: what the actions of the program stand for.
        link: the way to the server.
        fallback: decides when no answer is young enough.
        compute_ns: what the work here is timed by; default: the clock.

    Attributes:
        decided_from: the frame behind the last command.
        decisions: how many commands came from an answer to the present frame, from one to an
            `earlier` frame, and from the `fallback`.
        rows: frames that were sent by row of the ladder, and `skipped` ones.
        sent_bytes: of messages.
        lost: frames that the server did not answer, by outcome.
        rate: what is known of the link.

    Raises:
        ConfigError: if the actions are of another layout, or the fall-back takes another
            observation.
        ChipLimitError: if the edge half does not fit the chip.
    """

    def __init__(
        self,
        split: Split,
        chip: Backend,
        actions: ActionTable,
        link: Link,
        fallback: Policy,
        compute_ns: Callable[[], int] | None = None,
    ) -> None:
        if actions.layout != split.server.action_layout:
            raise ConfigError(
                f"the robot's table is of {actions.layout} groups and actions, the program of "
                f"{split.server.action_layout}"
            )
        chip.load(split.edge)
        chip.infer(np.zeros((1, *split.edge.encoding.shape), np.uint8))
        _try(fallback, split.edge.encoding)
        link.ladder.warm_up()
        self._split, self._chip, self._actions, self._link = split, chip, actions, link
        self._fallback, self._clock = fallback, link.clock
        self._compute_ns = compute_ns or link.clock.now_ns
        self._limits = link.times.limits
        self._frames: OrderedDict[int, Frame] = OrderedDict()
        self._answer: Answer | None = None
        self._answered: Frame = _NOTHING
        self._frame = self.decided_from = _NOTHING
        self.decisions, self.rows, self.lost = Counter[str](), Counter[str](), Counter[str]()
        self.sent_bytes, self.rate = 0, RateState()
        self._stages = {name: Durations() for name in STAGES}

    @property
    def stages(self) -> dict[str, Percentiles]:
        """What each stage of the way took."""
        return {name: durations.percentiles() for name, durations in self._stages.items()}

    def see(self, frame: Frame) -> None:
        """Take in the frame whose observation is encoded next; none is younger than now."""
        now_ns = self._clock.now_ns()
        self._frame = frame.known_at(now_ns)
        self._stages["capture"].add(now_ns - self._frame.time_ns)

    def encode(self, observation: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the counts of one observation."""
        return self._split.edge.encode(observation)

    def infer(self, counts: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Send what the edge half makes of counts, wait for the answer, and return the command.

        Raises:
            BackendError: if the chip fails.
            LinkError: if the server refuses the robot.
        """
        begun_ns, started_ns = self._clock.now_ns(), self._compute_ns()
        [features] = self._split.counts(self._chip.infer(counts[None]).readout)
        self._stages["edge"].add(self._compute_ns() - started_ns)
        self._send(features)
        self._collect(begun_ns + round(self._link.times.wait_ms * MILLISECOND_NS))
        return self._command()

    def close(self) -> None:
        """Leave the server."""
        if self._link.session.is_joined:
            self._link.transport.send(self._link.session.leave())
        self._link.transport.close()

    # -- the way out ----------------------------------------------------------------------------

    def _send(self, features: NDArray[np.uint8]) -> None:
        session, now_ns = self._link.session, self._clock.now_ns()
        session.give_up(now_ns)
        if not session.is_joined:
            self._join(now_ns)
        if not session.is_joined:
            self.rows["not joined"] += 1
            return
        rows = self._link.ladder.rows
        self.rate, row = rate.choose(self.rate, rows, self._limits, self._clock.now_ns())
        if row is None:
            self.rows["skipped"] += 1
            return
        started_ns = self._compute_ns()
        sequence, data = session.frame(features, row, self._clock.now_ns())
        self._stages["encode"].add(self._compute_ns() - started_ns)
        self._post(data)
        self.rate = rate.sent(self.rate, sequence, len(data), self._clock.now_ns())
        self.rows[str(row)] += 1
        self._frames[sequence] = self._frame
        while len(self._frames) > KEPT:
            self._frames.popitem(last=False)

    def _join(self, now_ns: int) -> None:
        """Ask for a session again and again, for at most half of the wait of a slot."""
        session, clock = self._link.session, self._clock
        self._frames.clear()
        until_ns = now_ns + round(self._link.times.wait_ms * MILLISECOND_NS) // 2
        while True:
            asked = session.join(clock.now_ns())
            if asked is not None:
                self._post(asked)
            self._take(min(until_ns, clock.now_ns() + ASK_AGAIN_NS))
            if session.is_joined or clock.now_ns() >= until_ns:
                return

    def _post(self, data: bytes) -> None:
        self._link.transport.send(data)
        self.sent_bytes += len(data)

    # -- the way back ---------------------------------------------------------------------------

    def _collect(self, until_ns: int) -> None:
        """Take what has come, and wait while the frame that was sent last is under way.

        Of what has come only so much is taken after that time: it may come faster than it is read.
        """
        taken = 0
        while self._take(until_ns if self.rate.flights else self._clock.now_ns()):
            taken += 1
            if taken >= AT_ONCE and self._clock.now_ns() >= until_ns:
                return

    def _take(self, until_ns: int) -> bool:
        """Take one message in; False if none came by then."""
        data = self._link.transport.receive(until_ns)
        if data is None:
            return False
        now_ns = self._clock.now_ns()
        event = self._link.session.receive(data, now_ns)
        if isinstance(event, Joined):
            self.rate = rate.joined(self.rate, event.took_ns)
        elif isinstance(event, Lost):
            self.lost[event.outcome.name.lower()] += 1
            self._acknowledge(event.sequence, now_ns, 0)
        elif isinstance(event, Answer):
            self._acknowledge(event.sequence, now_ns, event.worked_ns)
            self._accept(event)
        return True

    def _acknowledge(self, sequence: int, now_ns: int, worked_ns: int) -> None:
        self.rate = rate.acknowledged(self.rate, sequence, self._limits, now_ns, worked_ns)

    def _accept(self, answer: Answer) -> None:
        """Keep an answer; frames up to its own are forgotten, so an older one finds none."""
        for name, us in zip(SERVER_STAGES, answer.stages_us, strict=True):
            self._stages[name].add(1000 * max(0, us))
        frame = self._frames.get(answer.sequence)
        if frame is None:
            return
        self._answer, self._answered = answer, frame
        while self._frames and next(iter(self._frames)) <= answer.sequence:
            self._frames.popitem(last=False)

    def _command(self) -> NDArray[np.float64]:
        age_ns = self._clock.now_ns() - self._answered.time_ns
        if self._answer is None or age_ns > self._link.times.deadline_ns:
            self.decisions["fallback"] += 1
            self.decided_from = self._frame
            return self._fallback.infer(self._fallback.encode(self._frame.observation))
        is_present = self._answered.sequence == self._frame.sequence
        self.decisions["present" if is_present else "earlier"] += 1
        self._stages["age"].add(age_ns)
        self.decided_from = self._answered
        readout = self._answer.readout.reshape(1, *self._actions.layout)
        return self._actions.command(greedy(readout)[0])


def _try(fallback: Policy, encoding: InputEncoding) -> None:
    """Let a fall-back decide once before it is needed: an outage is no time to find out."""
    dtype = np.uint8 if encoding.kind == "image" else np.float32
    try:
        fallback.infer(fallback.encode(np.zeros(encoding.shape, dtype)))
    except QuantError as error:
        raise ConfigError(f"the fall-back takes another observation: {error}") from error
