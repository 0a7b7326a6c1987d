"""A run cut, its tail taught over a link, frozen, and every stage of it played and measured."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from time import process_time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.codec import FeatureCodec, GradientCodec, GroupPlan, GroupQuantizer
from rivc.errors import DecodeError, LinkError
from rivc.neurochip import load_backend
from rivc.robot.clock import SECOND_NS
from rivc.snn_convert.program import greedy
from rivc.split.folder import SplitFolder
from rivc.split.ladder import Ladder, Point, Row
from rivc.split.server import Server
from rivc.split.session import Answer, Gradient, Lost, Session
from rivc.split.throughput import Load
from rivc.split.wire import FRAME, GRADIENT, HEADER
from rivc.train.appraise import appraisal_seeds
from rivc.train.evaluate import play
from rivc.train.features import record_features
from rivc.train.policy import load_policy
from rivc.train.setup import make_tasks, make_training_tasks
from rivc.train.tail import EdgeLearner, Halves, LessonPlan, Tutor
from rivc.train.worlds import Worlds

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from rivc.robot import Clock
    from rivc.split.halves import Split
    from rivc.split.transport import Transport
    from rivc.train.policy import Policy, Which
    from rivc.train.run import RunFolder

    Way = Callable[[Server], AbstractContextManager[tuple[Transport, Clock]]]

UP_HEAD: Final = HEADER.size + FRAME.size
DOWN_HEAD: Final = HEADER.size + GRADIENT.size
PATIENCE_NS: Final = 2 * SECOND_NS
_KEPT: Final = 64  # frames whose gradients may still come
_COPIES: Final = 8  # of the task, played side by side
_PLAYED, _RECORDED = 2, 3  # streams of seeds, apart from those of appraisals


@dataclass(frozen=True)
class TeachingPlan:
    """What is taught and how much is played.

    Attributes:
        layer: how many layers stand before the cut, 1 for the first.
        groups: how features go up.
        gradient_bits: of the gradients that go down; 0: the edge does not learn.
        lessons: how they are learnt.
        record_episodes: that groups and codec are fitted to.
        episodes: of each evaluation.
        which: policy of the run.
        key: shared by both ends of the link; empty: nothing is authenticated.
    """

    layer: int
    groups: GroupPlan
    gradient_bits: int = 0
    lessons: LessonPlan = field(default_factory=LessonPlan)
    record_episodes: int = 8
    episodes: int = 20
    which: Which | None = None
    key: bytes = b""


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


@dataclass(frozen=True)
class Taught:
    """What came of it.

    Attributes:
        folder: of the halves as they are now; its one row sends maps of groups.
        traffic: while it was taught.
        returns: of the `whole` policy, of the split `before` lessons, and `after`.
        updates: of tail and edge.
    """

    folder: SplitFolder
    traffic: Traffic
    returns: dict[str, float]
    updates: tuple[int, int]


def teach(
    run: RunFolder,
    plan: TeachingPlan,
    way: Way,
    note: Callable[[str], None] = lambda _: None,
) -> Taught:
    """Cut the policy of a run, teach its tail over a link, and freeze it again.

    Args:
        run: folder of the run.
        plan: what is taught.
        way: from a server to the robot's end of the way to it, and the clock there.
        note: is told what is being done.

    Raises:
        ConfigError: if the program cannot be cut there, or grouped so.
        LinkError: if the server cannot be reached.
        DivergedError: if the tail's loss is no longer finite.
    """
    policy = load_policy(run, plan.which)
    halves = Halves(policy, plan.layer)
    note("recording episodes")
    folder = _grouped(run, halves.frozen(), plan, (run.path / "config.yaml").read_text())
    note("playing the whole policy")
    returns = {"whole": _play(run, plan, _whole(policy))}
    note("playing the split before its lessons")
    returns["before"] = _play(run, plan, _split(folder))
    note("giving lessons")
    traffic, edge_updates, tutor = _lessons(run, policy, halves, folder, plan, way)
    folder = replace(folder, split=halves.frozen())
    note("playing the split after its lessons")
    returns["after"] = _play(run, plan, _split(folder))
    [row] = folder.ladder.rows
    ladder = replace(folder.ladder, rows=(replace(row, episode_return=returns["after"]),))
    folder = replace(folder, ladder=ladder)
    return Taught(folder, traffic, returns, (tutor.updates, edge_updates))


def loads(taught: Taught, plan: TeachingPlan) -> dict[str, Load]:
    """Return what a frame costs as it was sent, and as fp32 and as uniform k-bit would be.

    The uniform one packs every channel at the bits of the maps (of their gradients on the way
    down), under one scale. Lessons, answers and headers are the same for all.
    """
    traffic, size = taught.traffic, math.prod(taught.folder.split.shape)
    work_ns = round(SECOND_NS * traffic.seconds / max(1, traffic.frames))
    down = traffic.each("gradients")
    rows = {
        "sgq": (traffic.each("frames"), down),
        "uniform": (
            size * plan.groups.bit_width / 8 + UP_HEAD,
            size * plan.gradient_bits / 8 + 4 + DOWN_HEAD if down else 0.0,
        ),
        "fp32": (4.0 * size + UP_HEAD, 4.0 * size + DOWN_HEAD if down else 0.0),
    }
    return {
        name: Load(up + traffic.each("lessons"), back + traffic.each("answers"), work_ns)
        for name, (up, back) in rows.items()
    }


# -- the link -----------------------------------------------------------------------------------


def _lessons(
    run: RunFolder,
    policy: Policy,
    halves: Halves,
    folder: SplitFolder,
    plan: TeachingPlan,
    way: Way,
) -> tuple[Traffic, int, Tutor]:
    groups = _groups(folder)
    codec = GradientCodec(groups, plan.gradient_bits) if plan.gradient_bits else None
    down = (groups, codec) if codec else None
    tutor = Tutor(halves.tail, policy.program.readout_scale, plan.lessons, down)
    server = Server(folder.ladder, tutor.infer, folder.identity, plan.key)
    server.learn = tutor.learn
    edge = EdgeLearner(halves, groups, plan.lessons) if codec else None
    worlds = Worlds(make_training_tasks(run.config())[:1], plan.lessons.seed)
    try:
        with way(server) as (transport, clock):
            robot = _Robot(policy, halves, folder, (transport, clock), plan.key)
            robot.learns_by = (codec, edge) if codec and edge else None
            robot.teach(worlds, plan.lessons.lessons)
    finally:
        worlds.close()
    return robot.traffic, edge.updates if edge else 0, tutor


class _Robot:
    """The robot's side: frames and lessons out, actions and gradients in."""

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
        self.traffic = Traffic()

    def teach(self, worlds: Worlds, lessons: int) -> None:
        """Act in a world of one copy, and teach a lesson on each frame that is answered."""
        self._join()
        for _ in range(lessons):
            started = process_time()
            action = self._frame(self._program.encode(worlds.observation))
            self.traffic.seconds += process_time() - started
            worlds.step(action)
        self._receive(self._clock.now_ns())
        self._send("leave", self._session.leave())

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
            self.traffic.lost["frames"] += 1
            return greedy(right)
        self.traffic.frames += 1
        self._send("lessons", self._session.lesson(sequence, right[0]))
        return greedy(answer.readout.reshape(right.shape))

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


