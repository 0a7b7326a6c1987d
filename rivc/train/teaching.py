"""A robot that teaches a server: frames and lessons out, actions and gradients in.

It acts as the server says, so that what is learnt is what the split policy meets; where no answer
comes, the whole policy decides, and there is no lesson.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from time import process_time
from typing import TYPE_CHECKING, Final

from rivc.errors import DecodeError, LinkError
from rivc.neurochip import load_backend
from rivc.robot.clock import SECOND_NS
from rivc.snn_convert.program import greedy
from rivc.split.session import PATIENCE_NS, Answer, Gradient, Lost, Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rivc.codec import GradientCodec
    from rivc.robot import Clock
    from rivc.split.folder import SplitFolder
    from rivc.split.transport import Transport
    from rivc.train.policy import Policy
    from rivc.train.tail import EdgeLearner, Halves
    from rivc.train.worlds import Worlds

PATIENCE: Final = 10  # frames
_KEPT: Final = 64  # frames whose gradients may still come


@dataclass
class Traffic:
    """What went over the link.

    Attributes:
        frames: that were answered.
        bytes: of messages, by what they carry: frames, lessons, answers, gradients.
        lost: frames and gradients that were not.
        seconds: of processor time that both ends took, the task left out.
    """

    frames: int = 0
    bytes: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def each(self, name: str) -> float:
        """Return the mean bytes a frame."""
        return self.bytes[name] / max(1, self.frames)


class Teacher:
    """The robot's side of lessons; see the module.

    Args:
        policy: the whole one, which knows what is right.
        halves: of which the edge is used here, as it is at the moment.
        folder: of the split; its first row is sent.
        link: the way to the server, and the clock here.
        key: shared with the server, or empty.

    Attributes:
        learns_by: what decodes gradients, and what learns from them; None: nothing does.
        traffic: so far.
    """

    def __init__(
        self,
        policy: Policy,
        halves: Halves,
        folder: SplitFolder,
        link: tuple[Transport, Clock],
        key: bytes,
    ) -> None:
        self._program, self._halves = policy.program, halves
        self._whole = load_backend("emulator")
        self._whole.load(policy.program)
        self._transport, self._clock = link
        d, n = policy.program.action_layout
        self._session = Session(folder.ladder, folder.identity, d * n, key)
        self._integers = halves.edge.integers()
        self._sent: dict[int, NDArray[np.uint8]] = {}
        self.learns_by: tuple[GradientCodec, EdgeLearner] | None = None
        self.traffic, self._silent = Traffic(), 0

    def teach(self, worlds: Worlds, lessons: int) -> None:
        """Act in a world of one copy, and teach a lesson on each frame that is answered.

        Raises:
            LinkError: if the server does not answer, or refuses the robot.
        """
        self._join()
        self._act(worlds, lessons)
        self._receive(self._clock.now_ns() + SECOND_NS // 20)  # what the last lesson brings
        self._send("leave", self._session.leave())

    def _act(self, worlds: Worlds, frames: int) -> None:
        for _ in range(frames):
            started = process_time()
            action = self._frame(self._program.encode(worlds.observation))
            self.traffic.seconds += process_time() - started
            worlds.step(action)

    def _join(self) -> None:
        until_ns = self._clock.now_ns() + PATIENCE_NS
        while not self._session.is_joined:
            asked, now_ns = self._session.join(self._clock.now_ns()), self._clock.now_ns()
            if asked is not None:
                self._send("join", asked)
            self._receive(now_ns + SECOND_NS // 20)
            if not self._session.is_joined and now_ns > until_ns:
                raise LinkError("the server does not answer; is it there, with the same key?")

    def _frame(self, x: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Send a frame, teach what is right, and return how to act, [1, d]."""
        counts = self._halves.emitted(x, self._integers)[0]
        right = self._whole.infer(x).readout
        sequence, data = self._session.frame(counts, 0, self._clock.now_ns())
        self._sent[sequence] = x[0]
        while len(self._sent) > _KEPT:
            del self._sent[next(iter(self._sent))]
        self._send("frames", data)
        answer = self._answer(sequence)
        if answer is None:  # the robot has the whole policy while it teaches
            self._miss()
            return greedy(right)
        self.traffic.frames, self._silent = self.traffic.frames + 1, 0
        self._send("lessons", self._session.lesson(sequence, right[0]))
        return greedy(answer.readout.reshape(right.shape))

    def _miss(self) -> None:
        self.traffic.lost["frames"] += 1
        self._silent += 1
        if self._silent == PATIENCE:
            raise LinkError(f"{PATIENCE} frames in a row were not answered; is the server there?")

    def _answer(self, sequence: int) -> Answer | None:
        until_ns = self._clock.now_ns() + PATIENCE_NS
        while True:
            data = self._transport.receive(until_ns)
            if data is None:
                return None
            event = self._take(data)
            if isinstance(event, Answer | Lost) and event.sequence == sequence:
                return event if isinstance(event, Answer) else None

    def _receive(self, until_ns: int) -> None:
        """Take in what has come, or the first that comes by a time."""
        data = self._transport.receive(until_ns)
        while data is not None:
            self._take(data)
            data = self._transport.receive(self._clock.now_ns())

    def _take(self, data: bytes) -> object:
        event = self._session.receive(data, self._clock.now_ns())
        if isinstance(event, Answer):
            self.traffic.bytes["answers"] += len(data)
        if isinstance(event, Gradient):
            self.traffic.bytes["gradients"] += len(data)
            self.traffic.bytes["gradient packets"] += len(event.packet)
            self._learn(event)
        return event

    def _learn(self, event: Gradient) -> None:
        x = self._sent.get(event.sequence)
        if self.learns_by is None or x is None:
            return
        codec, edge = self.learns_by
        try:
            _, gradient = codec.decode(event.packet)
        except DecodeError:
            self.traffic.lost["gradients"] += 1
            return
        if edge.take(x, gradient):
            self._integers = self._halves.edge.integers()

    def _send(self, what: str, data: bytes) -> None:
        self._transport.send(data)
        self.traffic.bytes[what] += len(data)
