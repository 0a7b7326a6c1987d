"""A trained tracker over the loopback: every action of every episode."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from rivc.codec import FeatureCodec
from rivc.neurochip import load_backend
from rivc.robot import ActionTable, Frame, MonotonicClock
from rivc.snn_convert import SpikingProgram, reference
from rivc.snn_convert.program import greedy
from rivc.split.halves import cut, to_planes
from rivc.split.ladder import Ladder, Point, Row
from rivc.split.policy import Link, SafeAction, SplitPolicy
from rivc.split.server import Server
from rivc.split.session import Session
from rivc.split.transport import connect
from tests.split.loopback import PATIENT, listening
from tests.split.parts import IDENTITY, KEY, infer_of

RUN = Path(os.environ.get("RIVC_TRACKER_RUN", "runs/figures/tracker-4bit-seed0"))


@pytest.mark.slow
@pytest.mark.skipif(not RUN.exists(), reason=f"no run at {RUN}; RIVC_TRACKER_RUN names one")
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_fifty_episodes_of_the_tracker_are_those_of_the_uncut_program(layer: int) -> None:
    from rivc.train.appraise import appraisal_seeds
    from rivc.train.run import RunFolder
    from rivc.train.setup import make_tasks
    from rivc.train.worlds import Copy

    program = SpikingProgram.load(RUN / "best" / "program.npz")
    split, [task] = cut(program, layer), make_tasks(RunFolder.open(RUN).config(), 1)
    copy, whole = Copy(task), load_backend("emulator")
    whole.load(program)
    observations = [copy.reset(seed) for seed in appraisal_seeds(0, 30)]
    emitted = reference.trace(program, program.encode(np.stack(observations)))[layer - 1]
    planes = np.stack([to_planes(x) for x in emitted])
    codec = FeatureCodec.fit(planes, split.bit_width)
    row = Row(Point(split.bit_width, split.shape[-1]), codec, 0.0, 0)
    ladder = Ladder(split.shape, split.bit_width, tuple(range(split.shape[-1])), (row,))
    d, n = program.action_layout
    actions, clock = ActionTable.levels([[float(i) for i in range(n)]] * d), MonotonicClock()
    server, steps = Server(ladder, infer_of(split), IDENTITY, KEY), 0
    with listening(server) as address:
        session = Session(ladder, IDENTITY, d * n, KEY)
        link = Link(clock, connect(address, clock), session, ladder, PATIENT)
        policy = SplitPolicy(split, load_backend("emulator"), actions, link, SafeAction([-1.0] * d))
        for seed in appraisal_seeds(1, 50):
            observation, ended = copy.reset(seed), False
            while not ended:
                policy.see(Frame(observation, time.monotonic_ns(), steps))
                got = policy.infer(policy.encode(observation))
                chosen = greedy(whole.infer(program.encode(observation[None])).readout)
                assert np.array_equal(got, actions.command(chosen[0]))
                observation, _, _, ended = copy.step(chosen[0])
                steps += 1
        policy.close()
    task.env.close()
    assert policy.decisions == {"present": steps}
    print(f"layer {layer}: {steps} steps, {policy.sent_bytes / steps:.1f} bytes a frame")  # noqa: T201