# -- groups and returns -------------------------------------------------------------------------


def _grouped(run: RunFolder, split: Split, plan: TeachingPlan, config: str) -> SplitFolder:
    """A split whose one row sends maps of groups, fitted to one half of a recording."""
    recording = record_features(
        run, plan.layer, episodes=plan.record_episodes, seed=_RECORDED, which=plan.which
    )
    half = -(-len(recording.codes) // 2)
    groups = GroupQuantizer.fit(recording.codes[:half], plan.groups, split.bit_width)
    maps = groups.reduce(recording.codes)
    codec = FeatureCodec.fit(maps[:half], groups.bit_width, starts=recording.starts[:half])
    held = range(half, len(maps))
    sizes = [len(codec.encode(maps[i], None if recording.starts[i] else maps[i - 1])) for i in held]
    p95 = int(np.percentile(sizes, 95, method="higher"))
    point = Point(groups.bit_width, groups.groups)
    row = Row(point, codec, float(np.mean(sizes)), p95, groups=groups)
    ladder = Ladder(split.shape, split.bit_width, tuple(range(split.shape[-1])), (row,))
    return SplitFolder(split, ladder, config)


def _groups(folder: SplitFolder) -> GroupQuantizer:
    groups = folder.ladder.rows[0].groups
    if groups is None:
        raise LinkError("the split has no row that sends maps of groups")
    return groups


def _play(
    run: RunFolder, plan: TeachingPlan, act: Callable[[NDArray[Any]], NDArray[np.int64]]
) -> float:
    tasks = make_tasks(run.config(), min(_COPIES, plan.episodes))
    try:
        return play(tasks, act, appraisal_seeds(_PLAYED, plan.episodes)).return_mean
    finally:
        for task in tasks:
            task.env.close()


def _whole(policy: Policy) -> Callable[[NDArray[Any]], NDArray[np.int64]]:
    chip = load_backend("emulator")
    chip.load(policy.program)
    return lambda observation: greedy(chip.infer(policy.program.encode(observation)).readout)


def _split(folder: SplitFolder) -> Callable[[NDArray[Any]], NDArray[np.int64]]:
    """Acts as both programs do with the maps between them."""
    edge, server = load_backend("emulator"), load_backend("emulator")
    edge.load(folder.split.edge)
    server.load(folder.split.server)

    def act(observation: NDArray[Any]) -> NDArray[np.int64]:
        counts = folder.split.counts(edge.infer(folder.split.edge.encode(observation)).readout)
        ladder = folder.ladder
        kept = np.stack([ladder.restore(0, ladder.reduce(0, one)) for one in counts])
        return greedy(server.infer(kept).readout)

    return act
