"""A run cut, its tail taught over a link, frozen, and every stage of it played and measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.codec import FeatureCodec, GradientCodec, GroupPlan, GroupQuantizer
from rivc.neurochip import load_backend
from rivc.robot.clock import SECOND_NS
from rivc.snn_convert.program import greedy
from rivc.split.folder import SplitFolder
from rivc.split.ladder import Ladder, Point, Row
from rivc.split.server import Server
from rivc.split.throughput import Load
from rivc.split.wire import FRAME, GRADIENT, HEADER, TAG
from rivc.train.appraise import appraisal_seeds
from rivc.train.config import overridden
from rivc.train.evaluate import emulated, play
from rivc.train.features import record_features
from rivc.train.policy import load_policy
from rivc.train.setup import make_tasks, make_training_tasks
from rivc.train.tail import EdgeLearner, Halves, LessonPlan, Tutor
from rivc.train.teaching import Teacher, Traffic
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
_COPIES: Final = 8  # of the task, played side by side
_PLAYED, _RECORDED = 2, 3  # seeds of appraisals, apart from the 0 that users judge with


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


@dataclass(frozen=True)
class Taught:
    """What came of it.

    Attributes:
        folder: of the halves as they are now; its one row sends maps of groups.
        traffic: while it was taught.
        returns: of the `whole` policy, of the split `before` lessons, and `after`.
        updates: of tail and edge.
        dropped: messages that the server dropped, by reason.
    """

    folder: SplitFolder
    traffic: Traffic
    returns: dict[str, float]
    updates: dict[str, int]
    dropped: dict[str, int]


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
    returns = {"whole": _play(run, plan, emulated(policy.program))}
    note("playing the split before its lessons")
    returns["before"] = _play(run, plan, _split(folder))
    note("giving lessons")
    lessons = _Lessons(policy, halves, folder, plan)
    traffic = lessons.give(run, way)
    folder = replace(folder, split=halves.frozen())
    note("playing the split after its lessons")
    returns["after"] = _play(run, plan, _split(folder))
    [row] = folder.ladder.rows
    ladder = replace(folder.ladder, rows=(replace(row, episode_return=returns["after"]),))
    folder = replace(folder, ladder=ladder)
    return Taught(folder, traffic, returns, lessons.updates, dict(lessons.server.dropped))


def loads(taught: Taught, plan: TeachingPlan) -> dict[str, Load]:
    """Return what a frame costs as it was sent, and as fp32 and as uniform k-bit would be.

    The uniform one packs every channel at the bits of the maps (of their gradients on the way
    down), under one scale. Lessons, answers, headers and seals are the same for all.
    """
    traffic, size = taught.traffic, math.prod(taught.folder.split.shape)
    work_ns = round(SECOND_NS * traffic.seconds / max(1, traffic.frames))
    down, seal = traffic.each("gradients"), TAG if plan.key else 0
    up_head, down_head = UP_HEAD + seal, DOWN_HEAD + seal
    rows = {
        "sgq": (traffic.each("frames"), down),
        "uniform": (
            size * plan.groups.bit_width / 8 + up_head,
            size * plan.gradient_bits / 8 + 4 + down_head if down else 0.0,
        ),
        "fp32": (4.0 * size + up_head, 4.0 * size + down_head if down else 0.0),
    }
    return {
        name: Load(up + traffic.each("lessons"), back + traffic.each("answers"), work_ns)
        for name, (up, back) in rows.items()
    }


# -- the link -----------------------------------------------------------------------------------


class _Lessons:
    """Both ends, ready to be joined by a link."""

    def __init__(
        self, policy: Policy, halves: Halves, folder: SplitFolder, plan: TeachingPlan
    ) -> None:
        self._policy, self._halves, self._folder, self._plan = policy, halves, folder, plan
        self._learns_by: tuple[GradientCodec, EdgeLearner] | None = None
        down, [row] = None, folder.ladder.rows
        if plan.gradient_bits and row.groups:
            down = row.groups, GradientCodec(row.groups, plan.gradient_bits)
            self._learns_by = down[1], EdgeLearner(halves, row.groups, plan.lessons)
        self._tutor = Tutor(halves.tail, policy.program.readout_scale, plan.lessons, down)
        self.server = Server(folder.ladder, self._tutor.infer, folder.identity, plan.key)
        self.server.learn = self._tutor.learn

    def give(self, run: RunFolder, way: Way) -> Traffic:
        """Let a robot act in the task and teach."""
        alone = overridden(run.config(), {"env.count": 1})
        worlds = Worlds(make_training_tasks(alone), self._plan.lessons.seed)
        try:
            with way(self.server) as link:
                robot = Teacher(self._policy, self._halves, self._folder, link, self._plan.key)
                robot.learns_by = self._learns_by
                robot.teach(worlds, self._plan.lessons.lessons)
        finally:
            worlds.close()
        return robot.traffic

    @property
    def updates(self) -> dict[str, int]:
        """Those of both halves."""
        edge = self._learns_by[1].updates if self._learns_by else 0
        return {"tail": self._tutor.updates, "edge": edge}


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


def _play(
    run: RunFolder, plan: TeachingPlan, act: Callable[[NDArray[Any]], NDArray[np.int64]]
) -> float:
    tasks = make_tasks(run.config(), min(_COPIES, plan.episodes))
    try:
        return play(tasks, act, appraisal_seeds(_PLAYED, plan.episodes)).return_mean
    finally:
        for task in tasks:
            task.env.close()


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
