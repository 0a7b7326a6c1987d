"""A robot that teaches over a poor link, in simulated time."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch

from rivc.codec import FeatureCodec, GradientCodec, GroupPlan, GroupQuantizer
from rivc.errors import DivergedError, LinkError
from rivc.robot import SimulatedClock
from rivc.snn_convert import reference
from rivc.split.folder import SplitFolder
from rivc.split.ladder import Ladder, Point, Row
from rivc.split.link import LinkModel, LinkTrace, Phase
from rivc.split.server import Server
from rivc.split.simulated import SimulatedTransport
from rivc.split.wire import TAG
from rivc.train import tail
from rivc.train.lessons import Taught, TeachingPlan, loads
from rivc.train.tail import EdgeLearner, Halves, LessonPlan, Tutor
from rivc.train.teaching import Teacher, Traffic
from tests.split.parts import FOLDER, KEY
from tests.train.test_tail import POLICY, channels_first, some_inputs

if TYPE_CHECKING:
    from rivc.train.worlds import Worlds

PLAN = LessonPlan(lessons=120, batch_size=16)


class Noise:
    """A world of one copy that shows noise."""

    def __init__(self) -> None:
        self.actions: list[int] = []
        self.step(np.zeros((1, 1), np.int64))

    def step(self, action: np.ndarray) -> None:
        self.actions.append(int(action[0, 0]))
        rng = np.random.default_rng(len(self.actions))
        self.observation = rng.integers(0, 256, (1, 12, 12, 2), dtype=np.uint8)


class Rig:
    """Both ends, and a link that loses a share of what goes over it."""

    def __init__(self, loss: float, robot_key: bytes = KEY) -> None:
        self.halves = Halves(POLICY, 2)
        split = self.halves.frozen()
        x = some_inputs(POLICY, 64)
        planes = channels_first(split.counts(reference.run(split.edge, x)))
        groups = GroupQuantizer.fit(planes, GroupPlan(3, 2, 4), 4)
        codec = FeatureCodec.fit(groups.reduce(planes), 4)
        row = Row(Point(4, 3), codec, 0.0, 0, groups=groups)
        folder = SplitFolder(split, Ladder(split.shape, 4, tuple(range(6)), (row,)))
        gradients = GradientCodec(groups, 4)
        self.edge = EdgeLearner(self.halves, groups, PLAN)
        self.tutor = Tutor(
            self.halves.tail, POLICY.program.readout_scale, PLAN, (groups, gradients)
        )
        self.server = Server(folder.ladder, self.tutor.infer, folder.identity, KEY)
        self.server.learn = self.tutor.learn
        clock, trace = SimulatedClock(), LinkTrace((Phase(delay_ms=2, loss=loss),))
        way = SimulatedTransport(self.server, clock, (LinkModel(trace, 1), LinkModel(trace, 2)))
        self.robot = Teacher(POLICY, self.halves, folder, (way, clock), robot_key)
        self.robot.learns_by = gradients, self.edge
        self.world = Noise()

    def teach(self, lessons: int) -> None:
        self.robot.teach(cast("Worlds", cast("Any", self.world)), lessons)


def test_every_frame_is_a_lesson_and_a_gradient_on_a_good_link() -> None:
    rig = Rig(loss=0.0)
    rig.teach(120)
    assert rig.robot.traffic.frames == rig.tutor.lessons == 120
    assert rig.edge.updates == 7
    assert not rig.robot.traffic.lost
    assert not rig.server.dropped


def test_what_is_lost_is_not_learnt_and_everything_goes_on() -> None:
    rig = Rig(loss=0.2)
    rig.teach(120)
    traffic = rig.robot.traffic
    assert traffic.frames + traffic.lost["frames"] == 120
    assert traffic.lost["frames"] > 20
    assert 0 < rig.tutor.lessons < traffic.frames
    assert 0 < rig.edge.updates <= rig.tutor.lessons // 16


def test_the_whole_policy_decides_where_no_answer_comes() -> None:
    rig = Rig(loss=0.5)
    rig.teach(20)
    greedy = []
    world = Noise()
    for _ in range(20):
        greedy.append(int(reference.run(POLICY.program, world.observation).argmax()))
        world.step(np.zeros((1, 1), np.int64))
    agreed = sum(a == b for a, b in zip(rig.world.actions[1:], greedy, strict=True))
    assert agreed >= rig.robot.traffic.lost["frames"] > 0


def test_a_tail_that_diverges_ends_the_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(loss=0.0)
    monkeypatch.setattr(tail, "margin_loss", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(DivergedError, match="loss is nan"):
        rig.teach(10)


@pytest.mark.parametrize(("key", "seal"), [(b"", 0), (KEY, TAG)])
def test_what_was_not_sent_is_reckoned_with_the_seals_of_what_was(key: bytes, seal: int) -> None:
    traffic = Traffic(frames=1, bytes=Counter(frames=50, gradients=50))
    taught, size = Taught(FOLDER, traffic, {}, {}, {}), math.prod(FOLDER.split.shape)
    costs = loads(taught, TeachingPlan(1, GroupPlan(1, 1, 8), 8, key=key))
    assert costs["fp32"][:2] == (4 * size + 16 + seal, 4 * size + 14 + seal)
    assert costs["uniform"][:2] == (size + 16 + seal, size + 4 + 14 + seal)
    assert costs["sgq"][:2] == (50, 50)


def test_a_robot_with_another_key_is_told_that_nobody_answers() -> None:
    with pytest.raises(LinkError, match="does not answer"):
        Rig(loss=0.0, robot_key=b"another key of 16").teach(1)


def test_a_robot_gives_up_when_the_server_is_gone() -> None:
    rig = Rig(loss=0.0)
    rig.teach(3)
    rig.server._robots.clear()
    with pytest.raises(LinkError, match="10 frames in a row"):
        rig.robot._act(cast("Any", rig.world), 10)
