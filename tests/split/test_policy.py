"""A robot at the end of a link, in simulated time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import Phase as HypothesisPhase
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import ConfigError, LinkError
from rivc.neurochip import load_backend
from rivc.robot import ActionTable, Frame, ProgramPolicy
from rivc.robot.clock import SECOND_NS
from rivc.snn_convert import reference
from rivc.snn_convert.program import greedy
from rivc.split.halves import cut, cuts
from rivc.split.ladder import Point
from rivc.split.link import LinkModel, LinkTrace, Phase
from rivc.split.policy import LinkTimes, SplitPolicy
from rivc.split.server import ServerLimits
from rivc.split.simulated import SimulatedTransport
from rivc.split.transport import InProcess
from tests.programs import conv_program, dense_program
from tests.split.parts import MS, Rig, ladder_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivc.robot import SimulatedClock
    from rivc.split.server import Server
    from rivc.split.transport import Transport


def over(*phases: Phase, seed: int = 0) -> Callable[[Server, SimulatedClock], SimulatedTransport]:
    """A simulated link, the same both ways."""
    trace = LinkTrace(phases)

    def transport(server: Server, clock: SimulatedClock) -> SimulatedTransport:
        link = LinkModel(trace, 2 * seed), LinkModel(trace, 2 * seed + 1)
        return SimulatedTransport(server, clock, link)

    return transport


@pytest.mark.parametrize("layer", cuts(conv_program()))
def test_every_action_is_that_of_the_uncut_program(layer: int) -> None:
    program = conv_program()
    rig = Rig(over(Phase(delay_ms=3)), split=cut(program, layer))
    rng = np.random.default_rng(5)
    for i in range(80):
        rig.clock.sleep_until(20 * MS * i)
        x = rng.integers(0, 256, program.encoding.shape, dtype=np.uint8)
        wanted = rig.actions.command(greedy(reference.run(program, x[None]))[0])
        assert np.array_equal(rig.step(x, i), wanted)
    assert rig.policy.decisions == {"present": 80}


def test_without_a_server_the_safe_action_is_taken() -> None:
    rig = Rig(over(Phase(kbit_per_s=0)))
    assert {float(c[0]) for c in rig.run(50)} == {-1.0}
    assert rig.policy.decisions == {"fallback": 50}


def test_a_slow_answer_commands_while_it_is_young_enough_and_no_longer() -> None:
    rig = Rig(over(Phase(delay_ms=20)), times=LinkTimes(50, 60, 5))
    rig.run(60)
    assert rig.policy.decisions["earlier"] >= 50
    rig = Rig(over(Phase(delay_ms=35)), times=LinkTimes(50, 60, 5))
    rig.run(60)
    assert rig.policy.decisions == {"fallback": 60}


@settings(max_examples=12, phases=[HypothesisPhase.explicit, HypothesisPhase.generate])
@given(
    st.lists(
        st.builds(
            Phase,
            seconds=st.just(0.0),
            kbit_per_s=st.sampled_from([0.0, 40.0, 150.0, 1e4, float("inf")]),
            delay_ms=st.floats(0, 60),
            jitter_ms=st.floats(0, 60),
            loss=st.floats(0, 0.5),
            burst=st.floats(1, 8),
            reorder=st.floats(0, 0.5),
            duplicate=st.floats(0, 0.5),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 1000),
)
def test_no_link_lets_an_old_answer_command_the_robot(phases: list[Phase], seed: int) -> None:
    timed = [replace(phase, seconds=1.0 * i) for i, phase in enumerate(phases)]
    rig = Rig(over(*timed, seed=seed))
    rig.run(50 * len(phases))  # asserts the age of every decision
    assert rig.policy.decisions.total() == 50 * len(phases)
    assert len(rig.policy._frames) <= 64


ROUGH = Phase(delay_ms=4, jitter_ms=2, loss=0.1, burst=3, reorder=0.1, duplicate=0.1)


def frames_to_recover(seed: int) -> int:
    """Frames after five seconds of outage until one is answered in its own slot, in row 0.

    The link is rough before; after it nothing is lost, but all else goes on. Every decision is
    checked not to be stale.
    """
    split = cut(conv_program(), 1)
    ladder = ladder_of(split, Point(2, 3), Point(1, 3), Point(1, 1, skip=2))
    rough = replace(ROUGH, kbit_per_s=1000)
    back = replace(rough, seconds=15, loss=0)
    dark = Phase(seconds=10, kbit_per_s=0)
    rig = Rig(over(rough, dark, back, seed=seed), split=split, ladder=ladder)
    rig.run(500)
    before = rig.policy.decisions.copy()
    assert before["present"] > 0.4 * 500
    rig.run(250, start=500)
    assert rig.policy.decisions["fallback"] - before["fallback"] > 240
    assert rig.policy.rows["skipped"] <= 250
    for frame in range(750, 1000):
        before, rows = rig.policy.decisions.copy(), rig.policy.rows.copy()
        rig.run(1, start=frame)
        is_present = rig.policy.decisions["present"] > before["present"]
        if is_present and rig.policy.rows["0"] > rows["0"]:
            return frame - 749
    return 250


@pytest.mark.parametrize("seeds", [2, pytest.param(200, marks=pytest.mark.slow)])
def test_after_five_seconds_of_outage_it_is_at_full_rate_within_ten_frames(seeds: int) -> None:
    frames = [frames_to_recover(seed) for seed in range(seeds)]
    print(f"median {np.median(frames):g}, most {max(frames)} of {seeds}")  # noqa: T201
    assert max(frames) <= 10


@pytest.mark.parametrize("frames", [600, pytest.param(30_000, marks=pytest.mark.slow)])
def test_minutes_on_a_rough_link(frames: int) -> None:
    rig = Rig(over(ROUGH))
    rig.run(frames)
    assert rig.policy.decisions["present"] > 0.5 * frames
    assert rig.server.dropped.keys() <= {"stale", "replayed"}
    assert rig.server.dropped["replayed"] > 0.05 * frames  # the duplicates
    assert rig.policy.lost.keys() <= {"superseded"}
    assert rig.server.robots == 1


def test_a_loss_spoils_no_frame_but_its_own() -> None:
    rig = Rig(over(Phase(delay_ms=2, loss=0.1, burst=1)))
    rig.run(1000)
    assert rig.policy.lost == {}
    lost = rig.policy.decisions["earlier"] + rig.policy.decisions["fallback"]
    assert lost / 1000 == pytest.approx(1 - 0.9**2, abs=0.04)


def test_a_robot_with_another_key_is_never_answered() -> None:
    rig = Rig(over(Phase()), robot_key=b"some other key...")
    rig.run(30)
    assert rig.policy.decisions == {"fallback": 30}
    assert set(rig.server.dropped) == {"unauthenticated"}
    assert rig.server.robots == 0


def test_a_robot_of_another_split_or_one_too_many_is_told_why() -> None:
    rig = Rig(over(Phase()))
    rig.session._identity = bytes(16)
    with pytest.raises(LinkError, match="same folder"):
        rig.run(1)
    rig = Rig(over(Phase()), limits=ServerLimits(max_robots=0))
    with pytest.raises(LinkError, match="--max-robots"):
        rig.run(1)


def test_a_server_that_was_started_again_is_joined_again() -> None:
    rig = Rig(over(Phase(delay_ms=2)))
    rig.run(50)
    rig.server._robots.clear()
    rig.run(100, start=50)
    before = rig.policy.decisions["fallback"]
    rig.run(100, start=200)
    assert rig.policy.decisions["fallback"] - before <= 3
    assert rig.session.joins == 2
    assert rig.server.dropped["unknown session"] > 90


@pytest.mark.parametrize("way", [InProcess, over(Phase(delay_ms=1))])
def test_a_robot_that_is_refused_at_work_goes_on_and_asks_now_and_then(
    way: Callable[[Server, SimulatedClock], Transport],
) -> None:
    rig = Rig(way)
    rig.run(5)
    rig.server._identity = bytes(16)  # it was started again, with another split
    rig.server._robots.clear()
    rig.run(200, start=5)
    assert rig.policy.decisions["fallback"] > 190
    assert 25 <= rig.session.dropped["refused"] <= 41  # in two seconds


def test_a_clock_that_runs_ahead_gains_no_time() -> None:
    rig = Rig(over(Phase(delay_ms=3), Phase(1, kbit_per_s=0)))
    x = np.zeros(rig.split.edge.encoding.shape, np.uint8)
    for i in range(100):
        rig.clock.sleep_until(20 * MS * i)
        rig.policy.see(Frame(x, rig.clock.now_ns() + 5 * SECOND_NS, i))
        rig.policy.infer(rig.policy.encode(x))
    assert rig.policy.decisions["present"] >= 45
    assert rig.policy.decisions["fallback"] >= 45  # though all stamps are later than the outage


def test_a_fall_back_that_takes_other_observations_is_told_of_before_it_is_needed() -> None:
    rig = Rig(over(Phase()))
    other = dense_program()
    levels = [[float(i) for i in range(other.action_layout[1])]] * other.action_layout[0]
    fallback = ProgramPolicy(other, load_backend("emulator"), ActionTable.levels(levels))
    with pytest.raises(ConfigError, match="the fall-back takes another observation"):
        SplitPolicy(rig.split, load_backend("emulator"), rig.actions, rig.policy._link, fallback)


def test_a_narrow_link_gets_a_narrow_row_and_a_wide_one_everything() -> None:
    split = cut(conv_program(), 1)
    ladder = ladder_of(split, Point(2, 3), Point(1, 3), Point(1, 1, skip=2))
    narrow = over(Phase(kbit_per_s=25, delay_ms=2), Phase(10, kbit_per_s=1e5, delay_ms=2))
    rig = Rig(narrow, split=split, ladder=ladder, times=LinkTimes(50, 100, 15))
    rig.run(500)
    rows = rig.policy.rows.copy()
    assert rows["0"] < 50
    assert rig.policy.decisions["fallback"] < 25
    rig.run(200, start=500)
    assert rig.policy.rows["0"] - rows["0"] > 150


def test_stages_add_up_to_the_age_of_what_was_known() -> None:
    rig = Rig(over(Phase(delay_ms=3)))
    rig.run(100)
    stages = rig.policy.stages
    assert stages["up"].p50_ms == stages["return"].p50_ms == pytest.approx(3.5, abs=0.6)
    assert stages["queue"].p50_ms == 1
    assert stages["age"].p50_ms == pytest.approx(8, abs=0.2)
    assert stages["age"].count == 100


@pytest.mark.parametrize("wrong", [(0, 60, 5), (50, 0, 0), (50, 60, 61), (50, 60, -1)])
def test_times_out_of_range_are_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError):
        LinkTimes(*wrong)


def test_time_is_simulated() -> None:
    rig = Rig(over(Phase(delay_ms=3)))
    rig.run(200)
    assert rig.clock.now_ns() >= 3.9 * SECOND_NS


class Flooded(InProcess):
    """Brings junk, after a while, faster than anybody reads it."""

    taken = 0
    calm = 10

    def receive(self, until_ns: int) -> bytes | None:
        self.taken += 1
        if self.taken <= self.calm:
            return super().receive(until_ns)
        assert self.taken < 10_000, "a decision waits for the flood to end"
        self._clock.sleep_until(self._clock.now_ns() + MS // 50)
        return b"junk"


def test_a_flood_of_junk_does_not_keep_a_decision() -> None:
    rig = Rig(Flooded)
    rig.run(9)
    assert rig.policy.decisions["present"] > 0
    assert rig.policy.decisions["fallback"] > 0
