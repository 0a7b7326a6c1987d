"""Many robots in one loop, against a server in a thread."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rivc.errors import ConfigError, LinkError
from rivc.split import fleet
from rivc.split.fleet import Episode, FleetPlan, drive_fleet
from rivc.split.server import Server
from rivc.split.transport import Address, UdpTransport, connect_udp
from tests.split.loopback import listening
from tests.split.parts import COUNTS, FOLDER, KEY, infer_of

if TYPE_CHECKING:
    from rivc.robot import Clock

EPISODE = Episode(COUNTS, infer_of(FOLDER.split)(COUNTS).reshape(len(COUNTS), -1))
PLAN = FleetPlan(robots=5, rate_hz=50, seconds=0.4, deadline_ms=30_000)


def new_server() -> Server:
    return Server(FOLDER.ladder, infer_of(FOLDER.split), FOLDER.identity, KEY)


def test_every_answer_is_that_of_its_own_frame() -> None:
    """On a machine that stands still for a slot, a newer frame may take the place of one."""
    server = new_server()
    with listening(server) as address:
        report = drive_fleet(FOLDER, EPISODE, address, PLAN, KEY)
    assert set(report.outcomes) <= {"in time", "unanswered"}
    assert report.outcomes.total() == report.frames == report.late_sending.count == 100
    assert report.outcomes["in time"] == report.latency.count == server.answered > 0
    assert report.joins == 5
    assert (report.on_time == 5) == (report.outcomes["in time"] == 100)
    assert not server.dropped


def test_a_wrong_answer_and_a_late_one_are_told_apart() -> None:
    wrong = Episode(COUNTS, EPISODE.readout + 1)
    with listening(new_server()) as address:
        report = drive_fleet(FOLDER, wrong, address, replace(PLAN, robots=2), KEY)
        assert set(report.outcomes) - {"unanswered"} == {"wrong"}
        hurried = replace(PLAN, robots=2, deadline_ms=1e-6)
        report = drive_fleet(FOLDER, EPISODE, address, hurried, KEY)
        assert set(report.outcomes) - {"unanswered"} == {"late"}
        assert report.on_time == 0


def test_a_server_that_is_not_there_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "JOINING_S", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        address = Address("udp", *silent.getsockname())
        with pytest.raises(LinkError, match="0 of 5 robots"):
            drive_fleet(FOLDER, EPISODE, address, PLAN)


def test_a_robot_that_gets_no_socket_is_told_of_and_the_others_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = list[UdpTransport]()

    def connect(address: Address, clock: Clock) -> UdpTransport:
        if len(made) == 2:
            raise LinkError("too many open files")
        made.append(connect_udp(address, clock))
        return made[-1]

    monkeypatch.setattr(fleet, "connect_udp", connect)
    with pytest.raises(LinkError, match="too many open files"):
        drive_fleet(FOLDER, EPISODE, Address("udp", "127.0.0.1", 9), PLAN)
    assert [transport.fileno() for transport in made] == [-1, -1]


def test_nothing_to_do_is_refused() -> None:
    for wrong in ({"robots": 0}, {"seconds": 0.0}, {"deadline_ms": -1.0}):
        with pytest.raises(ConfigError):
            replace(PLAN, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="udp://HOST:PORT"):
        drive_fleet(FOLDER, EPISODE, Address("tcp", "127.0.0.1", 9), PLAN)
