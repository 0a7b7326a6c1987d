"""The simulated link does what its trace says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.errors import ConfigError, MissingError
from rivc.split.link import OVERHEAD, LinkModel, LinkTrace, Phase, load_trace, parse_trace

if TYPE_CHECKING:
    from pathlib import Path

MS = 1_000_000


def arrivals(*phases: Phase, seed: int = 0) -> tuple[list[int], list[list[int]]]:
    """When packets of 100 bytes in all are sent, one every 20 ms, and arrive."""
    model = LinkModel(LinkTrace(phases), seed)
    sent = [i * 20 * MS for i in range(5000)]
    return sent, [model.arrivals(100 - OVERHEAD, time_ns) for time_ns in sent]


def test_bandwidth_and_delay_add_up() -> None:
    sent, came = arrivals(Phase(kbit_per_s=80, delay_ms=4))  # 10 ms a packet
    assert [c[0] - s for s, c in zip(sent, came, strict=True)] == [14 * MS] * len(sent)


def test_packets_queue_and_a_full_queue_drops_them() -> None:
    model = LinkModel(LinkTrace((Phase(kbit_per_s=80),)), queue_ms=25)
    came = [model.arrivals(100 - OVERHEAD, 0) for _ in range(5)]
    assert came == [[10 * MS], [20 * MS], [30 * MS], [], []]


def test_a_packet_that_outlasts_a_phase_goes_on_in_the_next() -> None:
    trace = LinkTrace((Phase(kbit_per_s=80), Phase(seconds=0.005, kbit_per_s=40)))
    assert LinkModel(trace).arrivals(100 - OVERHEAD, 0) == [15 * MS]


def test_an_outage_loses_everything_and_nothing_after_it() -> None:
    sent, came = arrivals(Phase(), Phase(seconds=10, kbit_per_s=0), Phase(seconds=15))
    lost = [s for s, c in zip(sent, came, strict=True) if not c]
    assert lost == [s for s in sent if 10_000 * MS <= s < 15_000 * MS]


@pytest.mark.parametrize(("loss", "burst"), [(0.1, 1), (0.1, 5), (0.3, 3), (0.8, 4)])
def test_loss_has_its_share_and_its_bursts(loss: float, burst: float) -> None:
    lost = np.concatenate(
        [[not c for c in arrivals(Phase(loss=loss, burst=burst), seed=s)[1]] for s in range(4)]
    )
    assert lost.mean() == pytest.approx(loss, abs=0.03)
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], lost, [0]]))))[::2]
    assert runs.mean() == pytest.approx(burst, rel=0.2)


def test_some_come_twice_and_some_too_late() -> None:
    _, came = arrivals(Phase(duplicate=0.2, reorder=0.3, jitter_ms=1))
    assert np.mean([len(c) for c in came]) == pytest.approx(1.2, abs=0.02)
    first = np.array([c[0] for c in came])
    assert np.mean(np.diff(first) < 0) > 0.01


def test_equal_seeds_give_equal_links() -> None:
    phase = Phase(loss=0.2, jitter_ms=5, duplicate=0.1)
    assert arrivals(phase, seed=3) == arrivals(phase, seed=3)
    assert arrivals(phase, seed=3) != arrivals(phase, seed=4)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("seconds,kbit_per_s,loss\n0,150,\n60,inf,0.1\n")
    assert load_trace(path).phases == (Phase(kbit_per_s=150), Phase(60, loss=0.1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "unknown column 'nothing'"),
        ("second,kbit\n0,1\n", "the columns are seconds"),
        ("seconds,kbit_per_s\n0,fast\n", "line 2"),
        ("seconds,kbit_per_s\n0,1,2\n", "line 2"),
        ("seconds,kbit_per_s\n0,-1\n", "kbit_per_s=-1"),
        ("seconds,loss\n0,nan\n", "loss=nan"),
        ("seconds,kbit_per_s\n0,1e-300\n", "neither 0 nor at least 0.001"),
        ("seconds,loss\n0,0.6\n", "burst of at least 1.5, not 1"),
        ("seconds,loss,burst\n0,0.7,2.33333\n", "burst of at least 2.334, not 2.33333"),
        ("seconds,kbit_per_s\n1,1\n", "starts at 0"),
        ("seconds,kbit_per_s\n0,1\n0,1\n", "later than the last"),
        ("seconds,kbit_per_s\n", "1..100000 rows"),
        (f"seconds,kbit_per_s\n0,{'1' * 200_000}\n", "line 2: .*field larger"),
    ],
)
def test_a_wrong_trace_is_told_of_in_a_line(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text(text)
    with pytest.raises(ConfigError, match=told):
        load_trace(tmp_path / "trace.csv")
    with pytest.raises(ConfigError):
        parse_trace(text)


def test_no_file_and_no_text_are_told_of(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        load_trace(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError):
        load_trace(tmp_path / "bytes.csv")
