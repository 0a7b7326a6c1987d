"""`rivc split learn`."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from rivc.cli.split_learn import _text, taught_facts
from rivc.codec import GroupPlan
from rivc.split import Point, SplitFolder, fit_ladder, parse_trace
from rivc.train.lessons import Taught, TeachingPlan
from rivc.train.teaching import Traffic
from tests.split.parts import RECORDING, SPLIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]

SHORT = ("--layer", 1, "--groups", 4, "--stripes", 1, "--episodes", 2, "--record-episodes", 2)


def facts_of(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


@pytest.mark.parametrize(
    "over", [(), ("--over", "udp://127.0.0.1:0"), ("--over", "tcp://127.0.0.1:0")]
)
def test_a_tail_learns_over_any_way_and_drives_afterwards(
    over: tuple[str, ...], trained: Path, tmp_path: Path, rivc: Call
) -> None:
    key, out = tmp_path / "robot.key", tmp_path / "taught"
    key.write_text("a key of 16 bytes")
    words = (*SHORT, "--frames", 80, "--edge", "--key", key, "--out", out, *over, "--json")
    facts = facts_of(rivc("split", "learn", trained, *words))
    assert facts["frames"] + facts["lost"].get("frames", 0) == 80
    assert facts["updates"] == {"tail": 40, "edge": 1}
    assert set(facts["returns"]) == {"whole", "before", "after"}
    up = {name: row["up_bytes"] for name, row in facts["traffic"].items()}
    assert up["uniform"] < up["fp32"]
    driven = facts_of(rivc("split", "drive", out, "--simulated", "--seconds", 4, "--json"))
    assert set(driven["decisions"]) == {"present"}
    assert driven["identity"] == facts["identity"]


def test_features_as_they_are_need_no_lessons(trained: Path, rivc: Call) -> None:
    """As many groups as channels, of as many bits as they have, lose next to nothing."""
    words = ("--layer", 1, "--groups", 16, "--stripes", 1, "--episodes", 3, "--frames", 1, "--json")
    facts = facts_of(rivc("split", "learn", trained, *words))
    assert facts["traffic"]["sgq"]["down_bytes"] == facts["traffic"]["fp32"]["down_bytes"]
    assert facts["returns"]["before"] == pytest.approx(facts["returns"]["whole"], rel=0.2)


def test_lessons_go_over_a_poor_link(trained: Path, rivc: Call, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("seconds,kbit_per_s,delay_ms,loss\n0,100,5,0.2\n")
    facts = facts_of(
        rivc("split", "learn", trained, *SHORT, "--frames", 60, "--link", trace, "--json")
    )
    assert facts["lost"]["frames"] > 5
    assert facts["frames"] + facts["lost"]["frames"] == 60
    fps = {name: row["frames_per_s"] for name, row in facts["traffic"].items()}
    assert fps["fp32"] <= fps["sgq"]
    words = ("--link", trace, "--over", "udp://127.0.0.1:0")
    assert rivc("split", "learn", trained, *SHORT, *words).exit_code == 2


def test_a_link_that_goes_out_before_all_are_through_has_no_frames_a_second() -> None:
    """500 frames of fp32 take 3.3 seconds, and the link is there for two."""
    folder = SplitFolder(SPLIT, fit_ladder(SPLIT, RECORDING, [Point(2, 3)]))
    traffic = Traffic(frames=1, bytes=Counter(frames=30, lessons=20, answers=20))
    taught = Taught(folder, traffic, dict.fromkeys(("whole", "before", "after"), 1.0), {}, {})
    trace = parse_trace("seconds,kbit_per_s\n0,250\n2,0\n")
    facts = taught_facts(taught, TeachingPlan(1, GroupPlan(1, 1, 2)), trace)
    fps = {name: row["frames_per_s"] for name, row in facts["traffic"].items()}
    assert fps.pop("fp32") is None
    assert min(fps.values()) > 250
    assert [len(line.split()) for line in _text(facts).splitlines()[1:4]] == [5, 5, 4]


def test_people_are_told_in_two_tables(trained: Path, rivc: Call) -> None:
    result = rivc("split", "learn", trained, *SHORT, "--frames", 10)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["traffic", "up", "[B]", "down", "[B]", "times", "frames/s"]
    assert [line.split()[0] for line in lines[1:4]] == ["sgq", "uniform", "fp32"]
    assert any(line.startswith("recovered") for line in lines)


def test_what_cannot_be_grouped_is_told(trained: Path, rivc: Call) -> None:
    result = rivc("split", "learn", trained, "--layer", 1, "--groups", 17, "--stripes", 1)
    assert result.exit_code == 2
    assert "groups=17" in result.stderr
    result = rivc("split", "learn", trained, "--layer", 2)
    assert result.exit_code == 2
    assert "cut" in result.stderr
